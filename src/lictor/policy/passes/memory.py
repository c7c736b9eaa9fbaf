"""An estimate of the kernel memory that a policy takes: its own, and what it may share with other policies.

Its own are groups, selectors, filters and counters; hooks, reads, predicates and operand sets are shared by those who
have equal ones. The sizes are those of the engine's elements (bpf/include/policy.h) and of the kernel's map entries.
"""

from __future__ import annotations

from lictor.policy.draft import Draft
from lictor.policy.plan import Memory, OperandSet, Predicate, SetKind

_POLICY, _GROUP, _SELECTOR, _COUNTERS, _FILTER = 32, 36, 88, 56, 88
_HOOK, _READ, _PREDICATE, _SET = 456, 16, 64, 48
_RANGE, _LENGTH = 16, 4
_HASH_ENTRY = 96  # 48 of the kernel's, key and value, rounded up to a slab
_BY_LENGTH = (SetKind.PREFIXES, SetKind.POSTFIXES, SetKind.SUBSTRINGS, SetKind.SUBSTRINGS_IGNORE_CASE)


def run(draft: Draft) -> None:
    own, shared = _POLICY, 0
    for hook in draft.live():
        own += _GROUP
        shared += _HOOK + _READ * len(hook.values)
        for rule in hook.rules:
            own += _SELECTOR + _COUNTERS + _FILTER * (len(rule.filters) + len(rule.return_filters))
    shared += _PREDICATE * len(draft.predicates.values(Predicate))
    shared += sum(set_bytes(one) for one in draft.sets.values(OperandSet))
    draft.memory = Memory(own=own, shared=shared)


def set_bytes(one: OperandSet) -> int:
    """What a set takes in the kernel."""
    if one.kind is SetKind.RANGES:
        return _SET + _RANGE * len(one.ranges)
    if one.networks:
        return _by_length([length for _, length in one.networks])
    if one.kind in _BY_LENGTH:
        return _by_length([len(text) for text in one.texts])
    return _SET + _HASH_ENTRY * (len(one.texts) + len(one.numbers))


def _by_length(found: list[int]) -> int:
    """The search by halves over the lengths that occur leaves marks on its way."""
    lengths = len(set(found))
    marks = len(found) * max(lengths.bit_length() - 1, 0)
    return _SET + _LENGTH * lengths + _HASH_ENTRY * (len(found) + marks)
