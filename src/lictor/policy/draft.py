"""A plan in the making: what the passes hand on to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from lictor.catalog.hooks import HookKind
from lictor.catalog.types import TypeRow
from lictor.host.facts import Function, Prototype
from lictor.policy import document, plan
from lictor.policy.diagnostics import Problems
from lictor.policy.machine import Machine
from lictor.policy.source import Node

_Value = TypeVar("_Value")


@dataclass(slots=True)
class Value:
    """A value that a hook reads: how the policy has it, and how it is read. `field` and `position`: where it stands."""

    part: document.Argument
    field: str
    position: int
    row: TypeRow
    read: plan.Read


@dataclass(slots=True)
class HookDraft:
    """One hook on one target. `broken`: a diagnosis was given, later passes leave it alone.

    `at` is where the target is named. `siblings` is how many targets the same entry has, `place` which of them
    this one is.
    """

    part: document.Hook
    section: str
    index: int
    kind: HookKind
    function: str
    at: Node
    symbol: Function | None = None
    prototype: Prototype | None = None
    syscall: str = ""
    abi: str = ""
    number: int = -1
    siblings: int = 1
    place: int = 0
    broken: bool = False
    missing: bool = False
    name: str = ""
    values: tuple[Value, ...] = ()
    rules: tuple[plan.Rule, ...] = ()
    attaches: tuple[plan.Attach, ...] = ()
    enforcement: plan.Enforcement | None = None

    @property
    def returns(self) -> bool:
        return bool(getattr(self.part, "returns", False))

    @property
    def live(self) -> bool:
        return not self.broken and not self.missing


class Pool:
    """Values by number; equal ones have one number."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}

    def number(self, value: object) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    def values(self, kind: type[_Value]) -> tuple[_Value, ...]:
        return tuple(value for value in self._numbers if isinstance(value, kind))


@dataclass(slots=True)
class Draft:
    """Everything that is known of the policy so far. `selectors`: by section and index, after macros; `lists`: the
    names of each list."""

    policy: document.Policy
    machine: Machine
    problems: Problems
    options: dict[str, str] = field(default_factory=dict)
    lists: dict[str, document.ValueList] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    selectors: dict[tuple[str, int], tuple[document.Selector, ...]] = field(default_factory=dict)
    hooks: list[HookDraft] = field(default_factory=list)
    enforcer: tuple[plan.EnforcerCall, ...] = ()
    workload: plan.Workload | None = None
    sets: Pool = field(default_factory=Pool)
    predicates: Pool = field(default_factory=Pool)
    mode: plan.Mode = plan.Mode.MONITOR_ONLY
    memory: plan.Memory = field(default_factory=plan.Memory)

    @property
    def spec(self) -> document.Spec:
        assert self.policy.spec is not None
        return self.policy.spec

    def live(self) -> list[HookDraft]:
        return [hook for hook in self.hooks if hook.live]

    def option(self, name: str) -> str:
        return self.options.get(name, "")
