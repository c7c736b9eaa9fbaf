"""What would not fit into the kernel's half is refused here, with a place in the text."""

from __future__ import annotations

from lictor.policy.draft import Draft, HookDraft
from lictor.policy.plan import MAX_FILTERS, MAX_HOOKS, MAX_READS, MAX_RULES
from lictor.policy.source import Node


def run(draft: Draft) -> None:
    if len(draft.hooks) > MAX_HOOKS:
        _report(draft, draft.hooks[MAX_HOOKS].at, f"the policy has {len(draft.hooks)} hooks", MAX_HOOKS)
    for hook in draft.live():
        _values(draft, hook)
        _rules(draft, hook)


def _values(draft: Draft, hook: HookDraft) -> None:
    if len(hook.values) > MAX_READS:
        _report(draft, hook.values[MAX_READS].part.node, f"the hook reads {len(hook.values)} values", MAX_READS)


def _rules(draft: Draft, hook: HookDraft) -> None:
    selectors = draft.selectors.get((hook.section, hook.index), ())
    if len(selectors) > MAX_RULES:
        _report(draft, selectors[MAX_RULES].node, f"the hook has {len(selectors)} selectors", MAX_RULES)
    for rule in hook.rules:
        most = max(len(rule.filters), len(rule.return_filters))
        if most > MAX_FILTERS:
            _report(draft, selectors[rule.index].node, f"the selector has {most} conditions", MAX_FILTERS)


def _report(draft: Draft, at: Node, message: str, most: int) -> None:
    draft.problems.add("too-many", at, message, expected=f"up to {most}")
