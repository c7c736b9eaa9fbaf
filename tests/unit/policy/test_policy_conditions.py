"""Conditions of every kind: what each becomes in the plan."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lictor.policy.compile import Compiled
from lictor.policy.plan import Filter, LabelRule, Plan, PredicateKind, SetKind, Subject

Compile = Callable[..., Compiled]

SOCKET = "\n  kprobes:\n  - call: tcp_connect\n    syscall: false\n    args: [{index: 0, type: sock}]\n    selectors: "
FILE = "\n  lsmhooks:\n  - hook: file_open\n    args: [{index: 0, type: file}]\n    selectors: "


def compiled(found: Compiled) -> Plan:
    assert found.plan is not None, found.diagnostics
    return found.plan


def condition(compile_spec: Compile, head: str, operator: str, *values: str) -> tuple[Filter, Plan]:
    shown = ", ".join(f'"{value}"' for value in values)
    plan = compiled(compile_spec(f"{head}[{{matchArgs: [{{index: 0, operator: {operator}, values: [{shown}]}}]}}]\n"))
    return plan.hooks[0].rules[0].filters[0], plan


@pytest.mark.parametrize(
    ("operator", "values", "base", "numbers", "ranges", "negated"),
    [
        ("DPort", ["80", "443"], "DPort", (80, 443), (), False),
        ("NotSPort", ["8000:8100"], "SPort", (), ((8000, 8100),), True),
        ("SPortPriv", [], "SPort", (), ((0, 1023),), False),
        ("NotSportPriv", [], "SPort", (), ((0, 1023),), True),
        ("NotDPortPriv", [], "DPort", (), ((0, 1023),), True),
        ("Protocol", ["IPPROTO_UDP", "6"], "Protocol", (6, 17), (), False),
        ("Family", ["AF_INET6", "AF_INET"], "Family", (2, 10), (), False),
        ("State", ["TCP_LISTEN"], "State", (10,), (), False),
    ],
)
def test_sockets(
    compile_spec: Compile,
    operator: str,
    values: list[str],
    base: str,
    numbers: tuple[int, ...],
    ranges: tuple[tuple[int, int], ...],
    negated: bool,
) -> None:
    one, _ = condition(compile_spec, SOCKET, operator, *values)
    assert (one.operator, one.numbers, one.ranges, one.negated) == (base, numbers, ranges, negated)


def test_addresses_of_both_kinds_without_what_is_inside_others(compile_spec: Compile) -> None:
    one, plan = condition(
        compile_spec, SOCKET, "NotDAddr", "10.1.0.0/16", "10.0.0.0/8", "192.168.0.1", "fe80::/10", "::1"
    )
    assert one.negated
    assert one.set is not None
    assert one.set6 is not None
    assert plan.sets[one.set].networks == ((10 << 24, 8), (0xC0A80001, 32))
    assert plan.sets[one.set6].networks == ((1, 128), (0xFE80 << 112, 10))


@pytest.mark.parametrize(
    ("operator", "values", "kind", "texts"),
    [
        ("Equal", ["/b", "/a", "/b"], SetKind.STRINGS, ("/a", "/b")),
        ("NotPrefix", ["/etc/", "/etc/ssh/", "/e"], SetKind.PREFIXES, ("/e",)),
        ("Postfix", [".so", "x.so", ".py"], SetKind.POSTFIXES, (".py", ".so")),
        ("SubString", ["shadow"], SetKind.SUBSTRINGS, ("shadow",)),
        ("SubStringIgnCase", ["ShaDow"], SetKind.SUBSTRINGS_IGNORE_CASE, ("shadow",)),
        ("Equal", ["/é"], SetKind.STRINGS, ("/Ã©",)),
    ],
)
def test_texts(compile_spec: Compile, operator: str, values: list[str], kind: SetKind, texts: tuple[str, ...]) -> None:
    one, plan = condition(compile_spec, FILE, operator, *values)
    kept = plan.sets[one.set if one.set is not None else -1]
    assert (kept.kind, kept.texts, one.negated) == (kind, texts, operator.startswith("Not"))


def test_kinds_of_files(compile_spec: Compile) -> None:
    one, _ = condition(compile_spec, FILE, "NotFileType", "reg", "regular", "dir")
    assert (one.operator, one.numbers, one.negated) == ("FileType", (0o040000, 0o100000), True)


def test_equal_sets_and_predicates_are_one(compile_spec: Compile) -> None:
    spec = (
        FILE
        + """
    - matchArgs: [{index: 0, operator: Equal, values: [/a, /b]}]
      matchBinaries: [{operator: In, values: [/b, /a]}]
  kprobes:
  - call: sys_dup
    selectors: [{matchBinaries: [{operator: NotIn, values: [/a, /b, /b]}]}]
