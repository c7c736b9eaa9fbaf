"""How hooks are attached, by what the machine can do; what they read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lictor.host import elf
from lictor.host.facts import HostFacts, Preemption
from lictor.policy.compile import Compiled
from lictor.policy.machine import Machine
from lictor.policy.plan import Attach, AttachKind, Plan, Purpose, Read, Source

Compile = Callable[..., Compiled]
Without = Callable[..., Machine]

FENTRY, FEXIT, KPROBE, KRETPROBE = AttachKind.FENTRY, AttachKind.FEXIT, AttachKind.KPROBE, AttachKind.KRETPROBE
MULTI, RETMULTI = AttachKind.KPROBE_MULTI, AttachKind.KRETPROBE_MULTI
ONE = "\n  kprobes: [{call: vfs_write, syscall: false}]"
RETURN = "\n  kprobes: [{call: vfs_write, syscall: false, return: true, returnArg: {index: 0, type: long}}]"
SOME = "\n  lists: [{name: l, values: [vfs_write, tcp_connect]}]\n  kprobes: [{call: list:l, syscall: false}]"
CALLS = "\n  lists: [{name: l, type: generated_syscalls}]\n  kprobes: [{call: list:l}]"
SECTION = ONE.replace("kprobes", "fentries")


def plan_of(found: Compiled) -> Plan:
    assert found.plan is not None, found.diagnostics
    return found.plan


@pytest.mark.parametrize(
    ("spec", "lacks", "preemption", "kinds"),
    [
        (ONE, (), Preemption.VOLUNTARY, [FENTRY]),
        (ONE, (), Preemption.FULL, [KPROBE]),
        (ONE, (), Preemption.UNKNOWN, [KPROBE]),
        (ONE, ("kprobe",), Preemption.FULL, [FENTRY]),
        (ONE, ("fentry",), Preemption.VOLUNTARY, [KPROBE]),
        (RETURN, (), Preemption.FULL, [FENTRY, FEXIT]),
        (RETURN, ("fexit",), Preemption.NONE, [KPROBE, KRETPROBE]),
        (SOME, (), Preemption.FULL, [MULTI]),
        (SOME, ("kprobe.multi",), Preemption.FULL, [KPROBE]),
        (CALLS, (), Preemption.NONE, [MULTI]),
        (SECTION, (), Preemption.FULL, [FENTRY]),
        (SECTION, ("fentry",), Preemption.NONE, [KPROBE]),
    ],
)
def test_functions(
    compile_spec: Compile,
    without: Without,
    spec: str,
    lacks: tuple[str, ...],
    preemption: Preemption,
    kinds: list[AttachKind],
) -> None:
    for hook in plan_of(compile_spec(spec, without(*lacks, preemption=preemption))).hooks:
        if not hook.missing:
            assert [one.kind for one in hook.attaches] == kinds
            assert all(one.reason for one in hook.attaches)


def test_the_option_against_kprobe_multi(compile_spec: Compile, without: Without) -> None:
    spec = SOME + "\n  options: [{name: disable-kprobe-multi, value: '1'}]"
    hooks = plan_of(compile_spec(spec, without(preemption=Preemption.FULL))).hooks
    assert {one.kind for hook in hooks for one in hook.attaches} == {KPROBE}


def test_what_cannot_be_hooked_says_what_could(compile_spec: Compile, without: Without) -> None:
    nothing = without("fentry", "kprobe", "kprobe.multi")
    spec = "\n  kprobes: [{call: security_file_open, syscall: false}]"
    (one,) = compile_spec(spec, nothing).diagnostics
    assert (one.code, one.line) == ("cannot-attach", 6)
    assert "`hook: file_open`" in one.hint
    (one,) = compile_spec(spec, without("fentry", "kprobe", "kprobe.multi", "lsm")).diagnostics
    assert "`sys_open`" in one.hint
    assert "not built in" in one.message


def test_what_cannot_be_denied_is_not_promised_elsewhere(compile_spec: Compile, without: Without) -> None:
    spec = """
  lsmhooks:
  - hook: socket_listen
    selectors: [{matchActions: [{action: Override, argError: -1}]}]
