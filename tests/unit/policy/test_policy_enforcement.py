"""What enforcing rules promise: method × preemption × what the rule is about."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lictor.host.facts import Preemption
from lictor.policy.compile import Compiled
from lictor.policy.machine import Machine
from lictor.policy.plan import AttachKind, Enforcement, Guarantee, Mode, Source

Compile = Callable[..., Compiled]
Without = Callable[..., Machine]

OVERRIDE = "selectors: [{matchActions: [{action: Override, argError: -1}]}]"
SECURITY = f"\n  kprobes:\n  - call: security_file_open\n    syscall: false\n    {OVERRIDE}\n"
CALL = "\n  kprobes:\n  - call: sys_dup\n    " + OVERRIDE + "\n"
BOTH = (
    "\n  lists: [{name: l, type: syscalls, values: [sys_dup, i386/sys_dup]}]\n  kprobes:\n  - call: list:l\n    "
    + OVERRIDE
)
_LOCKED = ("lsm", "fentry", "fmod_ret", "kprobe")
BEST = "\n  options: [{name: enforcement, value: best-effort}]"


def promise(found: Compiled) -> Enforcement:
    assert found.plan is not None, found.diagnostics
    made = found.plan.hooks[0].enforcement
    assert made is not None
    return made


def codes(found: Compiled) -> list[str]:
    return [one.code for one in found.diagnostics]


@pytest.mark.parametrize(
    ("spec", "lacks", "preemption", "method", "guarantee"),
    [
        (SECURITY, (), Preemption.FULL, AttachKind.LSM, Guarantee.PREVENTED),
        (SECURITY, ("lsm",), Preemption.VOLUNTARY, AttachKind.FMOD_RET, Guarantee.PREVENTED),
        (SECURITY + BEST, ("lsm",), Preemption.FULL, AttachKind.FMOD_RET, Guarantee.BEST_EFFORT),
        (SECURITY + BEST, ("lsm",), Preemption.LAZY, AttachKind.FMOD_RET, Guarantee.BEST_EFFORT),
        (SECURITY + BEST, ("lsm", "fmod_ret"), Preemption.NONE, None, Guarantee.NONE),
        (BOTH, (), Preemption.VOLUNTARY, AttachKind.FMOD_RET, Guarantee.PREVENTED),
        (BOTH + BEST, (), Preemption.FULL, AttachKind.OVERRIDE, Guarantee.BEST_EFFORT),
        (BOTH, ("fmod_ret",), Preemption.NONE, AttachKind.OVERRIDE, Guarantee.PREVENTED),
        (CALL, (), Preemption.VOLUNTARY, AttachKind.FMOD_RET, Guarantee.BEST_EFFORT),  # the 32-bit ABI is left
    ],
)
def test_method_and_promise(
    compile_spec: Compile,
    without: Without,
    spec: str,
    lacks: tuple[str, ...],
    preemption: Preemption,
    method: AttachKind | None,
    guarantee: Guarantee,
) -> None:
    made = promise(compile_spec(spec, without(*lacks, preemption=preemption)))
    assert (made.method, made.guarantee) == (method, guarantee)
    assert made.reason


def test_less_than_asked_is_refused(compile_spec: Compile, without: Without) -> None:
    preemptible = without("lsm", preemption=Preemption.FULL)
    found = compile_spec(SECURITY, preemptible)
    assert found.plan is None
    assert codes(found) == ["cannot-enforce"]
    assert "best-effort" in found.diagnostics[0].hint
    assert codes(compile_spec(SECURITY + BEST, preemptible)) == ["weak-guarantee"]


def test_the_callers_memory_can_be_raced(compile_spec: Compile) -> None:
    spec = """
  kprobes:
  - call: sys_symlinkat
    args: [{index: 0, type: string}]
    selectors:
    - matchArgs: [{index: 0, operator: Equal, values: [/x]}]
      matchActions: [{action: Override, argError: -1}]
