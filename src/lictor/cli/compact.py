"""Events for people: one line each. Works on the JSON form, so live events and those of the API look alike."""

from __future__ import annotations

import os
from typing import Any

from lictor.cli.hooks import KINDS, Row
from lictor.cli.render import BLUE, BOLD, CYAN, DIM, GREEN, RED, RESET, YELLOW, quoted, safe, user_name

_PROCESS = {"process_exec": Row("🚀", "process", lambda _: ""), "process_exit": Row("💥", "exit", lambda _: "")}
_HUES = {"process_exec": GREEN, "process_exit": BLUE}
_QUIET = frozenset({"POST", "UNKNOWN", "NOPOST"})
_MARGIN = 120  # column at which the mark of a privileged process ends


class Compact:
    """Renders an event given as the decoded JSON object. Stack traces and hashes go on lines of their own below."""

    def __init__(
        self, color: bool = False, timestamps: bool = False, stack_traces: bool = True, ima_hash: bool = True
    ) -> None:
        self._color = color
        self._timestamps = timestamps
        self._stack_traces = stack_traces
        self._ima_hash = ima_hash

    def line(self, event: dict[str, Any]) -> str:
        """One line, without its newline."""
        kind = next(iter(event))
        stamp = f"{self._paint(DIM, safe(event.get('time', '')))} " if self._timestamps else ""
        body = event[kind]
        if kind == "rate_limit_info":
            return stamp + self._loss(body, event)
        if kind == "process_throttle":
            return stamp + self._throttle(body)
        if "process" not in body:
            return f"{stamp}❓ {safe(kind)}"
        return stamp + self._process(kind, body, event.get("aggregation_info", {}).get("count"))

    def _loss(self, body: dict[str, Any], event: dict[str, Any]) -> str:
        count = body.get("number_of_dropped_process_events", 0)
        loss = event.get("lictor", {}).get("loss", {})
        where = f" ({safe(loss['where'])}: {safe(loss['reason'])})" if loss else ""
        return self._paint(RED, f"⚠️  lost    {count} events are missing here{where}")

    def _throttle(self, body: dict[str, Any]) -> str:
        word = safe(body.get("type", "").removeprefix("THROTTLE_"))
        return f"🧬 {self._paint(YELLOW, 'throttle')} {word} {quoted(body.get('cgroup', ''))}"

    def _process(self, kind: str, body: dict[str, Any], count: str | None) -> str:
        row = _PROCESS.get(kind) or KINDS.get(kind, _unknown)(body)
        process = body["process"]
        words = [
            row.icon,
            self._paint(_HUES.get(kind, CYAN), f"{row.name:7}"),
            self._paint(DIM, _where(process)),
            self._paint(YELLOW, safe(user_name(process.get("uid", 0)))),
            self._paint(CYAN, str(process.get("pid", "?"))),
            self._paint(BOLD, quoted(process.get("binary", "") or "?")),
        ]
        if kind in _PROCESS and process.get("arguments"):
            words.append(safe(process["arguments"]))
        words += filter(None, (row.detail(body), self._action(body)))
        if kind == "process_exit":
            words.append(self._paint(RED if "signal" in body or "status" in body else DIM, _outcome(body)))
        if body.get("message"):
            words.append(self._paint(DIM, f"# {safe(body['message'])}"))
        if "truncArgs" in process.get("flags", ""):
            words.append(self._paint(RED, "[arguments cut]"))
        if count is not None and str(count) != "1":
            words.append(self._paint(DIM, f"×{count}"))
        return "".join((self._marked(" ".join(words), process), *self._below(body)))

    def _action(self, body: dict[str, Any]) -> str:
        """What was done about it, where that is more than telling."""
        found = []
        for field in ("action", "return_action"):
            name = body.get(field, "").removeprefix("KPROBE_ACTION_")
            if name and name not in _QUIET and name not in found:
                found.append(name)
        return self._paint(RED, f"[{safe(' '.join(found))}]") if found else ""

    def _marked(self, line: str, process: dict[str, Any]) -> str:
        if "CAP_SYS_ADMIN" not in process.get("cap", {}).get("permitted", []):
            return line
        mark = "🛑 CAP_SYS_ADMIN"
        return f"{line} {self._paint(RED, mark):>{max(0, _MARGIN - len(line) - 1)}}"

    def _below(self, body: dict[str, Any]) -> list[str]:
        lines = []
        for field, title in (("kernel_stack_trace", "Kernel"), ("user_stack_trace", "User")):
            if self._stack_traces and body.get(field):
                lines.append(f"\n  {title}:")
                lines += [f"\n    {_frame(frame)}" for frame in body[field]]
        if self._ima_hash and body.get("ima_hash"):
            lines.append(f"\n  IMA: {quoted(body['ima_hash'])}")
        return lines

    def _paint(self, code: str, text: str) -> str:
        return f"{code}{text}{RESET}" if self._color else text


def _where(process: dict[str, Any]) -> str:
    """Namespace and pod, else the container, else this host."""
    pod = process.get("pod", {})
    if pod.get("name"):
        return safe(f"{pod.get('namespace', '')}/{pod['name']}")
    return safe(process.get("docker", "")[:12]) or safe(os.uname().nodename)


def _unknown(_body: dict[str, Any]) -> Row:
    return Row("❓", "event", lambda _: "")


def _frame(frame: dict[str, Any]) -> str:
    address = f"0x{int(frame['address']):x}: " if frame.get("address") else ""
    module = f" ({quoted(frame['module'])})" if frame.get("module") else ""
    return f"{address}{quoted(frame.get('symbol', '') or '?')}+0x{int(frame.get('offset', 0)):x}{module}"


def _outcome(body: dict[str, Any]) -> str:
    return safe(str(body["signal"])) if "signal" in body else str(body.get("status", 0))
