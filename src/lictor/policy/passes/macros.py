"""Selectors with what their macros add. Lists are joined; what can stand only once must not stand twice."""

from __future__ import annotations

from lictor.policy import document
from lictor.policy.diagnostics import did_you_mean
from lictor.policy.draft import Draft
from lictor.policy.source import Mapping, Sequence


def run(draft: Draft) -> None:
    for name, macro in draft.spec.selectors_macros.items():
        if macro.macros:
            message = f"macro `{name}` uses macros itself"
            draft.problems.add("unknown-macro", macro.at("macros"), message, hint="write out what they hold")
    for section in document.SECTIONS:
        for index, hook in enumerate(getattr(draft.spec, section)):
            draft.selectors[section, index] = tuple(_expanded(draft, one) for one in hook.selectors)


def _expanded(draft: Draft, selector: document.Selector) -> document.Selector:
    if not selector.macros:
        return selector
    macros = draft.spec.selectors_macros
    parts = [selector]
    for number, name in enumerate(selector.macros):
        found = macros.get(name)
        if found is not None:
            parts.append(found)
            continue
        hint = did_you_mean(name, macros)
        draft.problems.add("unknown-macro", selector.item("macros", number), f"no macro `{name}`", hint=hint)
    return _joined(draft, parts)


def _joined(draft: Draft, parts: list[document.Selector]) -> document.Selector:
    """A selector that has the entries of all, each at its own place in the text."""
    own = parts[0]
    whole = document.Selector()
    whole.node = Mapping(own.node.line, own.node.column)
    whole.spots = whole.node.entries
    for name, field in document.Selector.FIELDS.items():
        given = [part for part in parts if part.has(name)]
        if not given or name == "macros":
            continue
        values = [getattr(part, field.attribute) for part in given]
        if not isinstance(values[0], tuple):
            if len(given) > 1 and name != "label":
                draft.problems.add("conflict", given[-1].at(name), f"`{name}` is given twice, with the macros")
            setattr(whole, field.attribute, values[0])
            whole.spots[name] = given[0].spots[name]
            continue
        setattr(whole, field.attribute, sum(values, ()))
        joined = Sequence(given[0].at(name).line, given[0].at(name).column)
        for part in given:
            spot = part.spots[name]
            joined.items += spot.items if isinstance(spot, Sequence) else []
        whole.spots[name] = joined
    return whole
