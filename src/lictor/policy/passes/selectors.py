"""Selectors become rules: scope, filters in order of cost, actions."""

from __future__ import annotations

from lictor.catalog.types import Cost
from lictor.policy import document, plan
from lictor.policy.draft import Draft, HookDraft
from lictor.policy.passes import credentials, scope
from lictor.policy.passes.actions import compile_action
from lictor.policy.passes.filters import compile_filter

_ORDER = {cost: number for number, cost in enumerate(Cost)}
_POST = (plan.Action(kind=plan.ActionKind.POST),)


def run(draft: Draft) -> None:
    """Targets of one entry that read the same values have the same rules: made once."""
    made: dict[object, tuple[plan.Rule, ...]] = {}
    for hook in draft.live():
        key = (hook.section, hook.index, hook.kind, tuple(value.read for value in hook.values))
        rules = made.get(key)
        if rules is None:
            before = draft.problems.errors
            rules = made[key] = _rules(draft, hook)
            hook.broken = draft.problems.errors > before
        hook.rules = rules


def _rules(draft: Draft, hook: HookDraft) -> tuple[plan.Rule, ...]:
    selectors = draft.selectors.get((hook.section, hook.index), ())
    if not selectors:
        return (plan.Rule(index=0, actions=_POST),)
    return tuple(_rule(draft, hook, index, one) for index, one in enumerate(selectors))


def _rule(draft: Draft, hook: HookDraft, index: int, selector: document.Selector) -> plan.Rule:
    filters = credentials.filters(draft, selector)
    for field in ("matchArgs", "matchData"):
        parts = selector.match_args if field == "matchArgs" else selector.match_data
        filters += [found for one in parts if (found := compile_filter(draft, hook, field, one)) is not None]
    at_return = [compile_filter(draft, hook, "matchReturnArgs", one) for one in selector.match_return_args]
    actions = [compile_action(draft, hook, one, False) for one in selector.match_actions]
    if selector.match_return_actions and not hook.returns:
        at = selector.at("matchReturnActions")
        draft.problems.add("no-return", at, "the hook has no return", hint="add `return: true` and `returnArg`")
    after = [compile_action(draft, hook, one, True) for one in selector.match_return_actions]
    return plan.Rule(
        index=index,
        label=selector.label,
        scope=scope.terms(draft, selector),
        filters=_ordered(filters),
        actions=tuple(one for one in actions if one is not None) or _POST,
        return_filters=_ordered([one for one in at_return if one is not None]),
        return_actions=tuple(one for one in after if one is not None),
    )


def _ordered(filters: list[plan.Filter]) -> tuple[plan.Filter, ...]:
    """The cheap ones first; else as written. The same condition twice is one."""
    return tuple(sorted(dict.fromkeys(filters), key=lambda one: _ORDER[one.cost]))
