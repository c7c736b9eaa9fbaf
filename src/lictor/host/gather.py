"""Reads this machine into `HostFacts`. What cannot be read is left out, and `missing` says why."""

from __future__ import annotations

import errno
import os
import platform
import re
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
# Padding in front of functions, trampolines of static calls, and tables are in kallsyms, and are no functions.
_CODE = re.compile(
    r"^([0-9a-f]+) [tTwW] (?!__pfx_|__cfi_|__SCT__|__SCK__|__ksymtab_|__kstrtab_)(\S+)(?:\t\[(\S+)\])?$", re.MULTILINE
)


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
    """Functions of /proc/kallsyms, with what tracefs and debugfs know of each (`host.functions`)."""
    traceable = _first_words(reader.text("available_filter_functions", _tracefs() / "available_filter_functions"))
    barred = _last_columns(reader.text("kprobes/blacklist", _DEBUGFS / "kprobes" / "blacklist"))
    injectable = _first_words(reader.text("error_injection/list", _DEBUGFS / "error_injection" / "list"))
    code = _code(reader.text("kallsyms", Path("/proc/kallsyms")))
    traceable |= _aliases(code, traceable)
    modules: dict[str, str] = {}
    several: set[str] = set()
    for _, name, module in code:
        if name in modules:
            several.add(name)
        else:
            modules[name] = module
    known = traceable | barred | injectable | several
    lines = []
    for name in sorted(modules):
        letters = ""
        if name in known:
            letters += functions.TRACEABLE if name in traceable else ""
            letters += functions.BARRED if name in barred else ""
            letters += functions.INJECTABLE if name in injectable else ""
            letters += functions.AMBIGUOUS if name in several else ""
        if "." not in name or name in traceable or not traceable:  # else the compiler moved it out (`.cold`)
            lines.append(functions.line(name, letters, modules[name]))
    return "".join(lines)


def _code(kallsyms: str) -> list[tuple[str, str, str]]:
    """Address (zeros: not shown), name and module of what kallsyms says is code. Some kernels have data among it:
    where addresses are shown, the kernel's own code ends at a mark, and what is gone after boot lies behind it."""
    found = _CODE.findall(kallsyms)
    end = next((address for address, name, _ in found if name == "_etext"), "")
    if not end.strip("0"):
        return [one for one in found if one[2] != "bpf"]
    return [one for one in found if one[0] < end or one[2] not in ("", "bpf")]


def _aliases(code: list[tuple[str, str, str]], traceable: frozenset[str]) -> frozenset[str]:
    """Other names of traceable functions, as `__x64_sys_getpid`: ftrace lists one name per address."""
    places = {address for address, name, _ in code if name in traceable}
    return frozenset(name for address, name, _ in code if address in places and address.strip("0"))


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


def _first_words(text: str) -> frozenset[str]:
    return frozenset(line.split()[0] for line in text.splitlines() if line)


def _last_columns(text: str) -> frozenset[str]:
    """Names of the kprobe blacklist: `0x…-0x…<TAB>name`."""
    return frozenset(line.split("\t")[-1].split()[0] for line in text.splitlines() if "\t" in line)


def selected(text: str) -> str:
    """The word in brackets of a choice such as `none [integrity] confidentiality`."""
    return text.partition("[")[2].partition("]")[0]


def _why(path: Path, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{tracefs.shown(path)} may not be read ({error.strerror}); root may, unless the kernel is locked down"
    return f"{tracefs.shown(path)}: {error.strerror}"
