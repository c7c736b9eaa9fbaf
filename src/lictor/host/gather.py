"""Reads this machine into `HostFacts`. What cannot be read is left out, and `missing` says why."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Callable
from pathlib import Path

from lictor.host import functions, preemption, tracefs
from lictor.host.cgroups import find_hierarchy
from lictor.host.facts import Cgroups, HostFacts
from lictor.host.formats import paragraph
from lictor.host.procfs import INITIAL

_BTF = Path("/sys/kernel/btf")
_DEBUGFS = Path("/sys/kernel/debug")
_SECURITY = Path("/sys/kernel/security")


class Gatherer:
    """One reading of the machine; `missing` collects what failed."""

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}

    def text(self, name: str, path: Path) -> str:
        """A file's text, or empty with the reason noted."""
        return self.blob(name, path).decode(errors="replace")

    def blob(self, name: str, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            self.missing[name] = _why(path, error)
            return b""


def gather(abilities: Callable[[], dict[str, str]] | None = None) -> HostFacts:
    """Everything about the running kernel. `abilities` tries what it can do (`host.features`), if given."""
    reader = Gatherer()
    hierarchy = find_hierarchy()
    if abilities is None:
        reader.missing["abilities"] = "what the kernel can do was not tried: that needs root"
    return HostFacts(
        release=os.uname().release,
        architecture=platform.machine(),
        page_size=os.sysconf("SC_PAGE_SIZE"),
        preemption=preemption.find(),
        lockdown=selected(reader.text("lockdown", _SECURITY / "lockdown")),
        lsms=tuple(filter(None, reader.text("lsm", _SECURITY / "lsm").strip().split(","))),
        cgroups=Cgroups(controller=hierarchy.controller, root=hierarchy.root, programs=hierarchy.programs),
        init_pid_namespace=os.stat("/proc/self/ns/pid").st_ino == INITIAL["pid"],
        abilities=abilities() if abilities else {},
        btf=reader.blob("btf", _BTF / "vmlinux"),
        modules=_modules(reader),
        symbols=_symbols(reader).encode(),
        formats=_formats(reader).encode(),
        missing=reader.missing,
    )


def _modules(reader: Gatherer) -> dict[str, bytes]:
    try:
        names = sorted(name for name in os.listdir(_BTF) if name != "vmlinux")
    except OSError:
        return {}  # no BTF at all: the kernel's own is missing too, and that is noted
    return {name: reader.blob(f"btf of {name}", _BTF / name) for name in names}


def _symbols(reader: Gatherer) -> str:
    """Functions of /proc/kallsyms, with what tracefs and debugfs know of each."""
    return functions.from_texts(
        kallsyms=reader.text("kallsyms", Path("/proc/kallsyms")),
        traceable=reader.text("available_filter_functions", _tracefs() / "available_filter_functions"),
        barred=reader.text("kprobes/blacklist", _DEBUGFS / "kprobes" / "blacklist"),
        injectable=reader.text("error_injection/list", _DEBUGFS / "error_injection" / "list"),
    )


def _formats(reader: Gatherer) -> str:
    """The format files of every event, in order."""
    events = _tracefs() / "events"
    found = []
    try:
        for subsystem in sorted(entry.name for entry in os.scandir(events) if entry.is_dir()):
            for event in sorted(entry.name for entry in os.scandir(events / subsystem) if entry.is_dir()):
                try:
                    text = (events / subsystem / event / "format").read_text()
                except FileNotFoundError:
                    continue  # not an event, as in `ftrace/`
                found.append(paragraph(f"{subsystem}/{event}", text))
    except OSError as error:
        reader.missing["tracepoint formats"] = _why(events, error)
    return "".join(found)


def _tracefs() -> Path:
    """Where tracefs is, or where it should be."""
    try:
        return tracefs.find()
    except OSError:
        return tracefs.PLACES[0]


def selected(text: str) -> str:
    """The word in brackets of a choice such as `none [integrity] confidentiality`."""
    return text.partition("[")[2].partition("]")[0]


def _why(path: Path, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{tracefs.shown(path)} may not be read ({error.strerror}); root may, unless the kernel is locked down"
    return f"{tracefs.shown(path)}: {error.strerror}"
