"""Every row of the catalogue, and every field of the document, has an example that compiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import pairs
from machines import NAMES, machine

from lictor.catalog.actions import ACTIONS
from lictor.catalog.capabilities import CAPABILITY_SETS
from lictor.catalog.hooks import OPTIONS, HookKind
from lictor.catalog.namespaces import NAMESPACES
from lictor.catalog.operators import OPERATORS
from lictor.catalog.types import TYPES
from lictor.policy import document
from lictor.policy.compile import compile_policy
from lictor.policy.plan import AttachKind, Guarantee, Mode, PredicateKind, RateScope, SetKind, Source, Subject
from lictor.policy.shape import Part

EXAMPLES = sorted((Path(__file__).parents[2] / "policies" / "examples").rglob("*.yaml"))
# Set by an API server, or a file of another machine: no policy that a person writes has them.
BY_SERVERS = {
    "uid", "resourceVersion", "generation", "generateName", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds", "selfLink", "finalizers", "managedFields", "ownerReferences",
}  # fmt: skip
PARTS = (
    document.LabelExpression, document.LabelSelector, document.Argument, document.MatchArgs, document.MatchBinaries,
    document.MatchPIDs, document.MatchNamespaces, document.MatchNamespaceChanges, document.MatchCapabilities,
    document.MatchWorkloads, document.MatchAction, document.Selector, document.Ignore, document.IgnoreDigest,
    document.KProbe, document.Tracepoint, document.LsmHook, document.UProbe, document.Usdt, document.ValueList,
    document.Enforcer, document.Option, document.Spec, document.Metadata, document.Policy,
)  # fmt: skip


@pytest.fixture(scope="module")
def used() -> set[tuple[str, Any]]:
    return {pair for path in EXAMPLES for pair in pairs(yaml.safe_load(path.read_text()))}


@pytest.fixture(scope="module")
def compiled() -> list[Any]:
    """Every plan of every example on every machine."""
    found = [compile_policy(path.read_bytes(), path.name, machine(name)).plan for path in EXAMPLES for name in NAMES]
    return [plan for plan in found if plan is not None]


def test_there_are_enough_of_them() -> None:
    assert len(EXAMPLES) >= 120
    assert all(path.read_text().startswith("# ") for path in EXAMPLES), "the first line says what an example shows"
    names = [yaml.safe_load(path.read_text())["metadata"]["name"] for path in EXAMPLES]
    assert [path.stem for path in EXAMPLES] == names


@pytest.mark.parametrize(
    ("field", "rows"),
    [
        ("type", [*TYPES, *document.LIST_TYPES, *CAPABILITY_SETS]),
        ("operator", [*OPERATORS, *document.BINARY_OPERATORS, *document.LABEL_OPERATORS]),
        ("action", list(ACTIONS)),
        ("namespace", list(NAMESPACES)),
        ("kind", [document.CLUSTER, document.NAMESPACED]),
        ("rateLimitScope", [one.value for one in RateScope]),
        ("source", ["current_task", "pt_regs"]),
        ("returnArgAction", ["TrackSock"]),
    ],
)
def test_every_word(used: set[tuple[str, Any]], field: str, rows: list[str]) -> None:
    assert [row for row in rows if (field, row) not in used] == []


def test_every_option_with_every_value(used: set[tuple[str, Any]]) -> None:
    assert [name for name in OPTIONS if ("name", name) not in used] == []
    words = {value for name in ("override-method", "policy-mode") for value in OPTIONS[name]}
    assert [word for word in words if ("value", word) not in used] == []


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_field(used: set[tuple[str, Any]], part: type[Part]) -> None:
    keys = {key for key, _ in used}
    assert [name for name in part.FIELDS if name not in keys | BY_SERVERS] == []


def test_every_kind_of_hook_and_of_plan(compiled: list[Any]) -> None:
    hooks = [hook for plan in compiled for hook in plan.hooks]
    assert {hook.section for hook in hooks} >= {*document.SECTIONS, "loader"}
    assert len(HookKind) == 8
    kinds = {attach.kind for hook in hooks for attach in hook.attaches}
    kinds |= {attach.kind for plan in compiled for call in plan.enforcer for attach in call.attaches}
    assert set(AttachKind) - kinds == set()
    rules = [rule for hook in hooks for rule in hook.rules]
    assert set(Subject) - {one.subject for rule in rules for one in (*rule.filters, *rule.return_filters)} == set()
    assert set(Source) - {read.source for hook in hooks for read in hook.reads} == set()
    assert set(SetKind) - {one.kind for plan in compiled for one in plan.sets} == set()
    assert set(PredicateKind) - {one.kind for plan in compiled for one in plan.predicates} == set()
    assert set(Mode) - {plan.mode for plan in compiled} == set()
    promised = {hook.enforcement.guarantee for hook in hooks if hook.enforcement}
    assert {Guarantee.PREVENTED, Guarantee.KILLED_MAY_HAVE_HAPPENED, Guarantee.BEST_EFFORT} <= promised
