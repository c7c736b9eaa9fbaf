"""Kernel bytes to the text of an event: arguments, paths, flags. Pure functions, each with its own cases."""

from __future__ import annotations

import posixpath
from functools import lru_cache

from lictor.model.process import EnvVar
from lictor.wire.records import ExecFlag, ProcessFlag


@lru_cache(maxsize=8192)
def path_text(raw: bytes) -> str:
    """A path; bytes that are no UTF-8 become U+FFFD, as protobuf strings demand."""
    return raw.decode(errors="replace")


def arguments(raw: bytes, truncated: bool = False) -> tuple[str, tuple[str, ...]]:
    """`argv[1:]` as one string, and the exact list where that string cannot be split back without doubt.

    `raw` is argv as the kernel holds it: each argument ends with a NUL. An argument with a space is put in double
    quotes and an empty one shown as `""`, inner quotes stay as they are: the reference's form.
    """
    _, nul, rest = raw.partition(b"\0")
    if not nul or not rest:
        return "", ()
    if not truncated and rest.endswith(b"\0"):
        rest = rest[:-1]
    lossy = False
    try:
        text = rest.decode()
    except UnicodeDecodeError:
        text = rest.decode(errors="replace")
        lossy = True
    if text and " " not in text and '"' not in text and "\0\0" not in text and text[0] != "\0" and text[-1] != "\0":
        joined = text.replace("\0", " ")
    else:
        joined = " ".join(_quoted(part) for part in text.split("\0"))
        lossy = lossy or '"' in text
    if not lossy:
        return joined, ()
    return joined, tuple(part.decode(errors="backslashreplace") for part in rest.split(b"\0"))


def _quoted(argument: str) -> str:
    return f'"{argument}"' if not argument or " " in argument else argument


def environment(raw: bytes) -> tuple[EnvVar, ...]:
    """`NAME=value` pairs, each ended by a NUL; an entry without `=` has an empty value."""
    if not raw:
        return ()
    pairs = (entry.partition("=") for entry in raw.decode(errors="replace").rstrip("\0").split("\0"))
    return tuple(EnvVar(name, value) for name, _, value in pairs)


@lru_cache(maxsize=4096)
def binary_path(name: str, executable: str, cwd: str, interpreted: bool) -> str:
    """The path an event names: what execve was given, made absolute with the working directory.

    For `fexecve` (`/dev/fd/N`) that says nothing, so the resolved executable stands in, unless it is a script's
    interpreter.
    """
    if not name or (name.startswith("/dev/fd/") and not interpreted):
        return executable
    if name.startswith("/"):
        return name
    return posixpath.normpath(posixpath.join(cwd or "/", name))


@lru_cache(maxsize=1024)
def exec_flags(exec_bits: int, process_bits: int, cwd_is_root: bool) -> str:
    """The `flags` of a process, in the reference's order."""
    words = ["execve"]
    for bits, word in (
        (int(ExecFlag.ENV_ERROR), "errorEnvs"),
        (ExecFlag.ARGS_TRUNCATED, "truncArgs"),
    ):
        if exec_bits & bits:
            words.append(word)
    if process_bits & ProcessFlag.UNKNOWN:
        words.append("miss")
    for bits, word in (
        (ExecFlag.FILENAME_ERROR | ExecFlag.PATH_ERROR, "errorFilename"),
        (ExecFlag.ARGS_ERROR, "errorArgs"),
    ):
        if exec_bits & bits:
            words.append(word)
    if cwd_is_root:
        words.append("rootcwd")
    if exec_bits & ExecFlag.CWD_ERROR:
        words.append("errorCWD")
    if process_bits & ProcessFlag.CLONED:
        words.append("clone")
    if exec_bits & ExecFlag.CGROUP_ERROR:
        words.append("errorCgroupName")
    if exec_bits & ExecFlag.CWD_UNREACHABLE:
        words.append("errorPathResolutionCwd")
    if process_bits & ProcessFlag.IN_INIT_TREE:
        words.append("inInitTree")
    return " ".join(words)


def tty_name(device: int) -> str:
    """A terminal's name from its device number (Documentation/admin-guide/devices.txt); `major:minor` for others."""
    if not device:
        return ""
    major, minor = device >> 20, device & 0xFFFFF
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    if major == 4:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    return "console" if (major, minor) == (5, 1) else f"{major}:{minor}"
