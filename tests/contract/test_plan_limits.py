"""What the compiler refuses for want of room is what the engine has no room for."""

from __future__ import annotations

import re
from pathlib import Path

from lictor.policy import cel, plan

_EXPRESSIONS = (
    ("EXPRESSION_STEPS", cel.MAX_STEPS),
    ("STACK_ROOM", cel.MAX_STACK),
    ("EXPRESSION_VALUES", cel.MAX_VALUES),
)
HEADERS = Path(__file__).parents[2] / "bpf" / "include"


def test_limits_of_a_hook() -> None:
    text = (HEADERS / "policy.h").read_text()
    found = {name: int(value) for name, value in re.findall(r"^#define (\w+) (\d+)\b", text, re.MULTILINE)}
    assert (found["MAX_VALUES"], found["GROUP_SELECTORS"], found["SELECTOR_FILTERS"], found["MAX_HOOKS"]) == (
        plan.MAX_READS,
        plan.MAX_RULES,
        plan.MAX_FILTERS,
        plan.MAX_HOOKS,
    )
    assert found["FILTER_NUMBERS"] == 2 * plan.INLINE  # or half as many ranges


def test_limits_of_an_expression() -> None:
    text = "".join(path.read_text() for path in sorted(HEADERS.parent.rglob("*.h")))
    for name, ours in _EXPRESSIONS:
        written = re.search(rf"^#define {name} (\d+)\b", text, re.MULTILINE)
        assert written is None or int(written[1]) >= ours