"""
    found = compile_spec(spec)
    assert promise(found).guarantee is Guarantee.BEST_EFFORT
    assert {"user-memory-race", "weak-guarantee"} <= set(codes(found))
    assert any("path_symlink" in one.hint for one in found.diagnostics)


@pytest.mark.parametrize(
    ("hook", "action", "guarantee"),
    [
        ("bprm_check_security", "{action: Sigkill}", Guarantee.KILLED_BEFORE_RETURN),
        ("task_fix_setuid", "{action: Signal, argSig: 9}", Guarantee.KILLED_BEFORE_RETURN),
        ("file_permission", "{action: Sigkill}", Guarantee.KILLED_MAY_HAVE_HAPPENED),
        ("socket_connect", "{action: Sigkill}", Guarantee.KILLED_MAY_HAVE_HAPPENED),
        ("socket_connect", "{action: Signal, argSig: 15}", Guarantee.BEST_EFFORT),
        ("socket_bind", "{action: Override, argError: -1}", Guarantee.PREVENTED),
    ],
)
def test_signals(compile_spec: Compile, hook: str, action: str, guarantee: Guarantee) -> None:
    found = compile_spec(f"\n  lsmhooks:\n  - hook: {hook}\n    selectors: [{{matchActions: [{action}]}}]\n")
    assert promise(found).guarantee is guarantee
    assert ("kill-without-deny" in codes(found)) == (guarantee is Guarantee.KILLED_MAY_HAVE_HAPPENED)


@pytest.mark.parametrize(
    ("preemption", "guarantee"),
    [(Preemption.VOLUNTARY, Guarantee.KILLED_BEFORE_RETURN), (Preemption.FULL, Guarantee.BEST_EFFORT)],
)
def test_signals_of_probes_that_are_passed_over(
    compile_spec: Compile, without: Without, preemption: Preemption, guarantee: Guarantee
) -> None:
    """By raw tracepoints they are not."""
    spec = "\n  kprobes:\n  - call: sys_execve\n    selectors: [{matchActions: [{action: Sigkill}]}]\n"
    assert promise(compile_spec(spec, without(preemption=preemption))).guarantee is guarantee
    locked = without(*_LOCKED, preemption=preemption)
    assert promise(compile_spec(spec, locked)).guarantee is Guarantee.KILLED_BEFORE_RETURN


def test_the_weakest_selector_decides(compile_spec: Compile) -> None:
    spec = """
  lsmhooks:
  - hook: file_open
    args: [{index: 0, type: file}]
    selectors:
    - matchArgs: [{index: 0, operator: Equal, values: [/a]}]
      matchActions: [{action: Override, argError: -1}]
    - matchArgs: [{index: 0, operator: Equal, values: [/b]}]
      matchActions: [{action: Sigkill}]
"""
    assert promise(compile_spec(spec)).guarantee is Guarantee.KILLED_MAY_HAVE_HAPPENED


def test_paths_have_other_names(compile_spec: Compile) -> None:
    spec = "\n  lsmhooks:\n  - hook: file_open\n    args: [{index: 0, type: file}]\n    selectors: "
    actions = "matchActions: [{action: Override, argError: -1}]"
    found = compile_spec(f"{spec}[{{matchArgs: [{{index: 0, operator: Prefix, values: [/etc/]}}], {actions}}}]")
    assert codes(found) == ["path-bypass"]
    assert any("hard links" in one for one in promise(found).bypasses)


def test_nothing_to_deny_in_a_hook_that_returns_nothing(compile_spec: Compile) -> None:
    found = compile_spec(f"\n  lsmhooks:\n  - hook: bprm_committing_creds\n    {OVERRIDE}\n")
    assert codes(found) == ["action-not-here"]


def test_the_network_on_a_locked_down_kernel(compile_spec: Compile, without: Without) -> None:
    spec = """
  lsmhooks:
  - hook: socket_connect
    args: [{index: 1, type: sockaddr}]
    selectors:
    - matchArgs: [{index: 1, operator: SAddr, values: [10.0.0.0/8]}]
      matchActions: [{action: Override, argError: -1}]
"""
    found = compile_spec(spec, without("lsm", "fentry", "fmod_ret", "kprobe"))
    assert promise(found).method is AttachKind.CGROUP
    assert found.plan is not None
    hook = found.plan.hooks[0]
    assert [(one.kind, one.target) for one in hook.attaches] == [
        (AttachKind.CGROUP, "connect4"),
        (AttachKind.CGROUP, "connect6"),
    ]


CONNECT = """
  - hook: socket_connect
    args: [{index: 1, type: sockaddr}]
    selectors:
    - matchArgs: [{index: 1, operator: SPort, values: ["25"]}]
      matchActions: [{action: Override, argError: -1}]
