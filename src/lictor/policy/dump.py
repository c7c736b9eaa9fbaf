"""A draft as plain data, after any pass: for those who debug a policy, or the compiler."""

from __future__ import annotations

from typing import Any

import msgspec

from lictor.policy import document
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.plan import OperandSet, Predicate
from lictor.policy.shape import Part


def dump(draft: Draft) -> dict[str, Any]:
    """What the passes so far have made of a policy; what is empty is left out."""
    found = {
        "options": draft.options,
        "lists": {name: list(values) for name, values in draft.names.items()},
        "selectors": {
            f"{section}[{index}]": [part(one) for one in selectors]
            for (section, index), selectors in draft.selectors.items()
            if selectors
        },
        "hooks": [_hook(hook) for hook in draft.hooks],
        "workload": msgspec.to_builtins(draft.workload),
        "predicates": msgspec.to_builtins(draft.predicates.values(Predicate)),
        "sets": msgspec.to_builtins(draft.sets.values(OperandSet)),
        "enforcer": msgspec.to_builtins(draft.enforcer),
        "mode": draft.mode.value,
        "memory": msgspec.to_builtins(draft.memory),
    }
    return {name: value for name, value in found.items() if value}


def part(one: Part) -> dict[str, Any]:
    """A part of the document, as it was read: fields by their names in the text."""
    return {name: _value(getattr(one, field.attribute)) for name, field in one.FIELDS.items() if one.has(name)}


def whole(policy: document.Policy) -> dict[str, Any]:
    return part(policy)


def _value(value: Any) -> Any:
    if isinstance(value, Part):
        return part(value)
    if isinstance(value, tuple):
        return [_value(one) for one in value]
    if isinstance(value, dict):
        return {name: _value(one) for name, one in value.items()}
    return value if isinstance(value, (str, int, bool)) else None


def _hook(hook: HookDraft) -> dict[str, Any]:
    found = {
        "section": f"{hook.section}[{hook.index}]",
        "kind": hook.kind.value,
        "function": hook.function,
        "syscall": f"{hook.abi}:{hook.syscall}" if hook.syscall else "",
        "prototype": _prototype(hook),
        "missing": hook.missing,
        "broken": hook.broken,
        "name": hook.name,
        "reads": msgspec.to_builtins(tuple(value.read for value in hook.values)),
        "rules": msgspec.to_builtins(hook.rules),
        "attaches": msgspec.to_builtins(hook.attaches),
        "enforcement": msgspec.to_builtins(hook.enforcement),
    }
    return {name: value for name, value in found.items() if value}


def _prototype(hook: HookDraft) -> str:
    if hook.prototype is None:
        return ""
    given = ", ".join(f"{one.text} {one.name}".strip() for one in hook.prototype.parameters)
    return f"{hook.prototype.returns.text} ({given})"
