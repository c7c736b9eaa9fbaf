"""What is said of a loaded policy: its hooks, what its selectors counted, what its enforcement promises and does."""

from __future__ import annotations

import time

from lictor.api.ports import ActionCounters, HookState, HookStatus, PolicyState, SelectorCounters
from lictor.daemon.backend import Counts, Fares
from lictor.policy.plan import ActionKind, Enforcement, Hook, Plan, Rule

_KIND = {"lsmhooks": "lsm", "fentries": "fentry"}  # of the others the section without its s
_SHOWN = 4


def hook_name(hook: Hook) -> str:
    """`kprobe:tcp_connect`, as the reference has it."""
    return f"{_KIND.get(hook.section, hook.section.removesuffix('s'))}:{hook.function}"


def counters_of(hook: Hook, row: Counts) -> SelectorCounters:
    rule = hook.rules[row.selector] if hook.rules else Rule(index=0)
    return SelectorCounters(
        hook_name(hook),
        hook.index,
        rule.index,
        rule.label,
        _actions(rule, row),
        row.limited,
        row.dropped,
        row.failed_reads,
        row.matches,
        row.hook_ns,
    )


def _actions(rule: Rule, row: Counts) -> ActionCounters:
    """Each enforcing action of a match either ran or was only counted."""
    kinds = {action.kind for action in (*rule.actions, *rule.return_actions)}
    ran = row.matches - row.monitored

    def both(*wanted: ActionKind) -> tuple[int, int]:
        return (ran, row.monitored) if kinds & set(wanted) else (0, 0)

    signal, override = both(ActionKind.SIGKILL, ActionKind.SIGNAL), both(ActionKind.OVERRIDE)
    notify, put = both(ActionKind.NOTIFY_ENFORCER), both(ActionKind.SET)
    silent = row.matches if ActionKind.NO_POST in kinds else 0
    return ActionCounters(row.posts, *signal, *override, *notify, *put, silent)


def hooks_of(plan: Plan, loaded: bool) -> tuple[HookStatus, ...]:
    """One status per hook of the policy's text; a list of functions is one of them."""
    groups: dict[tuple[str, int], list[Hook]] = {}
    for hook in plan.hooks:
        groups.setdefault((hook.section, hook.index), []).append(hook)
    found = []
    for (section, index), hooks in groups.items():
        missing = sum(hook.missing for hook in hooks)
        state = HookState.LOADED if loaded else HookState.UNSPECIFIED
        if missing:
            state = HookState.CALL_NOT_FOUND if missing == len(hooks) else HookState.PARTIAL_CALL_NOT_FOUND
        names = [hook_name(hook) for hook in hooks[:_SHOWN]]
        more = f" and {len(hooks) - _SHOWN} more" if len(hooks) > _SHOWN else ""
        found.append(HookStatus(section, index, state, ", ".join(names) + more))
    return tuple(found)


def state_of(plan: Plan) -> PolicyState:
    missing = any(hook.missing for hook in plan.hooks)
    return PolicyState.PARTIALLY_ENABLED if missing else PolicyState.ENABLED


def told_of(plan: Plan, fares: Fares | None) -> str:
    """What is to be known of a policy's enforcement."""
    suspended = fares is not None and fares.suspended
    told = [_promises(plan, suspended)]
    if suspended:
        told.insert(0, "suspended: it denied more than its trial period allows; set its mode again to go on")
    if fares is not None and fares.until:
        seconds = (fares.until - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1_000_000_000
        told.insert(0, f"mode {fares.mode.value} for {max(seconds, 0)} s more")
    if fares is not None and fares.overwritten + fares.unused:
        told.append(f"notifications missed: {fares.overwritten} overwritten, {fares.unused} without action")
    return "; ".join(one for one in told if one)


def _promises(plan: Plan, suspended: bool) -> str:
    """What enforcement guarantees, hook by hook."""
    now = ", suspended" if suspended else ""
    promises = [(hook_name(hook), hook.enforcement) for hook in plan.hooks]
    said = (f"{name}: {one.guarantee.value}{now}{_around(one)}" for name, one in promises if one is not None)
    return "; ".join(dict.fromkeys(said))


def _around(promise: Enforcement) -> str:
    return f" (around it: {', '.join(promise.bypasses)})" if promise.bypasses else ""
