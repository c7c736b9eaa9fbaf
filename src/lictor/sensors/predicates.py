"""Questions about processes, and the scope bits that answer them.

A distinct predicate owns a bit. So does a distinct combination of predicates ("this binary, but not in that
workload"): the kernel computes both at exec. Where a bit is let go, the rules that looked at it are gone first; then
its predicate goes, the generation is turned, and a grace period passes. After that no program runs that still knows
the old meaning, and every entry computed before is stale, so the bit can mean something else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lictor.errors import LictorError
from lictor.policy.plan import OperandSet, Predicate, PredicateKind, SetKind, Workload
from lictor.sensors import workloads
from lictor.sensors.numbers import Numbers
from lictor.sensors.sets import Sets
from lictor.sensors.store import Store

EVERYONE = 0
SCOPE_BITS = 2048
MOST_TERMS = 12
_NO_BIT = 0xFFFF
_FORK_SENSITIVE, _PATHS, _PARENT_PATHS, _WORKLOADS, _CHANGES = 1, 2, 4, 8, 16
_OPS = {SetKind.STRINGS: "OP_STRING", SetKind.PREFIXES: "OP_PREFIX", SetKind.POSTFIXES: "OP_POSTFIX"}

# A predicate with its operand set as a value, so that equal ones of different plans are equal.
Question = tuple[PredicateKind, OperandSet, bool, bool]
Term = tuple[Question, bool]  # negated
Conjunction = frozenset[Term]
Scope = frozenset[Conjunction]  # any of them; the empty conjunction is true of everyone
ANYONE: Scope = frozenset({frozenset()})


@dataclass(slots=True)
class _Asked:
    bit: int
    element: int
    users: int = 0
    operands: OperandSet | None = None


@dataclass(slots=True)
class _Combined:
    bit: int
    users: int = 0
    elements: list[int] = field(default_factory=list)
    terms: list[Question] = field(default_factory=list)


class Predicates:
    """Bits of predicates and of their combinations. `changed`: something was added since the last new generation."""

    def __init__(self, store: Store, sets: Sets) -> None:
        self._store = store
        self._sets = sets
        self._bits = Numbers("scopes (2,048)", EVERYONE + 1, SCOPE_BITS)
        self._asked: dict[Question, _Asked] = {}
        self._combined: dict[Scope, _Combined] = {}
        self._kinds = store.shapes.enum("predicate_kind")
        self._ops = store.shapes.enum("match_op")
        self.changed = False
        self._watching = 0  # conditions on what a process had at its exec
        self._leaving: list[int] = []  # bits let go since the last new generation
        self._left: list[int] = []  # and before it: theirs is the next grace period
        for number in range(store.arrays["conjunctions"].entries):
            store.arrays["conjunctions"].write(number, store.shapes.pack("conjunction", _NO_BIT, 0, 0, *[0] * 12))

    def acquire(self, scope: Scope) -> int:
        """The bit of a scope."""
        if frozenset() in scope:
            return EVERYONE
        if len(scope) == 1:
            (only,) = scope
            if len(only) == 1:
                ((question, negated),) = only
                if not negated:
                    return self._ask(question).bit
        found = self._combined.get(scope)
        if found is None:
            found = self._combined[scope] = _Combined(self._bits.take())
            self._combine(found, scope)
        found.users += 1
        return found.bit

    def release(self, scope: Scope) -> None:
        """Nothing looks at the scope's bit any more. It can be another's after `publish` and `settle`."""
        if frozenset() in scope:
            return
        found = self._combined.get(scope)
        if found is None:
            (only,) = scope
            ((question, _),) = only
            self._forget(question)
            return
        found.users -= 1
        if not found.users:
            del self._combined[scope]
            self._take_apart(found)

    def watch_changes(self, more: int) -> None:
        """Count conditions that compare with what a process had at its exec in or out: it is noted while there are."""
        self._watching += more
        self._count()

    def publish(self) -> None:
        """Make what was added count."""
        if self.changed:
            self._store.new_generation()
            self.changed = False
            self._left += self._leaving
            self._leaving = []

    def settle(self) -> None:
        """A grace period has passed since the last `publish`."""
        for bit in self._left:
            self._bits.give(bit)
        self._left = []

    def _ask(self, question: Question) -> _Asked:
        found = self._asked.get(question)
        if found is None:
            found = self._add(question)
            self._asked[question] = found
        found.users += 1
        return found

    def _add(self, question: Question) -> _Asked:
        kind, operands, sticky, in_namespace = question
        store = self._store
        number = self._sets.acquire(operands)
        bit, element = self._bits.take(), store.free["predicates"].take()
        twin = 0
        if kind is PredicateKind.PARENT_BINARY:
            twin = self._ask((PredicateKind.BINARY, operands, sticky, False)).bit
        name = {PredicateKind.PID: "NAMESPACE_PID" if in_namespace else "PID"}.get(kind, kind.name)
        op = self._ops[_OPS[operands.kind]] if operands.kind in _OPS else 0
        packed = store.shapes.pack(
            "predicate", self._kinds[f"PREDICATE_{name}"], op, int(sticky), bit, twin, number, store.generation + 1
        )
        store.arrays["predicates"].write(element, packed)
        self._asked[question] = found = _Asked(bit, element, 0, operands)
        self._count()
        self.changed = True
        return found

    def _forget(self, question: Question) -> None:
        found = self._asked[question]
        found.users -= 1
        if found.users:
            return
        del self._asked[question]
        kind, operands, sticky, _ = question
        store = self._store
        store.arrays["predicates"].write(found.element, bytes(store.arrays["predicates"].size))
        store.free["predicates"].give(found.element)
        self._leaving.append(found.bit)
        self._sets.release(operands)
        if kind is PredicateKind.PARENT_BINARY:
            self._forget((PredicateKind.BINARY, operands, sticky, False))
        self._count()
        self.changed = True

    def _combine(self, found: _Combined, scope: Scope) -> None:
        store = self._store
        for conjunction in scope:
            if len(conjunction) > MOST_TERMS:
                raise LictorError(
                    f"a selector asks {len(conjunction)} questions about the process, {MOST_TERMS} are possible",
                    "split it into several selectors",
                )
            positive = [self._ask(question).bit for question, negated in conjunction if not negated]
            negative = [self._ask(question).bit for question, negated in conjunction if negated]
            found.terms += [question for question, _ in conjunction]
            bits = [*positive, *negative]
            element = store.free["conjunctions"].take()
            packed = store.shapes.pack(
                "conjunction", found.bit, len(positive), len(negative), *bits, *[0] * (MOST_TERMS - len(bits))
            )
            store.arrays["conjunctions"].write(element, packed)
            found.elements.append(element)
        self._count()
        self.changed = True

    def _take_apart(self, found: _Combined) -> None:
        store = self._store
        for element in found.elements:
            store.arrays["conjunctions"].write(element, store.shapes.pack("conjunction", _NO_BIT, 0, 0, *[0] * 12))
            store.free["conjunctions"].give(element)
        self._leaving.append(found.bit)
        for question in found.terms:
            self._forget(question)
        self._count()
        self.changed = True

    def _count(self) -> None:
        """Tell the kernel how many elements to look at, and what it must find out about a process."""
        flags = _CHANGES if self._watching else 0
        for kind, _, sticky, _ in self._asked:
            if sticky or kind in (PredicateKind.PID, PredicateKind.PARENT_BINARY):
                flags |= _FORK_SENSITIVE
            if kind is PredicateKind.BINARY:
                flags |= _PATHS
            if kind is PredicateKind.PARENT_BINARY:
                flags |= _PARENT_PATHS
            if kind is PredicateKind.WORKLOAD:
                flags |= _WORKLOADS
        store = self._store
        engine = store.arrays["engine"]
        predicates = max((one.element + 1 for one in self._asked.values()), default=0)
        elements = [element for one in self._combined.values() for element in one.elements]
        for name, value in (("predicates", predicates), ("flags", flags)):
            engine.store32(0, store.shapes.offset("engine_state", name), value)
        conjunctions = max((element + 1 for element in elements), default=0)
        engine.store32(0, store.shapes.offset("engine_state", "conjunctions"), conjunctions)


def question_of(predicate: Predicate, sets: tuple[OperandSet, ...]) -> Question:
    """A plan's predicate as a value of its own."""
    if predicate.kind is PredicateKind.PID:
        operands = OperandSet(kind=SetKind.NUMBERS, numbers=predicate.numbers)
        return predicate.kind, operands, predicate.follow_forks, predicate.namespace_pid
    if predicate.workload is not None:
        return workload_question(predicate.workload)
    assert predicate.set is not None
    return predicate.kind, sets[predicate.set], predicate.follow_children, False


def workload_question(workload: Workload) -> Question:
    """Whether a process is of a workload."""
    operands = OperandSet(kind=SetKind.NUMBERS, numbers=workloads.kinds(workload))
    return PredicateKind.WORKLOAD, operands, False, False
