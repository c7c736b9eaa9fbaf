"""Arguments of hook events for people: one row per kind of value. Works on the JSON form."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Any

from lictor.cli.render import quoted

_BYTES_SHOWN = 64
Show = Callable[[Any], str]


def shown(argument: dict[str, Any]) -> str:
    """An argument in a word or two; with its label, where it has one."""
    label = argument.get("label")
    for member, value in argument.items():
        if member != "label":
            text = _MEMBERS.get(member, _plain)(value)
            return f"{quoted(label)}={text}" if label else text
    return "?"


def value_of(argument: dict[str, Any]) -> Any:
    """What is inside: a number, a text, or the fields of an object."""
    return next((value for member, value in argument.items() if member != "label"), "")


def path(found: Any) -> str:
    """The path of a file, a path, a program; a text as it is."""
    if isinstance(found, dict):
        return quoted(found.get("mount", "") + found.get("path", ""))
    return _plain(found)


def connection(found: Any) -> str:
    """`tcp 10.0.0.1:4000 -> 10.0.0.2:443`."""
    if not isinstance(found, dict):
        return _plain(found)
    protocol = found.get("protocol", "").removeprefix("IPPROTO_").lower() or "?"
    source = endpoint(found.get("saddr", ""), found.get("sport", 0))
    return f"{quoted(protocol)} {source} -> {endpoint(found.get('daddr', ''), found.get('dport', 0))}"


def endpoint(address: str, port: Any) -> str:
    return f"[{quoted(address)}]:{port}" if ":" in address else f"{quoted(address) if address else '*'}:{port}"


def data(found: Any) -> str:
    """The beginning of some bytes, as text."""
    raw = b64decode(found)
    more = "…" if len(raw) > _BYTES_SHOWN else ""
    return quoted(raw[:_BYTES_SHOWN].decode("utf-8", "backslashreplace"), always=True) + more


def _cut_data(found: dict[str, Any]) -> str:
    return f"{data(found.get('bytes_arg', ''))} of {found.get('orig_size', '?')} bytes"


def _plain(found: Any) -> str:
    if isinstance(found, dict):
        return "{" + " ".join(f"{quoted(name)}={_plain(value)}" for name, value in found.items()) + "}"
    if isinstance(found, list):
        return ",".join(_plain(one) for one in found)
    return quoted(found) if isinstance(found, str) else str(found)


def _field(name: str) -> Show:
    return lambda found: quoted(str(found.get(name, "?")))


def _pair(first: str, second: str) -> Show:
    return lambda found: f"{quoted(str(found.get(first, '')))} {quoted(str(found.get(second, '')))}".strip()


_MEMBERS: dict[str, Show] = {
    "string_arg": lambda found: quoted(found, always=True),
    "path_arg": path,
    "file_arg": path,
    "linux_binprm_arg": path,
    "sockaddrun_arg": path,
    "sock_arg": connection,
    "skb_arg": connection,
    "sockaddr_arg": lambda found: endpoint(found.get("addr", ""), found.get("port", 0)),
    "bytes_arg": data,
    "truncated_bytes_arg": _cut_data,
    "capability_arg": _field("name"),
    "module_arg": _field("name"),
    "net_dev_arg": _field("name"),
    "bpf_attr_arg": _pair("ProgType", "ProgName"),
    "bpf_prog_arg": _pair("ProgType", "ProgName"),
    "bpf_map_arg": _pair("MapType", "MapName"),
    "perf_event_arg": _pair("Type", "KprobeFunc"),
    "syscall_id": _pair("abi", "id"),
    "error_arg": lambda found: f"<{quoted(found.get('Message', 'not read'))}>",
}
