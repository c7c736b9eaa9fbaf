"""Which processes a selector is for: conditions on program, parent, process id and workload become predicates."""

from __future__ import annotations

from lictor.policy import document, operands
from lictor.policy.draft import Draft
from lictor.policy.plan import LabelRule, Predicate, PredicateKind, ScopeTerm, SetKind, Workload

_SETS = {"In": SetKind.STRINGS, "Prefix": SetKind.PREFIXES, "Postfix": SetKind.POSTFIXES}
_LONGEST = 4096


def run(draft: Draft) -> None:
    """The scope of the whole policy; that of each selector is asked for by `terms`."""
    spec = draft.spec
    namespace = draft.policy.metadata.namespace if draft.policy.metadata else ""
    namespaced = draft.policy.kind == document.NAMESPACED
    if spec.pod_selector or spec.container_selector or spec.host_selector or namespaced:
        draft.workload = Workload(
            pods=_rules(spec.pod_selector),
            containers=_rules(spec.container_selector),
            host=spec.host_selector is not None,
            namespace=(namespace or "default") if namespaced else "",
        )


def nodes(draft: Draft) -> tuple[LabelRule, ...]:
    return _rules(draft.spec.node_selector) or ()


def terms(draft: Draft, selector: document.Selector) -> tuple[ScopeTerm, ...]:
    """What must hold of a process for a selector."""
    found = [_binaries(draft, one, PredicateKind.BINARY) for one in selector.match_binaries]
    found += [_binaries(draft, one, PredicateKind.PARENT_BINARY) for one in selector.match_parent_binaries]
    found += [_pids(draft, one) for one in selector.match_pids]
    if selector.match_workloads is not None:
        found.append(_workloads(draft, selector.match_workloads))
    return tuple(dict.fromkeys(term for term in found if term is not None))


def _term(draft: Draft, predicate: Predicate, negated: bool) -> ScopeTerm:
    return ScopeTerm(predicate=draft.predicates.number(predicate), negated=negated)


def _binaries(draft: Draft, part: document.MatchBinaries, kind: PredicateKind) -> ScopeTerm | None:
    if not part.operator:
        return None
    negated = part.operator.startswith("Not")
    base = part.operator.removeprefix("Not")
    values = []
    for number, value in enumerate(part.values):
        at = part.item("values", number)
        if not value:
            draft.problems.add("no-effect", at, "an empty path is left out")
        elif len(value.encode("utf-8", "surrogateescape")) > _LONGEST:
            draft.problems.add("bad-length", at, "a path has at most 4,096 bytes", expected=f"at most {_LONGEST} bytes")
        else:
            values.append(value)
            if base != "Postfix" and value[0] != "/":
                hint = "use `Postfix` for the end of a path" if base == "In" else ""
                draft.problems.add("relative-path", at, f"`{value[:60]}` is no absolute path", hint=hint)
    if not values:
        if part.empty("values"):
            message = f"`{part.operator}` needs values"
            draft.problems.add("missing-field", part.at("values"), message, expected="at least one path")
        return None
    kept = draft.sets.number(operands.text_set(_SETS[base], values))
    written = tuple(sorted(set(values)))
    predicate = Predicate(kind=kind, set=kept, follow_children=part.follow_children, written=written)
    return _term(draft, predicate, negated)


def _pids(draft: Draft, part: document.MatchPIDs) -> ScopeTerm | None:
    if not part.operator:
        return None
    if not part.values:
        if part.empty("values"):
            message = f"`{part.operator}` needs values"
            draft.problems.add("missing-field", part.at("values"), message, expected="at least one process id")
        return None
    predicate = Predicate(
        kind=PredicateKind.PID,
        numbers=tuple(sorted(set(part.values))),
        namespace_pid=part.is_namespace_pid,
        follow_forks=part.follow_forks,
    )
    return _term(draft, predicate, part.operator == "NotIn")


def _workloads(draft: Draft, part: document.MatchWorkloads) -> ScopeTerm | None:
    if not part.spots:
        draft.problems.add("no-effect", part.node, "`matchWorkloads` without a selector takes everything")
        return None
    workload = Workload(
        pods=_rules(part.pod_selector),
        containers=_rules(part.container_selector),
        host=part.host_selector is not None,
    )
    return _term(draft, Predicate(kind=PredicateKind.WORKLOAD, workload=workload), False)


def _rules(selector: document.LabelSelector | None) -> tuple[LabelRule, ...] | None:
    """Requirements in one order, so that equal selectors are equal values."""
    if selector is None:
        return None
    found = [LabelRule(key=key, operator="In", values=(value,)) for key, value in selector.match_labels.items()]
    found += [
        LabelRule(key=one.key, operator=one.operator, values=tuple(sorted(set(one.values))))
        for one in selector.match_expressions
    ]
    return tuple(sorted(set(found), key=lambda rule: (rule.key, rule.operator, rule.values)))
