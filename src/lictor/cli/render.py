"""Events for people: one line each. Works on the JSON form, so live events and those of the API look alike.

Everything that comes from a process is shown escaped: no event can move the cursor or start a line of its own.
"""

from __future__ import annotations

import os
import sys
from typing import Any

RESET, BOLD, DIM, RED, GREEN, YELLOW, BLUE, CYAN = (
    f"\x1b[{code}m" for code in ("0", "1", "2", "31", "32", "33", "34", "36")
)
_NAMES = {"process_exec": ("🚀", "process", GREEN), "process_exit": ("💥", "exit", BLUE)}


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


class Compact:
    """Renders an event given as the decoded JSON object."""

    def __init__(self, color: bool = False, timestamps: bool = False) -> None:
        self._color = color
        self._timestamps = timestamps

    def line(self, event: dict[str, Any]) -> str:
        """One line, without its newline."""
        kind = next(iter(event))
        stamp = f"{self._paint(DIM, event.get('time', ''))} " if self._timestamps else ""
        body = event[kind]
        if kind == "rate_limit_info":
            return stamp + self._loss(body, event)
        if kind not in _NAMES or "process" not in body:
            return f"{stamp}❓ {safe(kind)}"
        return stamp + self._process(kind, body)

    def _loss(self, body: dict[str, Any], event: dict[str, Any]) -> str:
        count = body.get("number_of_dropped_process_events", 0)
        loss = event.get("lictor", {}).get("loss", {})
        where = f" ({safe(loss['where'])}: {safe(loss['reason'])})" if loss else ""
        return self._paint(RED, f"⚠️  lost    {count} events are missing here{where}")

    def _process(self, kind: str, body: dict[str, Any]) -> str:
        icon, name, hue = _NAMES[kind]
        process = body["process"]
        where = safe(process.get("docker", "")[:12]) or safe(os.uname().nodename)
        user = safe(user_name(process.get("uid", 0)))
        words = [
            icon,
            self._paint(hue, f"{name:7}"),
            self._paint(DIM, where),
            self._paint(YELLOW, user),
            self._paint(CYAN, str(process.get("pid", "?"))),
            self._paint(BOLD, safe(process.get("binary", "") or "?")),
        ]
        if process.get("arguments"):
            words.append(safe(process["arguments"]))
        if kind == "process_exit":
            words.append(self._paint(RED if "signal" in body or "status" in body else DIM, _outcome(body)))
        if "truncArgs" in process.get("flags", ""):
            words.append(self._paint(RED, "[arguments cut]"))
        return " ".join(words)

    def _paint(self, code: str, text: str) -> str:
        return f"{code}{text}{RESET}" if self._color else text


def _outcome(body: dict[str, Any]) -> str:
    return safe(str(body["signal"])) if "signal" in body else str(body.get("status", 0))