"""
    )
    plan = compiled(compile_spec(spec))
    assert len(plan.sets) == 1
    assert len(plan.predicates) == 1
    terms = [term for hook in plan.hooks for rule in hook.rules for term in rule.scope]
    assert sorted((term.predicate, term.negated) for term in terms) == [(0, False), (0, True)]


def test_scope(compile_spec: Compile) -> None:
    spec = (
        FILE
        + """
    - matchBinaries: [{operator: Prefix, values: [/usr/bin/, /usr/bin/x], followChildren: true}]
      matchParentBinaries: [{operator: NotPostfix, values: [sh]}]
      matchPIDs: [{operator: NotIn, values: [2, 1, 2], isNamespacePID: true, followForks: true}]
      matchWorkloads: {podSelector: {matchLabels: {a: b}}, hostSelector: {}}
"""
    )
    plan = compiled(compile_spec(spec))
    (rule,) = plan.hooks[0].rules
    found = [(plan.predicates[term.predicate], term.negated) for term in rule.scope]
    assert [(one.kind, negated) for one, negated in found] == [
        (PredicateKind.BINARY, False),
        (PredicateKind.PARENT_BINARY, True),
        (PredicateKind.PID, True),
        (PredicateKind.WORKLOAD, False),
    ]
    assert plan.sets[found[0][0].set or 0].texts == ("/usr/bin/",)
    assert found[0][0].follow_children
    assert (found[2][0].numbers, found[2][0].namespace_pid, found[2][0].follow_forks) == ((1, 2), True, True)
    workload = found[3][0].workload
    assert workload is not None
    assert workload.pods == (LabelRule(key="a", operator="In", values=("b",)),)
    assert workload.host
    assert workload.containers is None


def test_namespaces_and_capabilities(compile_spec: Compile) -> None:
    spec = (
        FILE
        + """
    - matchNamespaces: [{namespace: Net, operator: NotIn, values: [host_ns, "4026531840"]}]
      matchNamespaceChanges: [{operator: In, values: [Mnt, Uts]}]
      matchCapabilities:
      - {type: Permitted, operator: In, values: [CAP_SYS_ADMIN, CAP_CHOWN], isNamespaceCapability: true}
      matchCapabilityChanges: [{operator: NotIn, values: [CAP_KILL]}]
"""
    )
    filters = compiled(compile_spec(spec)).hooks[0].rules[0].filters
    assert [(one.subject, one.kinds, one.numbers, one.negated) for one in filters] == [
        (Subject.NAMESPACE, (5,), (0, 4026531840), True),
        (Subject.NAMESPACE_CHANGE, (0, 2), (), False),
        (Subject.CAPABILITY, (2,), (1 << 21 | 1,), False),
        (Subject.CAPABILITY_CHANGE, (0,), (1 << 5,), True),
    ]
    assert filters[2].outside_init_user_ns


def test_the_policy_s_own_scope(compile_spec: Compile) -> None:
    spec = FILE + "[{}]\n  podSelector: {}\n  nodeSelector: {matchExpressions: [{key: gpu, operator: Exists}]}\n"
    plan = compiled(compile_spec(spec))
    assert plan.workload is not None
    assert (plan.workload.pods, plan.workload.containers, plan.workload.host) == ((), None, False)
    assert plan.nodes == (LabelRule(key="gpu", operator="Exists"),)


def test_macros_add_to_a_selector(compile_spec: Compile) -> None:
    spec = """
  selectorsMacros:
    shells: {label: by a shell, matchBinaries: [{operator: In, values: [/bin/sh]}]}
    writes: {matchArgs: [{index: 1, operator: Equal, values: ["2"]}], matchActions: [{action: NoPost}]}
  kprobes:
  - call: security_file_permission
    syscall: false
    args: [{index: 0, type: file}, {index: 1, type: int}]
    selectors:
    - macros: [shells, writes]
      matchArgs: [{index: 0, operator: Equal, values: [/x]}]
