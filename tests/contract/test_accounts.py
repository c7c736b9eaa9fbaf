"""Whatever counts a loss has a test that makes it count, and adds up what went in and what came out."""

from __future__ import annotations

import ast
from pathlib import Path

from lictor.metrics.catalog import METRICS

TESTS = Path(__file__).parents[1]


def _accounted(path: Path) -> set[str]:
    """The metrics that tests of a file are marked with."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.accounts":
                found |= {ast.literal_eval(one) for one in mark.args}
    return found


def test_every_loss_is_driven_by_a_test() -> None:
    accounted = set().union(*map(_accounted, TESTS.rglob("test_*.py")))
    assert accounted == {name for name, metric in METRICS.items() if metric.loss}
