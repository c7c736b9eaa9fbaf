"""Tracepoints as tracefs describes them: a table made from the `format` files' text. Pure.

The text has one paragraph per event: a line `SUBSYSTEM/EVENT`, then the file's `field:` lines as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_FIELD = re.compile(
    r"\s*field:(?P<declared>[^;]+);\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);(?:\s*signed:(?P<signed>\d);)?"
)
_NAME = re.compile(r"^([^\s/]+/\S+)$", re.MULTILINE)
_ARRAY = re.compile(r"\[([^\]]*)\]$")


@dataclass(frozen=True, slots=True)
class FormatField:
    """One field. `type` is its C type without brackets, `count` its elements (1: no array). `dynamic`: at `offset` is a
    32-bit word that tells where in the record the value lies (`__data_loc`, `__rel_loc`: `relative`)."""

    name: str
    type: str
    offset: int
    size: int
    signed: bool
    count: int = 1
    dynamic: bool = False
    relative: bool = False

    @property
    def text(self) -> str:
        """Type and brackets as C has them."""
        if self.dynamic:
            return f"{self.type}[]"
        return f"{self.type}[{self.count}]" if self.count > 1 else self.type

    @property
    def is_array(self) -> bool:
        return self.dynamic or self.count > 1


@dataclass(frozen=True, slots=True)
class Format:
    """A tracepoint's record. A field's place in `fields` is the `index` that policies give, common ones included."""

    subsystem: str
    event: str
    fields: tuple[FormatField, ...]

    @property
    def name(self) -> str:
        return f"{self.subsystem}/{self.event}"


class FormatTable:
    """Look-ups by subsystem and event, in the text as it is. Fields are taken apart when asked for."""

    def __init__(self, text: str) -> None:
        self._text = "\n\n" + text

    def __len__(self) -> int:
        return len(self.names())

    def find(self, subsystem: str, event: str) -> Format | None:
        begin = self._text.find(f"\n\n{subsystem}/{event}\n")
        if begin < 0:
            return None
        end = self._text.find("\n\n", begin + 2)
        return Format(subsystem, event, tuple(_fields(self._text[begin + 2 : end])))

    def names(self) -> list[str]:
        """Every tracepoint as `subsystem/event`, sorted."""
        return _NAME.findall(self._text)


def paragraph(name: str, format_file: str) -> str:
    """What the table's text keeps of a format file."""
    kept = [line.strip() for line in format_file.splitlines() if line.lstrip().startswith("field:")]
    return "\n".join([name, *kept]) + "\n\n"


def _fields(lines: str) -> Iterable[FormatField]:
    for line in lines.splitlines():
        found = _FIELD.match(line)
        if found:
            yield _field(found)


def _field(found: re.Match[str]) -> FormatField:
    declared, size = found["declared"].strip(), int(found["size"])
    dynamic = declared.startswith(("__data_loc ", "__rel_loc "))
    relative = declared.startswith("__rel_loc ")
    if dynamic:
        # `__data_loc char[] name`: the brackets stand with the type.
        kind, _, name = declared.partition(" ")[2].rpartition(" ")
        return FormatField(
            name, kind.replace("[]", "").strip(), int(found["offset"]), size, found["signed"] == "1", 1, True, relative
        )
    brackets = _ARRAY.search(declared)
    kind, star, name = _split(declared[: brackets.start()] if brackets else declared)
    width = _width(kind) if brackets else 0
    count = int(brackets[1]) if brackets and brackets[1].isdigit() else size // width if width else 1
    return FormatField(name, kind + star, int(found["offset"]), size, found["signed"] == "1", max(count, 1))


def _split(declared: str) -> tuple[str, str, str]:
    """Type, stars and name of a declaration without brackets."""
    before, _, name = declared.strip().rpartition(" ")
    stars = name[: len(name) - len(name.lstrip("*"))]
    return before.rstrip(), f" {stars}" if stars else "", name.lstrip("*")


def _width(kind: str) -> int:
    """Bytes of an array's element where its length is not written as a number (`comm[TASK_COMM_LEN]`)."""
    return {"char": 1, "unsigned char": 1, "u8": 1, "__u8": 1, "signed char": 1}.get(kind, 0)
