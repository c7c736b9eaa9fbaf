"""Every setting of the agent, declared once: name, type, default, unit and meaning.

Values come, from low to high, from the defaults, `/etc/lictor/lictor.yaml`, `/etc/lictor/lictor.conf.d/NAME` (one
file per setting, its content is the value), the directory given with `--config-dir`, the environment
(`LICTOR_EXPORT_FILENAME`), and the command line.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from lictor.errors import LictorError

CONFIG_FILE = Path("/etc/lictor/lictor.yaml")
CONFIG_DIR = Path("/etc/lictor/lictor.conf.d")
SERVER_ADDRESS = "unix:///var/run/lictor/lictor.sock"
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0", ""})


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True)
class Settings:
    """Field names with `-` for `_` are the names of options and of files in a configuration directory."""

    server_address: tuple[str, ...] = _setting(
        (SERVER_ADDRESS,),
        "serve the gRPC API on unix:///path or host:port; may be given again; empty: nowhere",
    )
    export_filename: str = _setting("", "write events as JSON lines to this file")
    export_file_max_size_mb: int = _setting(10, "rotate the export file at this size, in MB")
    export_file_rotation_interval: float = _setting(0.0, "rotate the export file every so many seconds; 0: never")
    export_file_max_backups: int = _setting(5, "rotated files to keep")
    export_file_compress: bool = _setting(False, "gzip rotated files")
    export_file_perm: str = _setting("600", "mode of the export file, octal")
    policy: tuple[str, ...] = _setting((), "policy file to load at start; may be given again")
    node_name: str = _setting("", "name of this node in events; default: $NODE_NAME, else the host's name")
    cluster_name: str = _setting("", "name of the cluster in events")
    extras: bool = _setting(True, "add Lictor's own object to JSON events (docs/reference/events.md)")
    enable_process_cred: bool = _setting(False, "show credentials, capabilities and raised privileges")
    enable_process_ns: bool = _setting(False, "show namespaces")
    enable_process_environment_variables: bool = _setting(False, "show the environment of processes")
    max_argument_bytes: int = _setting(131072, "bytes of arguments and environment kept per exec")
    rb_size: int = _setting(8 << 20, "bytes of the ring for process records; a power of two")
    bulk_rb_size: int = _setting(4 << 20, "bytes of the ring for bulk data; a power of two")
    process_table_entries: int = _setting(131072, "processes the kernel half can know at a time")
    log_level: str = _setting("info", "error, warn, info, debug or trace")
    log_format: str = _setting("text", "text or json")


def load(
    flags: Mapping[str, Any], config_dir: str | None = None, defaults: Mapping[str, Any] | None = None
) -> Settings:
    """The settings in force. `flags` are those given on the command line, by field name. Raises LictorError.

    `defaults` stand in for the table's own.
    """
    values: dict[str, Any] = dict(defaults or {})
    for source, found in _sources(config_dir):
        for name, raw in found.items():
            values[str(name).replace("-", "_")] = _convert(name, raw, source)
    values |= {name: value for name, value in flags.items() if value not in (None, ())}
    settings = Settings(**values)
    _check(settings)
    return settings


def node_name(settings: Settings) -> str:
    """What events call this machine."""
    environment = os.environ.get("HUBBLE_NODE_NAME") or os.environ.get("NODE_NAME")
    return settings.node_name or environment or socket.gethostname()


def _sources(config_dir: str | None) -> list[tuple[str, dict[str, Any]]]:
    sources: list[tuple[str, dict[str, Any]]] = []
    if CONFIG_FILE.exists():
        sources.append((str(CONFIG_FILE), _yaml(CONFIG_FILE)))
    directories = [CONFIG_DIR]
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise LictorError(f"the configuration directory {config_dir} does not exist", "create it, or leave it out")
        directories.append(Path(config_dir))
    for directory in directories:
        if directory.is_dir():
            files = [path for path in sorted(directory.iterdir()) if path.is_file()]
            sources += [(str(p), {p.name: p.read_text(errors="replace").strip()}) for p in files]
    prefix = "LICTOR_"
    names = {f.name for f in fields(Settings)}
    found = {k: v for k, v in os.environ.items() if k.startswith(prefix) and k[len(prefix) :].lower() in names}
    sources += [(f"${name}", {name[len(prefix) :].lower(): value}) for name, value in found.items()]
    return sources


def _yaml(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise LictorError(f"{path} is not valid YAML: {error}".replace("\n", " "), "mend or remove it") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise LictorError(f"{path} holds no settings", "write one `name: value` a line")
    return found


def _convert(raw_name: str, raw: Any, source: str) -> Any:
    name = str(raw_name).replace("-", "_")
    known = {f.name: f for f in fields(Settings)}
    if name not in known:
        raise LictorError(f"{source}: there is no setting {raw_name}", "`lictor agent --help` lists them")
    default: Any = known[name].default
    try:
        if isinstance(default, bool):
            return _boolean(raw)
        if isinstance(default, tuple):
            return tuple(str(raw).split()) if isinstance(raw, str) else tuple(str(item) for item in raw)
        return type(default)(raw)
    except (TypeError, ValueError) as error:
        kind = {bool: "true or false", int: "a whole number", float: "a number"}.get(type(default), "a text")
        raise LictorError(f"{source}: {raw_name} is {raw!r}", f"it must be {kind}") from error


def _boolean(raw: Any) -> bool:
    word = str(raw).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(word)


def _check(settings: Settings) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    for name in ("rb_size", "bulk_rb_size"):
        size = getattr(settings, name)
        if size < page or size & (size - 1):
            option = name.replace("_", "-")
            raise LictorError(f"{option} is {size}", f"it must be a power of two and at least {page}")
    for name, least in (
        ("max_argument_bytes", 4096),
        ("process_table_entries", 1024),
        ("export_file_max_size_mb", 1),
        ("export_file_max_backups", 0),
    ):
        if getattr(settings, name) < least:
            raise LictorError(f"{name.replace('_', '-')} is {getattr(settings, name)}", f"it must be at least {least}")
    try:
        mode = int(settings.export_file_perm, 8)
    except ValueError:
        mode = -1
    if not 0 < mode <= 0o777:
        raise LictorError(f"export-file-perm is {settings.export_file_perm}", "it must be an octal mode such as 600")
    if settings.log_level not in ("error", "warn", "warning", "info", "debug", "trace"):
        raise LictorError(f"log-level is {settings.log_level}", "use error, warn, info, debug or trace")
    if settings.log_format not in ("text", "json"):
        raise LictorError(f"log-format is {settings.log_format}", "use text or json")
