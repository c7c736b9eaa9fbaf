"""The functions of a kernel by name, and what may be attached to each: a table made from one text. Pure.

The text has one function per line: its name, then what is known of it as letters (`-` for nothing), then the module it
belongs to. Letters: `t` ftrace knows it (fentry and kprobes can attach), `k` kprobes are barred from it, `e` its errors
may be injected, `d` several functions have this name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

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
    """Look-ups by name. The text is taken apart at the first one."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, name: str) -> Symbol | None:
        rest = self._rows.get(name)
        if rest is None:
            return None
        letters, _, module = rest.partition(" ")
        return Symbol(name, letters.strip("-"), module)

    def names(self) -> Iterable[str]:
        """Every name, sorted."""
        return self._rows.keys()

    @cached_property
    def _rows(self) -> dict[str, str]:
        rows = {}
        for line in self._text.splitlines():
            name, _, rest = line.partition(" ")
            rows[name] = rest
        return rows


def pack(symbols: Iterable[Symbol]) -> str:
    """The text of a table."""
    ordered = sorted(symbols, key=lambda symbol: symbol.name)
    return "".join(line(one.name, one.letters, one.module) for one in ordered)


def line(name: str, letters: str, module: str) -> str:
    """One line of a table's text."""
    if module:
        return f"{name} {letters or '-'} {module}\n"
    return f"{name} {letters}\n" if letters else f"{name}\n"
