"""Every setting of the agent, declared once: name, type, default, unit, meaning, and whether SIGHUP changes it.

Options, files, variables, checks and docs/reference/settings.md are made from this table; values come together in
`sources.py`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from lictor.daemon.values import convert
from lictor.errors import LictorError
from lictor.model.event import ANCESTORS
from lictor.sensors.throttle import Rate

METRIC_LABELS = ("namespace", "workload", "pod", "binary", "node_name")
SERVER_ADDRESS = "unix:///var/run/lictor/lictor.sock"


@dataclass(frozen=True, slots=True)
class Spec:
    """What a setting is. `kind`: flag, number, bytes, seconds, text or list; `least` bounds numbers from below."""

    area: str
    kind: str
    meaning: str
    least: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False  # SIGHUP changes it


_KINDS = {bool: "flag", int: "number", float: "seconds", str: "text", tuple: "list"}


def _setting(
    area: str,
    default: Any,
    meaning: str,
    *,
    kind: str = "",
    least: float | None = None,
    choices: Sequence[str] = (),
    live: bool = False,
) -> Any:
    spec = Spec(area, kind or _KINDS[type(default)], meaning, least, tuple(choices), live)
    return field(default=default, metadata={"spec": spec})


@dataclass(frozen=True, slots=True)
class Settings:
    """Field names with `-` for `_` are the names of options and of files in a configuration directory."""

    server_address: tuple[str, ...] = _setting(
        "API",
        (SERVER_ADDRESS,),
        "serve the gRPC API on unix:///path or host:port; may be given again; empty: nowhere",
    )
    server_tls_cert_file: str = _setting("API", "", "serve TCP addresses with TLS: certificate chain, PEM")
    server_tls_key_file: str = _setting("API", "", "the certificate's key, PEM")
    server_tls_client_ca_files: tuple[str, ...] = _setting("API", (), "authorities of client certificates, PEM")
    server_tls_require_client_cert: bool = _setting("API", False, "let nobody in over TCP without a certificate")
    server_socket_group: str = _setting("API", "", "the group of unix sockets, whose members can connect; empty: root")
    server_readers: tuple[str, ...] = _setting(
        "API",
        ("anyone",),
        "who may read events and state: users, group:NAME, certificate, certificate:NAME, anyone who can connect",
    )
    server_writers: tuple[str, ...] = _setting(
        "API", ("root", "certificate"), "who may change policies and settings, in the same words"
    )
    export_filename: str = _setting("Export file", "", "write events as JSON lines to this file")
    export_file_max_size_mb: int = _setting(
        "Export file", 10, "rotate the export file at this size, in MB", least=1, live=True
    )
    export_file_rotation_interval: float = _setting(
        "Export file", 0.0, "rotate the export file after this time; 0: never", least=0, live=True
    )
    export_file_max_backups: int = _setting("Export file", 5, "rotated files to keep", least=0, live=True)
    export_file_compress: bool = _setting("Export file", False, "gzip rotated files", live=True)
    export_file_perm: str = _setting("Export file", "600", "mode of the export file, octal")
    export_to: tuple[str, ...] = _setting(
        "Exports",
        (),
        "send events to a receiver, such as syslog+tls://host:6514 (exports.md); repeatable",
        live=True,
    )
    export_spool_dir: str = _setting("Exports", "/var/lib/lictor/spool", "where events wait for receivers of export-to")
    export_spool_size: int = _setting(
        "Exports", 256 << 20, "most that waits for each of them", kind="bytes", least=1 << 20
    )
    export_rate_limit: int = _setting(
        "Exports", -1, "events a minute that the exports may get, the rest is counted; 0: none; -1: all", live=True
    )
    export_allowlist: str = _setting(
        "Filters", "", "export only events that one of these filters matches (docs/reference/filters.md)"
    )
    export_denylist: str = _setting("Filters", "", "export no event that one of these filters matches")
    field_filters: str = _setting("Filters", "", "which fields of events are exported")
    redaction_filters: str = _setting("Filters", "", "what of command lines and environments is made unreadable")
    filter_environment_variables: tuple[str, ...] = _setting(
        "Filters", (), "show only environment variables of these names; empty: all"
    )
    enable_export_aggregation: bool = _setting("Filters", False, "export one event for all that say the same")
    export_aggregation_window_size: float = _setting("Filters", 15.0, "how long such events are collected", least=0.1)
    export_aggregation_buffer_size: int = _setting("Filters", 10_000, "events that are collected at most", least=1)
    policy: tuple[str, ...] = _setting("Policies", (), "policy file to load at start; may be given again")
    policy_dir: str = _setting(
        "Policies", "/etc/lictor/policy.d", "load the policies of this directory, and follow what changes in it"
    )
    persist_grpc_policies: bool = _setting("Policies", False, "keep policies that come over the API for the next start")
    persist_grpc_policies_dir: str = _setting("Policies", "/var/lib/lictor/policies", "where they are kept")
    node_name: str = _setting("Events", "", "name of this node in events; default: $NODE_NAME, else the host's name")
    cluster_name: str = _setting("Events", "", "name of the cluster in events")
    extras: bool = _setting("Events", True, "add Lictor's own object to JSON events (docs/reference/events.md)")
    enable_ancestors: tuple[str, ...] = _setting(
        "Events",
        (),
        f"show all ancestors of the process in these events: {', '.join(ANCESTORS)}; base is exec and exit",
    )
    enable_process_cred: bool = _setting("Events", False, "show credentials, capabilities and raised privileges")
    enable_process_ns: bool = _setting("Events", False, "show namespaces")
    enable_process_environment_variables: bool = _setting("Events", False, "show the environment of processes")
    max_argument_bytes: int = _setting(
        "Events", 131072, "arguments and environment kept per exec", kind="bytes", least=4096
    )
    rb_size: int = _setting("Kernel", 8 << 20, "the ring for process records; a power of two", kind="bytes")
    bulk_rb_size: int = _setting("Kernel", 4 << 20, "the ring for bulk data; a power of two", kind="bytes")
    cgroup_rate: str = _setting(
        "Kernel",
        "",
        "most forks and execs of a cgroup in an interval that are told, such as 1000,1s; empty: all",
    )
    process_table_entries: int = _setting("Kernel", 131072, "processes the kernel half can know at a time", least=1024)
    metrics_server: str = _setting("Metrics", "", "serve metrics for Prometheus on host:port or :port; empty: nowhere")
    enable_event_metrics: bool = _setting("Metrics", True, "count events by kind, policy and workload, too")
    metrics_label_filter: tuple[str, ...] = _setting(
        "Metrics",
        ("namespace", "workload", "binary"),
        "labels of event metrics that are filled, of namespace, workload, pod, binary, node_name",
    )
    pid_file: str = _setting(
        "Operations",
        "/run/lictor/lictor.pid",
        "locked while the agent runs: there is only one; empty: no guard",
    )
    info_file: str = _setting(
        "Operations",
        "/run/lictor/lictor-info.json",
        "where clients look for the agent (tetra: /run/tetragon/tetragon-info.json); empty: none",
    )
    memory_limit: int = _setting(
        "Operations", 0, "beyond it the agent gives things up (operations.md); 0: no ceiling", kind="bytes", live=True
    )
    log_level: str = _setting(
        "Log",
        "info",
        "how much to say",
        choices=("error", "warn", "warning", "info", "debug", "trace"),
        live=True,
    )
    log_format: str = _setting("Log", "text", "for people or for machines", choices=("text", "json"), live=True)


SPECS: dict[str, Spec] = {one.name: one.metadata["spec"] for one in fields(Settings)}
DEFAULTS: dict[str, Any] = {one.name: one.default for one in fields(Settings)}


def option(name: str) -> str:
    """A field's name as users write it."""
    return name.replace("_", "-")


