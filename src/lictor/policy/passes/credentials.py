"""Conditions on namespaces and capabilities of the process become filters."""

from __future__ import annotations

from lictor.catalog.capabilities import CAPABILITY_SETS
from lictor.catalog.namespaces import HOST_NAMESPACE, NAMESPACES
from lictor.catalog.types import Cost
from lictor.policy import document, operands
from lictor.policy.diagnostics import did_you_mean, one_of
from lictor.policy.draft import Draft
from lictor.policy.operands import BadValueError, Limits
from lictor.policy.plan import Filter, Subject

_INODES = Limits(1, (1 << 32) - 1, False)


def filters(draft: Draft, selector: document.Selector) -> list[Filter]:
    """Those of one selector."""
    found = [_namespace(draft, one) for one in selector.match_namespaces]
    found += [_namespace_change(draft, one) for one in selector.match_namespace_changes]
    found += [_capability(draft, one, Subject.CAPABILITY) for one in selector.match_capabilities]
    found += [_capability(draft, one, Subject.CAPABILITY_CHANGE) for one in selector.match_capability_changes]
    return [one for one in found if one is not None]


def _namespace(draft: Draft, part: document.MatchNamespaces) -> Filter | None:
    if not part.operator or not part.namespace:
        return None
    numbers = set()
    for place, text in enumerate(part.values):
        try:
            numbers.add(0 if text == HOST_NAMESPACE else operands.number(text, _INODES))
        except BadValueError as error:
            at = part.item("values", place)
            hint = did_you_mean(text, [HOST_NAMESPACE])
            expected = f"an inode number, or `{HOST_NAMESPACE}`"
            draft.problems.add(error.code, at, str(error), expected=error.expected and expected, hint=hint)
    return Filter(
        subject=Subject.NAMESPACE,
        operator="",
        cost=Cost.TASK,
        negated=part.operator == "NotIn",
        kinds=(NAMESPACES[part.namespace],),
        numbers=tuple(sorted(numbers)),
        written=part.values,
    )


def _namespace_change(draft: Draft, part: document.MatchNamespaceChanges) -> Filter | None:
    if not part.operator:
        return None
    kinds = set()
    for place, text in enumerate(part.values):
        if text in NAMESPACES:
            kinds.add(NAMESPACES[text])
            continue
        hint = did_you_mean(text, NAMESPACES)
        expected = one_of(NAMESPACES)
        at = part.item("values", place)
        draft.problems.add("unknown-value", at, f"no kind of namespace `{text[:60]}`", expected=expected, hint=hint)
    return Filter(
        subject=Subject.NAMESPACE_CHANGE,
        operator="",
        cost=Cost.TASK,
        negated=part.operator == "NotIn",
        kinds=tuple(sorted(kinds)),
        written=part.values,
    )


def _capability(draft: Draft, part: document.MatchCapabilities, subject: Subject) -> Filter | None:
    if not part.operator or not part.type:
        return None
    mask = 0
    for place, text in enumerate(part.values):
        try:
            mask |= 1 << operands.capability(text)
        except BadValueError as error:
            at = part.item("values", place)
            draft.problems.add("unknown-value", at, str(error), expected=error.expected, hint=error.hint)
    return Filter(
        subject=subject,
        operator="",
        cost=Cost.TASK,
        negated=part.operator == "NotIn",
        kinds=(CAPABILITY_SETS[part.type],),
        numbers=(mask,),
        outside_init_user_ns=part.is_namespace_capability,
        written=part.values,
    )
