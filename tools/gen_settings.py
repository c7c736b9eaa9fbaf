"""Writes docs/reference/settings.md from the settings table; with --check, only says whether it is up to date."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import Any

from lictor.daemon.settings import DEFAULTS, SPECS, Spec, option

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "settings.md"
_HEAD = """# Settings

Made by `tools/gen_settings.py` from `src/lictor/daemon/settings.py`. `lictor config show --origin` tells what is in
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


def page() -> str:
    parts = [_HEAD]
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


def main() -> int:
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        print(f"{PAGE} is out of date: run python tools/gen_settings.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
