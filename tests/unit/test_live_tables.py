"""The live tables have a row, or more, for every type, operator, selector and kind of hook."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml
from documents import pairs
from live import Row

from lictor.catalog.capabilities import CAPABILITY_SETS
from lictor.catalog.namespaces import NAMESPACES
from lictor.catalog.operators import OPERATORS
from lictor.catalog.types import TYPES
from lictor.policy import document

TABLES = (
    "failing_reads", "hooks", "network_values", "object_values", "operators", "packets", "resolve", "selectors",
    "tracepoints", "types",
)  # fmt: skip
# With cgroups of their own: tests/kernel/test_workloads.py, which has a table of scopes.
ELSEWHERE = {"matchWorkloads"}
# What a selector does, not what it asks; the first name is one and the last is not the kernel's.
NO_CONDITIONS = {"label", "matchActions", "matchReturnActions", "macros"}
LATER = {"uprobes", "usdts"}


@pytest.fixture(scope="module")
def used() -> set[tuple[str, Any]]:
    found: set[tuple[str, Any]] = set()
    for name in TABLES:
        rows = [one for one in importlib.import_module(f"test_{name}").ROWS if isinstance(one, Row)]
        assert rows, name
        for row in rows:
            found |= set(pairs(yaml.safe_load(row.spec.replace("DIR", "/place").replace("SELF", "1"))))
    return found


@pytest.mark.parametrize(
    ("field", "rows"),
    [
        ("type", [*TYPES, *CAPABILITY_SETS]),
        ("operator", [*OPERATORS, *document.BINARY_OPERATORS]),
        ("namespace", list(NAMESPACES)),
    ],
)
def test_every_word(used: set[tuple[str, Any]], field: str, rows: list[str]) -> None:
    assert [row for row in rows if (field, row) not in used] == []


def test_every_selector_and_kind_of_hook(used: set[tuple[str, Any]]) -> None:
    keys = {key for key, _ in used}
    assert set(document.Selector.FIELDS) - NO_CONDITIONS - ELSEWHERE - keys == set()
    assert {*document.SECTIONS} - LATER - keys == set()