"""
    (one,) = compile_spec(spec, without("lsm")).diagnostics
    assert (one.code, "`sys_listen`, `Sigkill` works, after the fact" in one.hint) == ("cannot-attach", True)


def test_a_function_may_be_missing_if_the_policy_says_so(compile_spec: Compile) -> None:
    found = compile_spec("\n  kprobes: [{call: nosuch, syscall: false, ignore: {callNotFound: true}}]")
    hook = plan_of(found).hooks[0]
    assert (hook.missing, hook.attaches) == (True, ())
    assert [one.code for one in found.diagnostics] == ["function-left-out"]


def test_a_wrong_name_in_a_list_is_shown_in_the_list(compile_spec: Compile) -> None:
    spec = "\n  lists: [{name: l, values: [vfs_write, vfs_wirte]}]\n  kprobes: [{call: list:l, syscall: false}]"
    (one,) = compile_spec(spec).diagnostics
    assert (one.code, one.line, one.column) == ("unknown-function", 6, 41)


def test_patterns(compile_spec: Compile) -> None:
    spec = "\n  lists: [{name: l, type: generated_ftrace, pattern: '^(vfs_w|tcp_c)'}]\n  kprobes: [{call: list:l}]"
    assert [hook.function for hook in plan_of(compile_spec(spec)).hooks] == ["tcp_connect", "vfs_write"]


def reads(compile_spec: Compile, spec: str) -> tuple[Read, ...]:
    return plan_of(compile_spec(spec)).hooks[0].reads


def test_members(compile_spec: Compile, machine: Machine) -> None:
    spec = """
  kprobes:
  - call: security_bprm_check
    syscall: false
    args:
    - {index: 0, type: int, resolve: mm.owner.real_parent.pid}
    - {index: 0, type: path, resolve: file.f_path}
    - {index: 0, resolve: file}
    data:
    - {index: 0, type: string, source: current_task, resolve: comm}
    - {index: 1, type: uint64, source: pt_regs, resolve: rdi}
"""
    found = reads(compile_spec, spec)
    assert [read.type for read in found] == ["int", "path", "file", "string", "uint64"]
    assert [step.dereference for step in found[0].steps] == [True, True, True, False]
    assert found[0].size == 4
    assert [step.dereference for step in found[1].steps] == [True, False]
    assert [step.dereference for step in found[2].steps] == [True]
    assert (found[3].source, [step.dereference for step in found[3].steps]) == (Source.CURRENT_TASK, [False])
    register = machine.facts.register("rdi")
    assert register is not None
    assert (found[4].source, found[4].index, found[4].steps) == (Source.REGISTER, register.offset, ())


def test_a_path_that_ends_at_a_pointer(compile_spec: Compile) -> None:
    spec = """
  lsmhooks:
  - hook: socket_sendmsg
    args:
    - {index: 1, type: sockaddr, resolve: msg_name}
    - {index: 1, type: uint64, resolve: msg_name}
    - {index: 0, type: sock, resolve: sk}
    - {index: 0, type: uint64, resolve: sk}
"""
    assert [[step.dereference for step in read.steps] for read in reads(compile_spec, spec)] == [
        [True],
        [False],
        [True],
        [False],
    ]


def test_fields_of_records(compile_spec: Compile) -> None:
    spec = """
  tracepoints:
  - {subsystem: sched, event: sched_process_exec, args: [{index: 4}, {index: 5}]}
  - {subsystem: raw_syscalls, event: sys_enter, args: [{index: 4, type: syscall64}, {index: 5}]}
  - {subsystem: syscalls, event: sys_enter_openat, args: [{index: 6}, {index: 7, type: int}]}
"""
    execs, enters, opens = (hook.reads for hook in plan_of(compile_spec(spec)).hooks)
    assert [(read.type, read.index, read.size, read.dynamic) for read in execs] == [
        ("data_loc", 8, 4, True),
        ("int32", 12, 4, False),
    ]
    assert [(read.type, read.index, read.size, read.inline) for read in enters] == [
        ("syscall64", 8, 8, False),
        ("const_buf", 16, 48, True),
    ]
    assert [(read.type, read.user, read.inline) for read in opens] == [("string", True, False), ("int", False, False)]


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("{index: 9}", "bad-index"),
        ("{index: 5, type: string}", "type-mismatch"),
        ("{index: 5, type: int8}", "type-differs"),
        ("{index: 4, type: path}", "type-not-here"),
    ],
)
def test_wrong_fields(compile_spec: Compile, argument: str, code: str) -> None:
    found = compile_spec(f"\n  tracepoints:\n  - {{subsystem: sched, event: sched_process_exec, args: [{argument}]}}")
    assert [one.code for one in found.diagnostics] == [code]


def test_raw_tracepoints(compile_spec: Compile) -> None:
    spec = """
  tracepoints:
  - subsystem: sched
    event: sched_process_exec
    raw: true
    args: [{index: 2}, {index: 0, type: string, resolve: comm}]
