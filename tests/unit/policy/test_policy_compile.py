"""From text to plan: what a policy becomes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lictor.policy.compile import Compiled
from lictor.policy.machine import Machine
from lictor.policy.plan import ActionKind, AttachKind, Cost, Filter, Guarantee, Mode, Plan, Source

Compile = Callable[..., Compiled]
Without = Callable[..., Machine]


def plan_of(compiled: Compiled) -> Plan:
    assert compiled.plan is not None, compiled.diagnostics
    return compiled.plan


FILE = """
  kprobes:
  - call: security_file_permission
    syscall: false
    message: passwords
    tags: [a.b]
    args:
    - {index: 0, type: file}
    - {index: 1, type: int}
    selectors:
    - matchArgs:
      - {index: 0, operator: Prefix, values: [/etc/, /etc/ssl]}
      - {index: 1, operator: Equal, values: ["4", "2"]}
      matchBinaries:
      - {operator: NotIn, values: [/usr/bin/cat]}
"""


def test_a_function_hook(compile_spec: Compile) -> None:
    plan = plan_of(compile_spec(FILE))
    (hook,) = plan.hooks
    assert (hook.function, hook.message, hook.tags) == ("security_file_permission", "passwords", ("a.b",))
    assert [(read.slot, read.type, read.source, read.index) for read in hook.reads] == [
        (0, "file", Source.ARGUMENT, 0),
        (1, "int", Source.ARGUMENT, 1),
    ]
    (rule,) = hook.rules
    assert [one.kind for one in rule.actions] == [ActionKind.POST]
    (term,) = rule.scope
    assert term.negated
    assert plan.sets[plan.predicates[term.predicate].set or 0].texts == ("/usr/bin/cat",)
    assert plan.mode is Mode.MONITOR_ONLY


def test_cheap_filters_run_first_and_prefixes_behind_others_go(compile_spec: Compile) -> None:
    plan = plan_of(compile_spec(FILE))
    first, second = plan.hooks[0].rules[0].filters
    assert (first.operator, first.cost, first.numbers) == ("Equal", Cost.REGISTER, (2, 4))
    assert (second.operator, second.cost) == ("Prefix", Cost.PATH)
    assert plan.sets[second.set or 0].texts == ("/etc/",)


def test_no_selector_is_an_event_for_everything(compile_spec: Compile) -> None:
    (rule,) = plan_of(compile_spec("\n  kprobes: [{call: vfs_write, syscall: false}]")).hooks[0].rules
    assert not rule.filters
    assert [one.kind for one in rule.actions] == [ActionKind.POST]


def numbers(compile_spec: Compile, type_: str, operator: str, *values: str) -> tuple[Filter, Plan]:
    shown = ", ".join(f"'{value}'" for value in values)
    plan = plan_of(
        compile_spec(
            f"""
  kprobes:
  - call: sys_dup
    args: [{{index: 0, type: {type_}}}]
    selectors: [{{matchArgs: [{{index: 0, operator: {operator}, values: [{shown}]}}]}}]
"""
        )
    )
    return plan.hooks[0].rules[0].filters[0], plan


@pytest.mark.parametrize(
    ("type_", "operator", "values", "found"),
    [
        ("int", "Equal", ["1", "0x2", "03"], ((1, 2, 3), ())),
        ("int", "Equal", ["0xffffffff"], ((-1,), ())),
        ("uint64", "Equal", ["0xffffffffffffffff"], (((1 << 64) - 1,), ())),
        ("int64", "GreaterThan", ["7"], ((), ((8, (1 << 63) - 1),))),
        ("uint32", "LT", ["7"], ((), ((0, 6),))),
        ("uint32", "InRange", ["1:5", "4:9", "20"], ((), ((1, 9), (20, 20)))),
        ("uint8", "InMap", ["7:8"], ((7, 8), ())),
        ("uint32", "Mask", ["0x10", "1"], ((17,), ())),
        ("capability", "Equal", ["CAP_SYS_ADMIN", "1"], ((1, 21), ())),
    ],
)
def test_numbers(
    compile_spec: Compile, type_: str, operator: str, values: list[str], found: tuple[object, object]
) -> None:
    one, _ = numbers(compile_spec, type_, operator, *values)
    assert (one.numbers, one.ranges) == found
    assert one.set is None


def test_many_numbers_are_a_set(compile_spec: Compile) -> None:
    one, plan = numbers(compile_spec, "int", "InMap", *map(str, range(0, 40, 2)))
    assert (one.operator, one.cost) == ("Equal", Cost.LOOKUP)
    assert plan.sets[one.set or 0].numbers == tuple(range(0, 40, 2))


def test_system_calls_by_every_way(compile_spec: Compile, without: Without) -> None:
    spec = "\n  kprobes: [{call: sys_openat, args: [{index: 1, type: string}]}]"
    assert plan_of(compile_spec(spec)).hooks[0].attaches[0].kind is AttachKind.FENTRY
    locked = without("fentry", "fexit", "kprobe", "kretprobe", "kprobe.multi", "lsm", "fmod_ret")
    hook = plan_of(compile_spec(spec, locked)).hooks[0]
    assert [(one.kind, one.target, one.number) for one in hook.attaches] == [
        (AttachKind.SYS_ENTER, "x64:openat", 257),
        (AttachKind.SYS_EXIT, "x64:openat", 257),
    ]
    assert hook.reads[0].user


def test_a_denial_names_method_and_guarantee(compile_spec: Compile, without: Without) -> None:
    spec = """
  kprobes:
  - call: security_file_open
    syscall: false
    args: [{index: 0, type: file}]
    selectors: [{matchActions: [{action: Override, argError: -1}]}]
"""
    plan = plan_of(compile_spec(spec))
    assert plan.mode is Mode.ENFORCE
    assert plan.hooks[0].enforcement is not None
    assert (plan.hooks[0].enforcement.method, plan.hooks[0].enforcement.guarantee) == (
        AttachKind.LSM,
        Guarantee.PREVENTED,
    )
    nothing = compile_spec(spec, without("lsm", "fmod_ret", "bpf_override_return"))
    assert nothing.plan is None
    assert "cannot-enforce" in [one.code for one in nothing.diagnostics]


def test_the_same_text_gives_the_same_plan(compile_spec: Compile) -> None:
    assert compile_spec(FILE).plan == compile_spec(FILE).plan
