"""Reads this machine into `HostFacts`. What cannot be read is left out, and `missing` says why."""

from __future__ import annotations

import errno
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from lictor.host import functions, preemption, tracefs
from lictor.host.cgroups import find_hierarchy
from lictor.host.facts import Cgroups, HostFacts
from lictor.host.formats import paragraph
from lictor.host.functions import Symbol
from lictor.host.procfs import INITIAL

_BTF = Path("/sys/kernel/btf")
_DEBUGFS = Path("/sys/kernel/debug")
_SECURITY = Path("/sys/kernel/security")
# Padding in front of functions, trampolines of static calls, and tables: in kallsyms, and no functions.
_NO_FUNCTIONS = ("__pfx_", "__cfi_", "__SCT__", "__SCK__", "__ksymtab_", "__kstrtab_")


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
        symbols=functions.pack(_symbols(reader)).encode(),
        formats=_formats(reader).encode(),
        missing=reader.missing,
    )


def _modules(reader: Gatherer) -> dict[str, bytes]:
    try:
        names = sorted(name for name in os.listdir(_BTF) if name != "vmlinux")
    except OSError:
        return {}  # no BTF at all: the kernel's own is missing too, and that is noted
    return {name: reader.blob(f"btf of {name}", _BTF / name) for name in names}


def _symbols(reader: Gatherer) -> list[Symbol]:
    """Functions of /proc/kallsyms, with what tracefs and debugfs know of each."""
    traceable = _first_words(reader.text("available_filter_functions", _tracefs() / "available_filter_functions"))
    barred = _last_columns(reader.text("kprobes/blacklist", _DEBUGFS / "kprobes" / "blacklist"))
    injectable = _first_words(reader.text("error_injection/list", _DEBUGFS / "error_injection" / "list"))
    counted: Counter[str] = Counter()
    modules: dict[str, str] = {}
    code = list(_named_code(reader.text("kallsyms", Path("/proc/kallsyms"))))
    traceable |= _aliases(code, traceable)
    for _, name, module in code:
        if "." in name and traceable and name not in traceable:
            continue  # a part of a function that the compiler moved out (`.cold`)
        counted[name] += 1
        modules.setdefault(name, module)
    sets = (traceable, barred, injectable)
    letters = (functions.TRACEABLE, functions.BARRED, functions.INJECTABLE)
    return [
        Symbol(
            name,
            "".join(letter for letter, names in zip(letters, sets, strict=True) if name in names)
            + (functions.AMBIGUOUS if count > 1 else ""),
            modules[name],
        )
        for name, count in counted.items()
    ]


def _aliases(code: list[tuple[int, str, str]], traceable: frozenset[str]) -> frozenset[str]:
    """Other names of traceable functions, as `__x64_sys_getpid`: ftrace lists one name per address."""
    places = {address for address, name, _ in code if name in traceable} - {0}
    return frozenset(name for address, name, _ in code if address in places)


def _named_code(kallsyms: str) -> Iterator[tuple[int, str, str]]:
    """Address (0: not shown), name and module of what kallsyms says is code. Some kernels have data among it:
    where addresses are shown, the kernel's own code ends at a mark, and what is gone after boot lies behind it."""
    end = kallsyms.find(" T _etext\n")
    code_ends = int(kallsyms[kallsyms.rfind("\n", 0, end) + 1 : end], 16) if end > 0 else 0
    for line in kallsyms.splitlines():
        words = line.split()
        module = words[3].strip("[]") if len(words) > 3 else ""
        if words[1] not in "tTwW" or words[2].startswith(_NO_FUNCTIONS) or module == "bpf":
            continue
        address = int(words[0], 16)
        if module or not code_ends or address < code_ends:
            yield address, words[2], module


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