"""
    hook = plan_of(compile_spec(spec)).hooks[0]
    assert hook.attaches[0].target == "sched_process_exec"
    assert [(read.type, read.source, read.index) for read in hook.reads] == [
        ("linux_binprm", Source.ARGUMENT, 2),
        ("string", Source.ARGUMENT, 0),
    ]


def test_bytes_of_a_size_that_another_argument_has(compile_spec: Compile) -> None:
    spec = """
  kprobes:
  - call: sys_read
    return: true
    returnArg: {index: 0, type: long}
    args:
    - {index: 1, type: char_buf, sizeArgIndex: 3, returnCopy: true, maxData: true}
    - {index: 2, type: size_t, label: wanted}
"""
    plan = plan_of(compile_spec(spec))
    first, second, third = plan.hooks[0].reads
    assert (first.size_index, first.at_return, first.max_bytes, first.user) == (2, True, 327_360, True)
    assert (second.label, second.written_index) == ("wanted", 2)
    assert (third.source, third.at_return, third.slot) == (Source.RETURN, True, 2)
    assert [one.purpose for one in plan.hooks[0].attaches] == [Purpose.ENTRY, Purpose.RETURN]


def test_no_program_waits_for_what_never_returns(compile_spec: Compile) -> None:
    spec = """
  kprobes:
  - call: sys_exit_group
    return: true
    returnArg: {index: 0, type: int}
    args: [{index: 0, type: int}]
"""
    hook = plan_of(compile_spec(spec)).hooks[0]
    assert [one.purpose for one in hook.attaches] == [Purpose.ENTRY]
    assert hook.reads[1].at_return


def test_uprobes(compile_spec: Compile) -> None:
    spec = """
  uprobes:
  - path: /bin/bash
    symbols: [readline, main+0x4]
    refCtrOffsets: [16, 0]
    binaryDigests: ["build-id:00ff"]
    ignore: {digestVerificationFailure: true}
    args: [{index: 0, type: string}]
"""
    first, second = plan_of(compile_spec(spec)).hooks
    assert first.attaches == (
        Attach(
            kind=AttachKind.UPROBE_MULTI,
            target="/bin/bash:readline",
            reason="the policy says so",
            digests=("build-id:00ff",),
            ignore_digest=True,
            semaphore=16,
        ),
    )
    assert second.attaches[0].target == "/bin/bash:main+0x4"
    assert first.reads[0].user


def test_members_of_a_programs_types(facts: HostFacts, compile_spec: Compile) -> None:
    types = "/sys/kernel/btf/vmlinux"  # any file with types will do
    spec = f"""
  uprobes:
  - path: /bin/bash
    btfPath: {types}
    symbols: [main]
    args: [{{index: 0, type: int, btfType: task_struct, resolve: pid}}]
"""
    (read,) = plan_of(compile_spec(spec, Machine(facts, elf.types_of))).hooks[0].reads
    assert [step.dereference for step in read.steps] == [False]
    assert read.user
    assert [one.code for one in compile_spec(spec).diagnostics] == ["facts-missing"]
    wrong = spec.replace("task_struct", "task_strut")
    assert [one.code for one in compile_spec(wrong, Machine(facts, elf.types_of)).diagnostics] == ["bad-resolve"]


def test_a_file_without_types(facts: HostFacts, compile_spec: Compile, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no program")
    spec = f"""
  usdts:
  - path: {file}
    btfPath: {file}
    provider: p
    name: n
    args: [{{index: 0, type: int, btfType: x, resolve: y}}]
"""
    (one,) = compile_spec(spec, Machine(facts, elf.types_of)).diagnostics
    assert (one.code, one.line) == ("facts-missing", 8)


def test_what_the_kernel_has_no_room_for(compile_spec: Compile) -> None:
    head = "\n  kprobes:\n  - call: security_file_permission\n    syscall: false\n"
    many = "    args:\n" + "    - {index: 1, type: int}\n" * 17
    (one,) = compile_spec(head + many).diagnostics
    assert (one.code, one.line) == ("too-many", 26)
    rows = "".join(f"    - matchPIDs: [{{operator: In, values: [{n}]}}]\n" for n in range(17))
    (one,) = compile_spec(f"{head}    selectors:\n{rows}").diagnostics
    assert (one.code, one.expected) == ("too-many", "up to 16")
    conditions = ", ".join(f"{{index: 1, operator: NotEqual, values: ['{n}']}}" for n in range(25))
    spec = f"{head}    args: [{{index: 1, type: int}}]\n    selectors: [{{matchArgs: [{conditions}]}}]\n"
    (one,) = compile_spec(spec).diagnostics
    assert (one.code, one.expected) == ("too-many", "up to 24")
