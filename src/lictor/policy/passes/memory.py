"""An estimate of the kernel memory that a policy takes: its own, and what it may share with other policies."""

from __future__ import annotations

from lictor.policy.draft import Draft
from lictor.policy.plan import Memory, OperandSet, Predicate, SetKind

# Bytes of one entry in the maps of the engine, key, value and the kernel's own part.
_RULE, _FILTER, _ACTION, _READ, _HOOK, _PREDICATE = 128, 48, 32, 32, 256, 64
_ENTRY = {
    SetKind.STRINGS: 96,
    SetKind.NUMBERS: 80,
    SetKind.RANGES: 96,
    SetKind.ADDRESSES4: 112,
    SetKind.ADDRESSES6: 128,
    SetKind.SUBSTRINGS: 300,
    SetKind.SUBSTRINGS_IGNORE_CASE: 300,
}


def run(draft: Draft) -> None:
    own = 0
    for hook in draft.live():
        own += _HOOK + _READ * len(hook.values)
        for rule in hook.rules:
            filters = len(rule.filters) + len(rule.return_filters)
            own += _RULE + _FILTER * filters + _ACTION * (len(rule.actions) + len(rule.return_actions))
    shared = _PREDICATE * len(draft.predicates.values(Predicate))
    shared += sum(set_bytes(one) for one in draft.sets.values(OperandSet))
    draft.memory = Memory(own=own, shared=shared)


def set_bytes(one: OperandSet) -> int:
    """What a set takes in the kernel."""
    if one.kind in (SetKind.PREFIXES, SetKind.POSTFIXES):
        return sum(_trie_node(len(text)) for text in one.texts)
    count = len(one.texts) + len(one.numbers) + len(one.ranges) + len(one.networks)
    return _ENTRY[one.kind] * count


def _trie_node(length: int) -> int:
    """An entry of an LPM trie: keys have the size of their class."""
    size = next((one for one in (32, 64, 128, 256) if length <= one), 256)
    return 2 * (size + 96) * (1 + length // 256)