"""
SEND = CONNECT.replace("socket_connect", "socket_sendmsg").replace("sockaddr}", "sockaddr, resolve: msg_name}")


def test_a_way_that_is_left_open_weakens_the_promise(compile_spec: Compile) -> None:
    alone = compile_spec("\n  lsmhooks:" + CONNECT)
    assert promise(alone).guarantee is Guarantee.BEST_EFFORT
    assert "`socket_sendmsg`" in promise(alone).reason
    assert "hook `socket_sendmsg` too" in alone.diagnostics[0].hint
    both = compile_spec("\n  lsmhooks:" + CONNECT + SEND)
    assert promise(both).guarantee is Guarantee.PREVENTED
    assert both.diagnostics == ()


def test_what_cgroup_programs_present(compile_spec: Compile, without: Without) -> None:
    locked = without("lsm", "fentry", "fmod_ret", "kprobe", "bpf_override_return")
    plan = compile_spec("\n  lsmhooks:" + CONNECT + SEND, locked).plan
    assert plan is not None
    connect, send = plan.hooks
    assert [one.target for one in send.attaches] == ["sendmsg4", "sendmsg6", "egress_raw"]
    assert (send.reads[0].index, send.reads[0].steps) == (1, ())
    assert (connect.reads[0].index, connect.reads[0].steps) == (1, ())
    packets = compile_spec("\n  lsmhooks:\n  - hook: socket_sendmsg\n    " + OVERRIDE, locked).plan
    assert packets is not None
    assert [one.target for one in packets.hooks[0].attaches] == ["egress"]
    call = "\n  kprobes:\n" + CONNECT.replace("hook: socket_connect", "call: sys_connect")
    read = compile_spec(call, locked).plan.hooks[0].reads[0]  # type: ignore[union-attr]
    assert (read.source, read.index, read.user) == (Source.ARGUMENT, 1, False)


@pytest.mark.parametrize(
    "spec",
    [
        "  - hook: socket_sendmsg\n    selectors:\n    - matchBinaries: [{operator: In, values: [/bin/nc]}]\n"
        "      matchActions: [{action: Override, argError: -1}]",
        "  - hook: socket_sendmsg\n    args: [{index: 1, type: sockaddr, resolve: msg_name}]\n    " + OVERRIDE,
        CONNECT.replace("socket_connect", "socket_create")
        .replace("index: 1, type: sockaddr", "index: 1, type: int")
        .replace("index: 1", "index: 0")
        .replace("SPort", "Equal")
        .replace("25", "17"),
        CONNECT.replace("socket_connect", "socket_listen"),
        CONNECT.replace("index: 1, type: sockaddr", "index: 2, type: int, resolve: x").replace("SPort", "Equal"),
    ],
)
def test_what_cgroup_programs_do_not_see(compile_spec: Compile, without: Without, spec: str) -> None:
    locked = without("lsm", "fentry", "fmod_ret", "kprobe", "bpf_override_return")
    assert compile_spec("\n  lsmhooks:\n" + spec, locked).plan is None


def test_enforcers(compile_spec: Compile, without: Without) -> None:
    spec = """
  enforcers: [{calls: [sys_dup, security_file_open]}]
  tracepoints:
  - subsystem: raw_syscalls
    event: sys_enter
    args: [{index: 4, type: syscall64}]
    selectors:
    - matchArgs: [{index: 4, operator: InMap, values: [sys_dup]}]
      matchActions: [{action: NotifyEnforcer, argError: -1, argSig: 9}]
