"""Makes the catalogue of system calls from the kernel's own tables and headers.

    python tools/gen_syscalls.py --linux DIR    write src/lictor/catalog/syscall*.tsv from a kernel source tree
    python tools/gen_syscalls.py --check        compare them with what needs no tree: the numbers in this machine's
                                                headers, and the tracepoint formats of the saved facts

Names and types of parameters come from tracefs (`events/syscalls/*/format`) where a saved machine has them, else from
the tree's headers, which leave out some names.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from lictor.catalog import syscalls
from lictor.host.facts import HostFacts

ROOT = Path(__file__).resolve().parent.parent
CATALOG = ROOT / "src" / "lictor" / "catalog"
SAVED = ROOT / "tests" / "golden" / "facts"
HEAD = "# Made by tools/gen_syscalls.py.\n"
# ABI -> (table, the rows of it that count, whether the second entry point is taken)
TABLES = {
    "x64": ("arch/x86/entry/syscalls/syscall_64.tbl", {"common", "64"}, False),
    "i386": ("arch/x86/entry/syscalls/syscall_32.tbl", {"i386"}, True),
    "arm64": ("scripts/syscall.tbl", {"common", "64", "renameat", "rlimit", "memfd_secret"}, False),
    "arm32": ("arch/arm64/tools/syscall_32.tbl", {"common"}, True),
}
HEADERS = ("include/linux/syscalls.h", "include/linux/compat.h", "arch/x86/include/asm/syscalls.h")
UNISTD = {"x64": "x86_64-linux-gnu/asm/unistd_64.h", "i386": "x86_64-linux-gnu/asm/unistd_32.h"}
_DECLARED = re.compile(r"asmlinkage\s+(?:long|ssize_t|int)\s+((?:compat_)?sys_\w+)\(([^;]*?)\);", re.DOTALL)
# Files that define what no header declares.
SOURCES = (
    "arch/x86/kernel/sys_ia32.c", "arch/x86/kernel/tls.c", "arch/arm64/kernel/sys32.c", "kernel/sys.c",
    "ipc/msg.c", "ipc/sem.c", "ipc/shm.c",
)  # fmt: skip
_DEFINED = re.compile(r"\b(COMPAT_)?SYSCALL_DEFINE\d\((\w+),?([^)]*)\)")
_NUMBER = re.compile(r"^#define\s+__NR_(\w+)\s+(\d+)$", re.MULTILINE)
_TYPE_WORDS = {"int", "long", "short", "char", "unsigned", "signed", "void", "const", "struct", "union"}


def rows(linux: Path) -> Iterator[tuple[str, int, str, str]]:
    """ABI, number, name and entry point of every call that has one."""
    for abi, (table, kinds, compat) in TABLES.items():
        for line in (linux / table).read_text().splitlines():
            words = line.split()
            if len(words) < 4 or words[0].startswith("#") or words[1] not in kinds:
                continue
            entry = words[4] if compat and len(words) > 4 and words[4] != "-" else words[3]
            if entry != "sys_ni_syscall":
                yield abi, int(words[0]), words[2], entry


def declared(linux: Path) -> dict[str, str]:
    """Parameters by entry point, from the headers."""
    found: dict[str, str] = {}
    for header in HEADERS:
        for entry, given in _DECLARED.findall((linux / header).read_text()):
            text = re.sub(r"/\*.*?\*/", "", given, flags=re.DOTALL)
            parts = [_parameter(" ".join(one.split())) for one in text.split(",")]
            found.setdefault(entry, "void" if parts == ["void|"] else ", ".join(parts))
    for source in SOURCES:
        text = re.sub(r"arg_u32p\((\w+)\)", r"u32, \1_lo, u32, \1_hi", (linux / source).read_text())
        for compat, name, given in _DEFINED.findall(text):
            words = [" ".join(word.split()) for word in given.split(",")] if given.strip() else []
            parts = [_parameter(f"{kind} {label}") for kind, label in zip(words[::2], words[1::2], strict=True)]
            found.setdefault(f"{'compat_' if compat else ''}sys_{name}", ", ".join(parts) or "void")
    return found


def _parameter(text: str) -> str:
    """`TYPE|NAME` of a C parameter without brackets."""
    text = re.sub(r"\b__user\b ?", "", text).replace("*", " * ")
    words = text.split()
    last = words[-1]
    named = len(words) > 1 and last not in _TYPE_WORDS and last != "*" and words[-2] not in ("struct", "union")
    kind = " ".join(words[:-1] if named else words)
    return f"{re.sub(r'[*] [*]', '**', kind)}|{last if named else ''}"


def traced() -> dict[str, str]:
    """Parameters by entry point, from the saved machines' tracefs; the newest kernel's last."""
    found = {}
    for facts in saved():
        for name in facts.tracepoints():
            subsystem, _, event = name.partition("/")
            if subsystem != "syscalls" or not event.startswith("sys_enter_"):
                continue
            fields = facts.tracepoint(subsystem, event)
            # Newer kernels append the memory that a parameter points to.
            given = [f"{one.type}|{one.name}" for one in fields.fields[5:] if not one.dynamic] if fields else []
            found[f"sys_{event.removeprefix('sys_enter_')}"] = ", ".join(given) or "void"
    return found


def saved() -> list[HostFacts]:
    """The saved machines, by release."""
    every = [HostFacts.from_json(path.read_bytes()) for path in sorted(SAVED.glob("*.xz"))]
    return sorted(every, key=lambda facts: [int(part) for part in re.findall(r"\d+", facts.release)[:3]])


def write(linux: Path) -> None:
    table = list(rows(linux))
    known = declared(linux) | traced()
    entries = sorted({entry for *_, entry in table})
    missing = [entry for entry in entries if entry not in known]
    if missing:
        print(f"no parameters are known of {', '.join(missing)}: taken to have none", file=sys.stderr)
    lines = "".join(f"{abi}\t{number}\t{name}\t{entry}\n" for abi, number, name, entry in table)
    (CATALOG / "syscalls.tsv").write_text(HEAD + lines)
    shapes = "".join(f"{entry}\t{known.get(entry, 'void')}\n" for entry in entries)
    (CATALOG / "syscall_prototypes.tsv").write_text(HEAD + shapes)


def check() -> list[str]:
    """What the catalogue has otherwise than this machine's headers or the saved machines."""
    wrong = []
    for abi, header in UNISTD.items():
        path = Path("/usr/include") / header
        for name, number in _NUMBER.findall(path.read_text()) if path.exists() else ():
            found = syscalls.by_user_name(abi, name)
            if found is not None and found.number != int(number):
                wrong.append(f"{abi} {name} is {number}, not {found.number}")
    shapes = syscalls.prototypes()
    for entry, given in traced().items():
        ours = ", ".join(f"{kind}|{name}" for name, kind in shapes.get(entry, ())) or "void"
        if entry in shapes and ours != given:
            wrong.append(f"{entry} takes ({given}), not ({ours})")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description="The catalogue of system calls.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--linux", type=Path, help="a kernel source tree")
    what.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.check:
        wrong = check()
        sys.exit("\n".join(wrong) if wrong else 0)
    write(given.linux)


if __name__ == "__main__":
    main()