def node_name(settings: Settings) -> str:
    """What events call this machine."""
    environment = os.environ.get("HUBBLE_NODE_NAME") or os.environ.get("NODE_NAME")
    return settings.node_name or environment or socket.gethostname()


def cgroup_rate(settings: Settings) -> Rate:
    """The rate of forks and execs that a cgroup may have. Raises LictorError."""
    if not settings.cgroup_rate:
        return Rate()
    events, comma, interval = settings.cgroup_rate.partition(",")
    try:
        rate = Rate(int(events), int(convert("seconds", interval, "") * 1e9))
    except (ValueError, LictorError):
        rate = Rate()
    if not comma or not 0 < rate.events < 1 << 32 or not 1_000_000 <= rate.interval_ns <= 3_600_000_000_000:
        raise LictorError(f"cgroup-rate is {settings.cgroup_rate}", "it must be events,interval such as 1000,1s")
    return rate


def check(settings: Settings) -> None:
    """Raises LictorError for a value that cannot be."""
    for name, spec in SPECS.items():
        value = getattr(settings, name)
        if spec.least is not None and value < spec.least:
            raise LictorError(f"{option(name)} is {value}", f"it must be at least {spec.least:g}")
        if spec.choices and value not in spec.choices:
            raise LictorError(f"{option(name)} is {value!r}", f"use {', '.join(spec.choices)}")
    page = os.sysconf("SC_PAGE_SIZE")
    for name in ("rb_size", "bulk_rb_size"):
        size = getattr(settings, name)
        if size < page or size & (size - 1):
            raise LictorError(f"{option(name)} is {size}", f"it must be a power of two and at least {page}")
    cgroup_rate(settings)
    if settings.export_to:
        from lictor.export import targets  # an agent without receivers does without

        targets.parse_all(settings.export_to)
    for label in settings.metrics_label_filter:
        if label not in METRIC_LABELS:
            raise LictorError(f"metrics-label-filter has {label!r}", f"use {', '.join(METRIC_LABELS)}")
    try:
        mode = int(settings.export_file_perm, 8)
    except ValueError:
        mode = -1
    if not 0 < mode <= 0o777:
        raise LictorError(f"export-file-perm is {settings.export_file_perm}", "it must be an octal mode such as 600")
    unknown = [name for name in settings.enable_ancestors if name not in ANCESTORS]
    if unknown:
        raise LictorError(f"enable-ancestors has {', '.join(unknown)}", f"use {', '.join(ANCESTORS)}")