"""
    (rule,) = compiled(compile_spec(spec)).hooks[0].rules
    assert rule.label == "by a shell"
    assert [one.operator for one in rule.filters] == ["Equal", "Equal"]
    assert [one.kind.value for one in rule.actions] == ["NoPost"]
    assert len(rule.scope) == 1


def test_a_mistake_in_a_macro_is_shown_in_the_macro(compile_spec: Compile) -> None:
    spec = (
        FILE
        + "[{macros: [m]}]\n  selectorsMacros:\n    m:\n      matchArgs: [{index: 4, operator: Equal, values: [x]}]\n"
    )
    (one,) = compile_spec(spec).diagnostics
    assert (one.code, one.line) == ("unknown-argument", 12)


def test_arguments_by_place_and_by_index(compile_spec: Compile) -> None:
    spec = """
  kprobes:
  - call: security_file_permission
    syscall: false
    args: [{index: 1, type: int}, {index: 0, type: file}, {index: 0, type: string, resolve: f_path.dentry.d_name.name}]
    selectors:
    - matchArgs:
      - {index: 1, operator: Equal, values: ["4"]}
      - {index: 0, operator: Equal, values: [/x]}
      - {args: [2], operator: Equal, values: [x]}
"""
    (rule,) = compiled(compile_spec(spec)).hooks[0].rules
    assert [one.slot for one in rule.filters] == [0, 2, 1]


def test_system_calls_by_name_number_and_list(compile_spec: Compile) -> None:
    spec = """
  lists:
  - {name: l, type: syscalls, values: [sys_dup, i386/sys_dup]}
  tracepoints:
  - subsystem: raw_syscalls
    event: sys_enter
    args: [{index: 4, type: syscall64}]
    selectors: [{matchArgs: [{index: 4, operator: InMap, values: ["list:l", "59", "sys_openat"]}]}]
"""
    (one,) = compiled(compile_spec(spec)).hooks[0].rules[0].filters
    assert one.numbers == (32, 59, 257, 0x80000000 | 41)


def test_a_list_of_system_calls_against_a_plain_number(compile_spec: Compile) -> None:
    spec = """
  lists:
  - {name: l, type: syscalls, values: [sys_dup, i386/sys_dup]}
  tracepoints:
  - subsystem: raw_syscalls
    event: sys_enter
    args: [{index: 4, type: uint64}]
    selectors: [{matchArgs: [{index: 4, operator: InMap, values: ["list:l"]}]}]
"""
    (one,) = compiled(compile_spec(spec)).hooks[0].rules[0].filters
    assert one.numbers == (32, 41)


def test_a_condition_on_what_is_read_at_return(compile_spec: Compile) -> None:
    spec = """
  kprobes:
  - call: sys_read
    return: true
    returnArg: {index: 0, type: long}
    args: [{index: 1, type: char_buf, returnCopy: true}]
    selectors: [{matchArgs: [{index: 1, operator: Equal, values: [x]}]}]
"""
    assert "never-matches" in [one.code for one in compile_spec(spec).diagnostics]


def test_conditions_that_exclude_each_other(compile_spec: Compile) -> None:
    never = [
        "{index: 0, operator: Equal, values: [/a]}, {index: 0, operator: Prefix, values: [/b]}",
        "{index: 0, operator: Equal, values: [/a]}, {index: 0, operator: NotEqual, values: [/a]}",
        "{index: 0, operator: Equal, values: [/a]}, {index: 0, operator: Equal, values: [/b]}",
    ]
    for one in never:
        codes = [found.code for found in compile_spec(f"{FILE}[{{matchArgs: [{one}]}}]").diagnostics]
        assert codes == ["never-matches"], one
    fine = "{index: 0, operator: Equal, values: [/a/b]}, {index: 0, operator: Prefix, values: [/a]}"
    assert compile_spec(f"{FILE}[{{matchArgs: [{fine}]}}]").diagnostics == ()
