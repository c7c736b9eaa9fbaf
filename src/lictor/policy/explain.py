"""A plan in words: where it attaches and why, what each selector became, what it costs and promises."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from lictor.catalog.capabilities import CAPABILITIES, CAPABILITY_SETS
from lictor.catalog.namespaces import NAMESPACES
from lictor.policy import phrases
from lictor.policy.machine import Machine
from lictor.policy.plan import (
    Attach,
    Enforcement,
    Filter,
    Hook,
    LabelRule,
    Plan,
    Predicate,
    PredicateKind,
    Purpose,
    Read,
    Rule,
    Source,
    Subject,
    Workload,
)

_FEW = 6
_PURPOSES = {Purpose.ENTRY: "attached", Purpose.RETURN: "return", Purpose.ENFORCE: "enforced"}
_SOURCES = {
    Source.ARGUMENT: "argument",
    Source.SYSCALL: "argument",
    Source.FIELD: "field",
    Source.USDT: "argument",
}
_NAMESPACES = {number: name for name, number in NAMESPACES.items()}
_PARTS_OF_CRED = ("cap_effective", "cap_inheritable", "cap_permitted")
_SETS = {number: name for name, number in CAPABILITY_SETS.items()}


def explain(plan: Plan, machine: Machine) -> Iterator[str]:
    """Lines for people."""
    facts = machine.facts
    yield f"{plan.name} on Linux {facts.release} ({facts.architecture}, preemption: {facts.preemption}): {_mode(plan)}"
    if plan.workload is not None:
        yield f"  for       {_workload(plan.workload)}"
    if plan.nodes:
        yield f"  nodes     {_labels(plan.nodes)}"
    memory = plan.memory
    yield f"  memory    about {_bytes(memory.own)} of maps, and {_bytes(memory.shared)} that policies may share"
    for _, alike in groupby(plan.hooks, key=_sameness):
        hooks = list(alike)
        yield ""
        yield from _hook(plan, hooks[0], [hook.function for hook in hooks])
    for call in plan.enforcer:
        yield ""
        yield f"enforcers  {call.function}"
        yield from _attaches(call.attaches)
        yield from _enforcement(call.enforcement)


def _mode(plan: Plan) -> str:
    return {
        "enforce": "it enforces",
        "monitor": "it counts what it would have enforced",
        "monitor_only": "it watches",
    }[plan.mode]


def _sameness(hook: Hook) -> object:
    """Hooks of one entry that differ in nothing but their targets are told of together."""
    ways = tuple((one.kind, one.purpose, one.reason) for one in hook.attaches)
    return hook.section, hook.index, hook.missing, ways, hook.reads, hook.rules, hook.enforcement


def _hook(plan: Plan, hook: Hook, functions: list[str]) -> Iterator[str]:
    where = "loader" if hook.section == "loader" else f"{hook.section}[{hook.index}]"
    shown = functions[:_FEW] if len(functions) <= _FEW + 1 else [*functions[:_FEW], f"{len(functions) - _FEW} more"]
    yield f"{where}  {', '.join(shown)}"
    if hook.missing:
        yield "  attached  to nothing: this kernel does not have it"
        return
    yield from _attaches(hook.attaches, len(functions))
    for number, read in enumerate(hook.reads):
        yield f"  {'reads' if number == 0 else '':9} {_read(read)}"
    for rule in hook.rules:
        yield f"  selector {rule.index}{f' `{rule.label}`' if rule.label else ''}"
        yield from _rule(plan, hook, rule)
    if hook.enforcement is not None:
        yield from _enforcement(hook.enforcement)


def _attaches(attaches: tuple[Attach, ...], many: int = 1) -> Iterator[str]:
    for one in attaches:
        target = "each" if many > 1 else one.target
        yield f"  {_PURPOSES[one.purpose]:9} {one.kind} {target}: {one.reason}"


def _enforcement(found: Enforcement) -> Iterator[str]:
    by = f" by {found.method}" if found.method else ""
    yield f"  promise   {found.guarantee}{by}: {found.reason}"
    for number, one in enumerate(found.bypasses):
        yield f"  {'around it' if number == 0 else '':9} {one}"


def promises(plan: Plan) -> list[str]:
    """What enforcement promises and what gets around it: a line for each hook that enforces, of equal ones one."""
    made = [(hook.function, hook.enforcement) for hook in plan.hooks if hook.enforcement is not None]
    found = (f"{plan.name}: {function}: {'; around it: '.join(_in_short(one))}" for function, one in made)
    return list(dict.fromkeys(found))


def _in_short(found: Enforcement) -> tuple[str, ...]:
    by = f" by {found.method}" if found.method else ""
    return (f"{found.guarantee}{by}", *((", ".join(found.bypasses),) if found.bypasses else ()))


def _read(read: Read) -> str:
    parts = [_named(read), f"as {read.type}"]
    if read.size_index is not None:
        parts.append(f"as many bytes as argument {read.size_index} says")
    if read.max_bytes:
        parts.append(f"up to {read.max_bytes:,} bytes")
    if read.user:
        parts.append("in the memory of the process")
    if read.at_return and read.source is not Source.RETURN:
        parts.append("at return")
    return ", ".join([" ".join(parts[:2]), *parts[2:]])


def _named(read: Read) -> str:
    """A value, as people call it."""
    if read.source is Source.RETURN:
        return "return value"
    if read.source is Source.CURRENT_TASK:
        return f"{read.resolve} of the current task"
    if read.source is Source.REGISTER:
        return f"register {read.resolve}"
    named = f"{_SOURCES[read.source]} {read.written_index}"
    if read.type in _PARTS_OF_CRED:
        return f"{read.type} of {named}"
    return f"{read.resolve} of {named}" if read.resolve else named


def _rule(plan: Plan, hook: Hook, rule: Rule) -> Iterator[str]:
    conditions = [(_predicate(plan, plan.predicates[term.predicate], term.negated), "scope") for term in rule.scope]
    conditions += [(_filter(plan, hook, one), one.cost.value) for one in rule.filters]
    if not conditions:
        yield "    if      always"
    for number, (text, cost) in enumerate(conditions):
        yield f"    {'if' if number == 0 else 'and':7} {text}  ({cost})"
    yield f"    then    {', '.join(phrases.action(one) for one in rule.actions)}"
    for number, one in enumerate(rule.return_filters):
        yield f"    {'at return if' if number == 0 else 'and':12} {_filter(plan, hook, one)}  ({one.cost.value})"
    if rule.return_actions:
        yield f"    then    {', '.join(phrases.action(one) for one in rule.return_actions)}"


def _filter(plan: Plan, hook: Hook, one: Filter) -> str:
    no = " not" if one.negated else ""
    if one.subject is Subject.SLOT:
        read = hook.reads[one.slot]
        if one.operator == "CelExpr":
            return one.written[0]
        if one.operator == "CapabilitiesGained":
            return f"{_named(hook.reads[one.slot2])} has capabilities that {_named(read)} lacks"
        verb = phrases.OPERATORS[one.operator][one.negated]
        return f"{_named(read)} {verb} {phrases.operand(plan, one, read)}".rstrip()
    if one.subject is Subject.NAMESPACE:
        shown = phrases.listed([str(number) if number else "the host's" for number in one.numbers])
        return f"the {_NAMESPACES[one.kinds[0]]} namespace is{no} {shown}"
    if one.subject is Subject.NAMESPACE_CHANGE:
        shown = phrases.listed([_NAMESPACES[kind] for kind in one.kinds])
        return f"another namespace than {shown} was changed" if one.negated else f"namespace {shown} was changed"
    shown = phrases.listed([name for name, bit in CAPABILITIES.items() if one.numbers[0] >> bit & 1])
    kind = _SETS[one.kinds[0]].lower()
    outside = ", in a user namespace that is not the host's" if one.outside_init_user_ns else ""
    if one.subject is Subject.CAPABILITY:
        return f"the {kind} capabilities have {'none of ' if one.negated else ''}{shown}{outside}"
    return (
        f"{'other ' if one.negated else ''}{kind} capabilities {'than ' if one.negated else ''}{shown} changed{outside}"
    )


def _predicate(plan: Plan, one: Predicate, negated: bool) -> str:
    no = " not" if negated else ""
    if one.kind is PredicateKind.WORKLOAD:
        assert one.workload is not None
        return f"the process is{no} of {_workload(one.workload)}"
    if one.kind is PredicateKind.PID:
        what = "the process id, as the process sees it," if one.namespace_pid else "the process id"
        children = ", or it descends from such a one" if one.follow_forks else ""
        return f"{what} is{no} {phrases.listed([str(number) for number in one.numbers])}{children}"
    who = "the program" if one.kind is PredicateKind.BINARY else "the parent's program"
    assert one.set is not None
    kept = plan.sets[one.set]
    verb = {"prefixes": "begin with", "postfixes": "end with"}.get(kept.kind, "be")
    does = {"be": f"is{no}"}.get(verb, f"does not {verb}" if negated else verb.replace(" ", "s ", 1))
    children = ", or it descends from such a one" if one.follow_children else ""
    return f"{who} {does} {phrases.listed([phrases.text(word) for word in kept.texts])}{children}"


def _workload(one: Workload) -> str:
    parts = [f"namespace {one.namespace}"] if one.namespace else []
    if one.pods is not None:
        parts.append(f"pods with {_labels(one.pods)}" if one.pods else "all pods")
    if one.containers is not None:
        parts.append(f"containers with {_labels(one.containers)}" if one.containers else "all containers")
    if one.host:
        parts.append("the host")
    return ", ".join(parts)


def _labels(rules: tuple[LabelRule, ...]) -> str:
    return ", ".join(f"{rule.key} {rule.operator} {' '.join(rule.values)}".rstrip() for rule in rules)


def _bytes(count: int) -> str:
    if count < 1024:
        return f"{count} bytes"
    return f"{count / 1024:.1f} kB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MB"
