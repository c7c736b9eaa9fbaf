"""Writes the reference pages that are made from tables in the code; `--check` says whether they are up to date."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import policy_pages

from lictor.daemon.settings import DEFAULTS, SPECS, Spec, option
from lictor.export.targets import OPTIONS, SCHEMES, Scheme
from lictor.metrics.catalog import METRICS, WITHOUT, Metric

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
_SETTINGS = """# Settings

Made by `tools/gen_reference.py` from `src/lictor/daemon/settings.py`. `lictor config show --origin` tells what is in
force and why.

From low to high: the defaults; `/usr/lib/lictor/lictor.conf.d` and `/usr/local/lib/lictor/lictor.conf.d`;
`/etc/lictor/lictor.yaml` (one `name: value` a line); `/etc/lictor/lictor.conf.d` and then the directory of
`--config-dir` (one file per setting: its name is the setting's, its content the value); the environment
(`LICTOR_EXPORT_FILENAME`); the command line (`--export-filename`). In a later source a setting replaces the earlier
value whole, lists too. Names that are no settings are refused. Settings keep the names they have in Tetragon.

Sizes may end in K, M or G; times may be written 30s, 15m, 24h. Lists are YAML lists, texts with blanks between the
items, or an option given again. **live**: SIGHUP reads all sources again and changes it in a running agent; the agent
logs which changed settings must wait for a restart.
"""


def settings() -> str:
    parts = [_SETTINGS]
    for area, names in groupby(SPECS, key=lambda name: SPECS[name].area):
        rows = [_row(name, SPECS[name], DEFAULTS[name]) for name in names]
        parts.append(
            f"\n## {area}\n\n| setting | kind | default | | meaning |\n|---|---|---|---|---|\n" + "".join(rows)
        )
    return "".join(parts)


def _row(name: str, spec: Spec, default: Any) -> str:
    kind = ", ".join(spec.choices) if spec.choices else spec.kind
    return f"| `{option(name)}` | {kind} | {_default(default)} | {'live' if spec.live else ''} | {spec.meaning} |\n"


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        value = " ".join(value)
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`" if value != "" else ""


_METRICS = """# Metrics

Made by `tools/gen_reference.py` from `src/lictor/metrics/catalog.py`. `metrics-server: localhost:2112` serves them at
`/metrics`, with the usual `process_*`. Names that begin with `tetragon_` mean what they mean in Tetragon. Nothing is
computed until a scrape asks, except those marked *per event*: `enable-event-metrics: false` turns them off,
`metrics-label-filter` says which of their labels are filled (without `pod` by default: a series per pod is what makes
Prometheus grow). Beyond 10,000 series events count for a workload called `other`.

[deploy/prometheus/lictor.rules.yaml](../../deploy/prometheus/lictor.rules.yaml) has alerts,
[deploy/grafana/lictor.json](../../deploy/grafana/lictor.json) a dashboard.

| metric | kind | labels | meaning |
|---|---|---|---|
"""


def metrics() -> str:
    rows = "".join(_metric_row(name, metric) for name, metric in METRICS.items())
    return _METRICS + rows + _WITHOUT + "".join(f"| `tetragon_{name}` | {why} |\n" for name, why in WITHOUT.items())


_WITHOUT = """
## Tetragon's that are not here

Nothing in Lictor could be counted under these names; what stands in for one is named without its prefix.

| metric | why |
|---|---|
"""


def _metric_row(name: str, metric: Metric) -> str:
    meaning = metric.meaning + (" (*per event*)" if metric.on_request else "")
    return f"| `{name}` | {metric.kind} | {', '.join(metric.labels)} | {meaning} |\n"


_EXPORTS = """# Exports

Made by `tools/gen_reference.py` from `src/lictor/export/targets.py`. `export-filename` writes a rotated file;
`export-to` sends to any number of receivers at the same time:

    lictor agent --export-to 'syslog+tls://logs:6514?format=cef' --export-to kafka://k1,k2/lictor

Each event is rendered once. What goes over the network is the work of a process of its own, which the agent starts
with the first such target: a dead receiver costs the agent nothing, and client libraries none of its memory. There,
each target has a spool on disk (`export-spool-dir`, at most `export-spool-size` each). Everything is written to it
and sent from it, in order, at least once: after a failure what has no receipt is sent again, with growing pauses of up
to 30 s, also after a restart. What finds no room is counted, and a `rate_limit_info` stands in its place in the stream.
Metrics: `lictor_export_*` ([metrics.md](metrics.md)).

A receipt is: an answer of 2xx (HTTP, OTLP) or without an error (OTLP over gRPC), the broker's acknowledgement of all
replicas in sync (Kafka), the stream's (`nats+js`), the server's answer to a ping behind the messages (`nats`). Unix
sockets and named pipes: the reader has read it. Syslog has no receipts: what the receiver's kernel took counts after
two seconds without a break, and after a break what is younger is sent again. What a receiver refuses for good (400,
413, 422, `INVALID_ARGUMENT`, too large) is counted as lost.

## Targets

| URL | what | options | needs |
|---|---|---|---|
"""

_FORMATS = """
## Formats

`json` is our own, the shape of [events.md](events.md). The others are made from tables in
`src/lictor/export/formats/`, in the export process:

- `ecs`: Elastic Common Schema 8.17; what has no place in it is under `lictor`.
- `ocsf`: OCSF 1.5.0 with the profiles container and host. Exec and exit are Process Activity (1007), events of hooks
  Kernel Activity (1003), losses Base Event (0). Validated against the published schema.
- `cef`: ArcSight CEF 0.
"""


def exports() -> str:
    rows = [_target_row(scheme) for scheme in SCHEMES.values()]
    options = [f"| `{name}` | {meaning} |\n" for name, meaning in OPTIONS.items()]
    head = "\n## Options\n\nBehind a `?`, with `&` between. Secrets are in files, which are read for each connection.\n"
    return _EXPORTS + "".join(rows) + head + "\n| option | meaning |\n|---|---|\n" + "".join(options) + _FORMATS


def _target_row(scheme: Scheme) -> str:
    options = " ".join(f"`{name}`" for name in scheme.options)
    needs = f"`lictor[{scheme.library}]`" if scheme.library else ""
    return f"| `{scheme.form}` | {scheme.meaning} | {options} | {needs} |\n"


PAGES = {
    "settings.md": settings,
    "metrics.md": metrics,
    "exports.md": exports,
    "policies.md": policy_pages.policies,
    "diagnostics.md": policy_pages.diagnostics,
}


def main() -> int:
    stale = [name for name, make in PAGES.items() if not _is(REFERENCE / name, make())]
    if "--check" in sys.argv:
        for name in stale:
            print(f"docs/reference/{name} is out of date: run python tools/gen_reference.py", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (REFERENCE / name).write_text(PAGES[name]())
    return 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
