"""The functions of a kernel by name, and what may be attached to each: a table made from one text. Pure.

The text has one function per line: its name, then what is known of it as letters (`-` for nothing), then the module it
belongs to. Letters: `t` ftrace knows it (fentry and kprobes can attach), `k` kprobes are barred from it, `e` its errors
may be injected, `d` several functions have this name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Padding in front of functions, trampolines of static calls, and tables are in kallsyms, and are no functions.
_CODE = re.compile(
    r"^([0-9a-f]+) [tTwW] (?!__pfx_|__cfi_|__SCT__|__SCK__|__ksymtab_|__kstrtab_)(\S+)(?:\t\[(\S+)\])?$", re.MULTILINE
)
TRACEABLE, BARRED, INJECTABLE, AMBIGUOUS = "tked"


@dataclass(frozen=True, slots=True)
class Symbol:
    """One line of the table."""

    name: str
    letters: str = ""
    module: str = ""

    @property
    def traceable(self) -> bool:
        return TRACEABLE in self.letters

    @property
    def barred(self) -> bool:
        return BARRED in self.letters

    @property
    def injectable(self) -> bool:
        return INJECTABLE in self.letters

    @property
    def ambiguous(self) -> bool:
        return AMBIGUOUS in self.letters


class SymbolTable:
    """Look-ups by name: the text is searched as it is, so that it takes no more memory than it has letters."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None

    def __len__(self) -> int:
        return self._text.count("\n")

    def find(self, name: str) -> Symbol | None:
        """Halves the text until one line is left."""
        text = self._text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high) // 2
            begin, end = text.rfind("\n", 0, middle) + 1, text.find("\n", middle)
            one = text[begin:end].partition(" ")[0]
            if one == name:
                return _symbol(text[begin:end])
            low, high = (end + 1, high) if one < name else (low, begin)
        return None

    def names(self) -> list[str]:
        """Every name, sorted."""
        return [one.partition(" ")[0] for one in self._text.splitlines()]

    def traceable(self) -> list[str]:
        """The names of all that ftrace knows, sorted."""
        return [one.name for one in map(_symbol, self._text.splitlines()) if one.traceable]


def _symbol(text: str) -> Symbol:
    name, _, rest = text.partition(" ")
    letters, _, module = rest.partition(" ")
    return Symbol(name, letters.strip("-"), module)


def pack(symbols: Iterable[Symbol]) -> str:
    """The text of a table."""
    ordered = sorted(symbols, key=lambda symbol: symbol.name)
    return "".join(line(one.name, one.letters, one.module) for one in ordered)


def line(name: str, letters: str, module: str) -> str:
    """One line of a table's text."""
    if module:
        return f"{name} {letters or '-'} {module}\n"
    return f"{name} {letters}\n" if letters else f"{name}\n"


def from_texts(kallsyms: str, traceable: str, barred: str, injectable: str) -> str:
    """The text of a table from the kernel's files: /proc/kallsyms, tracefs `available_filter_functions`, debugfs
    `kprobes/blacklist` and `error_injection/list`. Each may be empty where it cannot be read."""
    code = _code(kallsyms)
    named = (_first_words(traceable), _first_words(injectable), _last_columns(barred))
    traced, injected, refused = (names | _aliases(code, names) for names in named)
    modules: dict[str, str] = {}
    several: set[str] = set()
    for _, name, module in code:
        if name in modules:
            several.add(name)
        else:
            modules[name] = module
    sets = ((TRACEABLE, traced), (BARRED, refused), (INJECTABLE, injected), (AMBIGUOUS, several))
    known = traced | refused | injected | several
    lines = []
    for name in sorted(modules):
        letters = "".join(letter for letter, names in sets if name in names) if name in known else ""
        if "." not in name or name in traced or not traced:  # else the compiler moved it out (`.cold`)
            lines.append(line(name, letters, modules[name]))
    return "".join(lines)


def _code(kallsyms: str) -> list[tuple[str, str, str]]:
    """Address (zeros: not shown), name and module of what kallsyms says is code. Some kernels have data among it:
    where addresses are shown, the kernel's own code ends at a mark, and what is gone after boot lies behind it."""
    found = _CODE.findall(kallsyms)
    end = next((address for address, name, _ in found if name == "_etext"), "")
    if not end.strip("0"):
        return [one for one in found if one[2] != "bpf"]
    return [one for one in found if one[0] < end or one[2] not in ("", "bpf")]


def _aliases(code: list[tuple[str, str, str]], names: frozenset[str]) -> frozenset[str]:
    """Other names of the same functions, as `__x64_sys_getpid`: the kernel lists one name per address."""
    if not names:
        return names
    places = {address for address, name, _ in code if name in names}
    return frozenset(name for address, name, _ in code if address in places and address.strip("0"))


def _first_words(text: str) -> frozenset[str]:
    return frozenset(line.split()[0] for line in text.splitlines() if line)


def _last_columns(text: str) -> frozenset[str]:
    """Names of the kprobe blacklist: `0x…-0x…<TAB>name`."""
    return frozenset(line.split("\t")[-1].split()[0] for line in text.splitlines() if "\t" in line)