"""
    plan = compile_spec(spec).plan
    assert plan is not None
    assert [(call.function, call.attaches[0].kind) for call in plan.enforcer] == [
        ("__x64_sys_dup", AttachKind.FMOD_RET),
        ("security_file_open", AttachKind.LSM),
    ]
    nothing = compile_spec(spec, without("lsm", "fmod_ret", "bpf_override_return"))
    assert codes(nothing).count("cannot-enforce") == 2
    assert {(one.line, one.column) for one in nothing.diagnostics if one.code == "cannot-enforce"} == {(6, 24), (6, 33)}


@pytest.mark.parametrize(
    ("method", "kind"), [("fmod-ret", AttachKind.FMOD_RET), ("override-return", AttachKind.OVERRIDE)]
)
def test_a_policy_can_force_the_method(compile_spec: Compile, method: str, kind: AttachKind) -> None:
    found = compile_spec(BOTH + f"\n  options: [{{name: override-method, value: {method}}}]")
    assert promise(found).method is kind


@pytest.mark.parametrize(
    ("action", "option", "mode"),
    [
        ("Post", "", Mode.MONITOR_ONLY),
        ("Sigkill", "", Mode.ENFORCE),
        ("Sigkill", "monitor", Mode.MONITOR),
        ("Sigkill", "enforce", Mode.ENFORCE),
        ("Post", "enforce", Mode.MONITOR_ONLY),
    ],
)
def test_modes(compile_spec: Compile, action: str, option: str, mode: Mode) -> None:
    spec = f"\n  kprobes: [{{call: sys_dup, selectors: [{{matchActions: [{{action: {action}}}]}}]}}]"
    spec += f"\n  options: [{{name: policy-mode, value: {option}}}]" if option else ""
    plan = compile_spec(spec).plan
    assert plan is not None
    assert plan.mode is mode


_CONNECT = "\n  lsmhooks:\n  - hook: {}\n    selectors: [{{matchActions: [{}]}}]\n"


@pytest.mark.parametrize("actions", ["{action: Sigkill}", "{action: Override, argError: -1}, {action: Sigkill}"])
@pytest.mark.parametrize(("hook", "lacks"), [("socket_connect", ("cgroup signal",)), ("socket_sendmsg", ())])
def test_signals_that_no_cgroup_program_sends(
    compile_spec: Compile, without: Without, hook: str, lacks: tuple[str, ...], actions: str
) -> None:
    """On kernels whose cgroup programs have no signals; on packets, which do not say whose they are, nowhere."""
    machine = without(*_LOCKED, *lacks)
    spec = _CONNECT.format(hook, actions)
    found = compile_spec(spec, machine)
    assert found.plan is None
    assert "cannot-enforce" in codes(found)
    assert "send no signals" in " ".join(one.message for one in found.diagnostics)
    taken = compile_spec(spec + BEST, machine)
    assert taken.plan is not None
    assert "weak-guarantee" in codes(taken)
    if "Override" not in actions:
        assert promise(taken).guarantee is Guarantee.NONE


def test_signals_that_cgroup_programs_send(compile_spec: Compile, without: Without) -> None:
    found = compile_spec(_CONNECT.format("socket_connect", "{action: Sigkill}"), without(*_LOCKED))
    assert promise(found).guarantee is Guarantee.KILLED_MAY_HAVE_HAPPENED


_MAPPED = """
  lsmhooks:
  - hook: mmap_file
    args: [{{index: 0, type: file}}, {{index: {index}, type: ulong}}]
    selectors:
    - matchArgs:
      - {{index: {index}, operator: Mask, values: ["4"]}}
      matchActions: [{{action: Override, argError: -1}}]
"""
_LATER = """  - hook: file_mprotect
    args: [{index: 2, type: ulong}]
    selectors:
    - matchArgs: [{index: 2, operator: Mask, values: ["4"]}]
      matchActions: [{action: Override, argError: -1}]
"""


def test_mapping_for_execution_is_had_in_two_steps(compile_spec: Compile) -> None:
    alone, both = compile_spec(_MAPPED.format(index=2)), compile_spec(_MAPPED.format(index=2) + _LATER)
    assert promise(alone).guarantee is Guarantee.BEST_EFFORT
    assert "file_mprotect" in promise(alone).reason
    assert promise(both).guarantee is Guarantee.PREVENTED


def test_what_is_asked_for_is_not_what_is_done(compile_spec: Compile) -> None:
    found = compile_spec(_MAPPED.format(index=1) + _LATER)
    assert promise(found).guarantee is Guarantee.BEST_EFFORT
    assert "personality" in promise(found).reason


def test_tracing_has_two_hooks(compile_spec: Compile) -> None:
    found = compile_spec(_CONNECT.format("ptrace_access_check", "{action: Override, argError: -1}"))
    assert "ptrace_traceme" in promise(found).reason
