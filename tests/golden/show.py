"""Plans as text that a person can read and compare: JSON that is broken into lines only where it must be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from difflib import unified_diff
from typing import Any

import msgspec

from lictor.policy.compile import Compiled

_WIDTH = 118
_HOOKS = 12  # a policy with more of them is shown with its first two; the others' digest tells that they are the same


def compiled(found: Compiled) -> list[str]:
    """The lines of a result: what was found, then the plan."""
    lines = [f"{one.severity} {one.line}:{one.column} {one.code}" for one in found.diagnostics]
    return lines + shown(found) if found.plan is not None else [*lines, "no plan"]


def shown(found: Compiled) -> list[str]:
    """The plan alone."""
    plan = msgspec.to_builtins(found.plan)
    rest = plan.get("hooks", ())[2:]
    if len(rest) > _HOOKS:
        digest = hashlib.sha256(json.dumps(rest).encode()).hexdigest()[:16]
        plan["hooks"] = [*plan["hooks"][:2], f"… and {len(rest)} more: {digest}"]
    return list(_lines(plan))


def difference(first: list[str], second: list[str]) -> list[str]:
    """What the second has otherwise than the first; empty when they are alike."""
    if second[-1] == "no plan":
        return second if first != second else []
    changes = list(unified_diff(first, second, lineterm="", n=0))[2:]
    return [line for line in changes if not line.startswith("@@")]


def _lines(value: Any, indent: str = "", before: str = "", after: str = "") -> Iterator[str]:
    short = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(before) + len(short) + len(after) <= _WIDTH or not isinstance(value, dict | list | tuple):
        yield f"{indent}{before}{short}{after}"
        return
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    yield f"{indent}{before}{opening}"
    items = [(f'"{key}": ', one) for key, one in value.items()] if isinstance(value, dict) else [("", x) for x in value]
    for number, (label, one) in enumerate(items):
        yield from _lines(one, indent + " ", label, "," if number + 1 < len(items) else "")
    yield f"{indent}{closing}{after}"
