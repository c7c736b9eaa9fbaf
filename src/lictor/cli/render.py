"""Colours, and text from outside made safe: nothing can move the cursor or start a line of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

RESET, BOLD, DIM, RED, GREEN, YELLOW, BLUE, CYAN = (
    f"\x1b[{code}m" for code in ("0", "1", "2", "31", "32", "33", "34", "36")
)


def wants_color(choice: str, stream: Any = None) -> bool:
    """`auto` is colour on a terminal, unless NO_COLOR is set (no-color.org)."""
    if choice != "auto":
        return choice == "always"
    stream = stream or sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def safe(text: str) -> str:
    """Text from outside, with what a terminal would act on written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(text: str, always: bool = False) -> str:
    """Text from outside in quotes, where it is empty or its end would be in doubt without them."""
    made = safe(text)
    if not always and made == text and text and not set(text) & _DOUBTFUL:
        return text
    return '"' + made.replace('"', '\\"') + '"'


_DOUBTFUL = frozenset(' "')


def table(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> list[str]:
    """Lines of a table; numbers stand to the right."""
    cells = [[*heads], *([safe(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    right = [all(row[column].isdecimal() for row in cells[1:]) and len(cells) > 1 for column in range(len(heads))]
    return [
        "  ".join(
            f"{cell:>{width}}" if to_right else f"{cell:{width}}"
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]


def user_name(uid: int) -> str:
    """The name of a host user; the number when there is none."""
    name = _users().get(uid)
    return name or str(uid)


def _users() -> dict[int, str]:
    if not _USERS:
        _USERS[0] = "root"
        try:
            with open("/etc/passwd", encoding="utf-8", errors="replace") as passwd:
                rows = (line.split(":") for line in passwd)
                _USERS.update({int(row[2]): row[0] for row in rows if len(row) > 2 and row[2].isdigit()})
        except OSError:
            pass  # numbers are shown then
    return _USERS


_USERS: dict[int, str] = {}
