"""What hooks of well-known functions saw, said in their own words: one row per function.

A hook that has no row is shown with its name and all its arguments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from lictor.cli.render import quoted
from lictor.cli.values import connection, path, shown, value_of

Body = dict[str, Any]
Detail = Callable[[Body], str]


class Row(NamedTuple):
    icon: str
    name: str
    detail: Detail


def _argument(body: Body, number: int) -> Any:
    arguments = body.get("args", [])
    return value_of(arguments[number]) if number < len(arguments) else ""


def _paths(*numbers: int) -> Detail:
    """The arguments of these numbers; of a policy that reads fewer, whatever of it is a path or a text."""

    def detail(body: Body) -> str:
        found = [value_of(one) for one in body.get("args", [])]
        if max(numbers) < len(found):
            found = [found[number] for number in numbers]
        else:
            found = [one for one in found if isinstance(one, str | dict)]
        return " ".join(filter(None, map(path, found)))

    return detail


def _sized(subject: Callable[[Any], str], size: int) -> Detail:
    """An object, and how many bytes of it."""

    def detail(body: Body) -> str:
        count = _argument(body, size)
        return f"{subject(_argument(body, 0))} {count} bytes" if str(count) else subject(_argument(body, 0))

    return detail


def _connection(body: Body) -> str:
    return connection(_argument(body, 0))


def _first(body: Body) -> str:
    arguments = body.get("args", [])
    return shown(arguments[0]) if arguments else ""


def _flags(names: tuple[tuple[int, str], ...], number: int) -> Detail:
    """The names of a number's bits."""

    def detail(body: Body) -> str:
        mask = _argument(body, number)
        return " ".join(name for bit, name in names if isinstance(mask, int) and mask & bit) or str(mask)

    return detail


# include/uapi/linux/sched.h
_CLONE_NEW = (
    (0x80, "time"),
    (0x20000, "mnt"),
    (0x2000000, "cgroup"),
    (0x4000000, "uts"),
    (0x8000000, "ipc"),
    (0x10000000, "user"),
    (0x20000000, "pid"),
    (0x40000000, "net"),
)

_FUNCTIONS: dict[str, Row] = {
    "fd_install": Row("📬", "open", _paths(1)),
    "sys_open": Row("📬", "open", _paths(0)),
    "sys_openat": Row("📬", "open", _paths(1)),
    "sys_openat2": Row("📬", "open", _paths(1)),
    "security_file_open": Row("📬", "open", _paths(0)),
    "sys_close": Row("📪", "close", _paths(0)),
    "sys_write": Row("📝", "write", _sized(path, 2)),
    "sys_read": Row("📚", "read", _sized(path, 2)),
    "sys_mount": Row("💾", "mount", _paths(0, 1)),
    "security_sb_mount": Row("💾", "mount", _paths(0, 1)),
    "sys_pivot_root": Row("💾", "pivot_root", _paths(0, 1)),
    "sys_setuid": Row("🔑", "setuid", _first),
    "sys_setgid": Row("🔑", "setgid", _first),
    "sys_clock_settime": Row("⏰", "clock_settime", _first),
    "sys_setns": Row("🔧", "setns", _flags(_CLONE_NEW, 1)),
    "sys_unshare": Row("🔧", "unshare", _flags(_CLONE_NEW, 0)),
    "tcp_connect": Row("🔌", "connect", _connection),
    "security_socket_connect": Row("🔌", "connect", _first),
    "tcp_close": Row("🧹", "close", _connection),
    "tcp_sendmsg": Row("📤", "sendmsg", _sized(connection, 1)),
    "bpf_check": Row("🐝", "bpf_load", _first),
    "security_perf_event_alloc": Row("🐝", "perf_event_alloc", _first),
    "security_bpf_map_alloc": Row("🗺", "bpf_map_create", _first),
    "security_path_truncate": Row("📝", "truncate", _paths(0)),
    "security_bprm_check": Row("🏁", "bprm", _paths(0)),
}
_WRAPPER = re.compile(r"^__(x64|ia32|arm64)_(?=sys_)")
_MAY_WRITE, _MAY_READ = 2, 4  # include/linux/fs.h
_PROTECTION = ((1, "r"), (2, "w"), (4, "x"))  # include/uapi/asm-generic/mman-common.h


def of_kprobe(body: Body) -> Row:
    """Icon, name and words for a `process_kprobe`."""
    function = _WRAPPER.sub("", body.get("function_name", "?"))
    row = _FUNCTIONS.get(function)
    if row is not None:
        return row
    if function in _SPECIAL:
        return _SPECIAL[function](body)
    return Row("❓", "syscall" if function.startswith("sys_") else "call", call)


def call(body: Body) -> str:
    """`function(arguments) = return value`."""
    arguments = ", ".join(shown(one) for one in body.get("args", []))
    returned = f" = {shown(body['return'])}" if "return" in body else ""
    return f"{quoted(body.get('function_name', '?'))}({arguments}){returned}"


def _file_permission(body: Body) -> Row:
    mask = _argument(body, 1)
    if mask == _MAY_READ:
        return Row("📚", "read", _paths(0))
    if mask == _MAY_WRITE:
        return Row("📝", "write", _paths(0))
    return Row("❓", "call", call)


def _mmap_file(body: Body) -> Row:
    bits = _argument(body, 1)
    letters = "".join(letter for bit, letter in _PROTECTION if isinstance(bits, int) and bits & bit)
    return Row("📝", f"mmap-{letters or 'none'}", _paths(0))


_SPECIAL: dict[str, Callable[[Body], Row]] = {
    "security_file_permission": _file_permission,
    "security_mmap_file": _mmap_file,
}


def of_tracepoint(body: Body) -> Row:
    if body.get("subsys") == "raw_syscalls" and body.get("event") == "sys_enter":
        return Row("☎", "syscall", _system_call)
    return Row("⁉️", "tracepoint", lambda body: f"{_words(body, 'subsys', 'event')} {_arguments(body)}".strip())


def _system_call(body: Body) -> str:
    """The call by its name, where the number is one of this ABI."""
    from lictor.catalog import syscalls

    first, *others = body.get("args", []) or [{}]
    found = value_of(first)
    # A tracepoint that tells the number alone is of the machine's own ABI.
    abi, number = (found.get("abi"), found.get("id", 0)) if isinstance(found, dict) else (_native(), found)
    name = syscalls.name_of(str(abi), int(number)) if str(number).isdecimal() else ""
    return " ".join(filter(None, (name or shown(first), *map(shown, others))))


def _native() -> str:
    from lictor.catalog import syscalls

    return syscalls.NATIVE.get(os.uname().machine, "x64")


def _arguments(body: Body) -> str:
    return " ".join(shown(one) for one in body.get("args", []))


def _words(body: Body, *names: str) -> str:
    return " ".join(quoted(str(body[name])) for name in names if body.get(name))


def _named(icon: str, name: str, *fields: str) -> Callable[[Body], Row]:
    return lambda _body: Row(icon, name, lambda body: f"{_words(body, *fields)} {_arguments(body)}".strip())


KINDS: dict[str, Callable[[Body], Row]] = {
    "process_kprobe": of_kprobe,
    "process_tracepoint": of_tracepoint,
    "process_uprobe": _named("🕵️", "uprobe", "path", "symbol"),
    "process_usdt": _named("🕵️", "usdt", "path", "provider", "name"),
    "process_lsm": _named("🔒", "LSM", "function_name"),
    "process_loader": _named("🧬", "loader", "buildid", "path"),
}
