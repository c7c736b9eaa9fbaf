"""What this kernel can do, found out by trying: each ability has a smallest program (bpf/probe/probe.bpf.c)."""

from __future__ import annotations

import errno
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from lictor.errors import LictorError
from lictor.host import preflight, tracefs
from lictor.host.cgroups import find_hierarchy
from lictor.host.gather import selected
from lictor.kernel.libbpf import KernelError
from lictor.kernel.objects import UPROBE_MULTI, Object, object_path

_TRACEPOINT = ("sched", "sched_process_exit")  # of probe_tracepoint
_SECURITY = Path("/sys/kernel/security")


@dataclass(frozen=True, slots=True)
class Ability:
    """One row of the table. `attach`: also put on its hook for a moment. `use`: what Lictor does with it;
    `otherwise`: what it does without, where it can do without. `option`: the kernel's build option."""

    name: str
    program: str
    use: str
    otherwise: str = ""
    attach: bool = True
    option: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """`reason` says why an ability is missing, and is empty where it is there."""

    ability: Ability
    available: bool
    reason: str = ""


_EXEC, _HOOKS, _SYSCALLS, _DENY = "process events", "hooks of policies", "syscall hooks of policies", "prevention"
_UNLOCKED = "not under lockdown"
ABILITIES = (
    Ability("tp_btf", "probe_tp_btf", _EXEC, option="CONFIG_DEBUG_INFO_BTF"),
    Ability("bpf_loop", "probe_loop", _EXEC),
    Ability("fentry", "probe_fentry", "exact account of raised privileges", "derived after the exec"),
    Ability("fexit", "probe_fexit", _HOOKS, "kretprobe"),
    Ability("kprobe", "probe_kprobe", _HOOKS, "raw_tp for syscalls, else none", option="CONFIG_KPROBES"),
    Ability("kretprobe", "probe_kretprobe", _HOOKS, "fexit", option="CONFIG_KRETPROBES"),
    Ability("kprobe.multi", "probe_kprobe_multi", _HOOKS, "one kprobe per function", option="CONFIG_FPROBE"),
    Ability("tracepoint", "probe_tracepoint", _HOOKS),
    Ability("raw_tp", "probe_raw_tp", _SYSCALLS),
    Ability("uprobe", "probe_uprobe", "hooks in programs and libraries", option="CONFIG_UPROBES"),
    Ability("uprobe.multi", "probe_uprobe_multi", "many hooks in one program", "one uprobe per function", attach=False),
    Ability("lsm", "probe_lsm", _DENY, "the next below", option="CONFIG_BPF_LSM and lsm=…,bpf"),
    Ability("lsm.s (IMA hash)", "probe_ima", "hashes of executables", "none", option="CONFIG_IMA"),
    Ability("fmod_ret", "probe_fmod_ret", _DENY, "the next below"),
    Ability(
        "bpf_override_return",
        "probe_override",
        _DENY,
        "the next below",
        attach=False,
        option="CONFIG_BPF_KPROBE_OVERRIDE",
    ),
    Ability("cgroup/connect", "probe_cgroup_connect", "prevention of connections", "signal", attach=False),
    Ability("cgroup/sendmsg", "probe_cgroup_sendmsg", "prevention of datagrams", "signal", attach=False),
    Ability("cgroup/bind", "probe_cgroup_bind", "prevention of listening", "signal", attach=False),
    Ability("cgroup/sock_create", "probe_cgroup_sock", "prevention of sockets", "signal", attach=False),
    Ability("cgroup_skb", "probe_cgroup_skb", "prevention of traffic", "signal", attach=False),
    Ability("cgroup signal", "probe_cgroup_signal", "killing who is denied a connection", "none", attach=False),
    Ability("bpf_send_signal", "probe_signal", "killing, after the fact", attach=False),
    Ability("iter/task", "probe_iter", "processes that live already", "/proc"),
    Ability("task storage", "probe_storage", "state per task", "a table", attach=False),
    Ability("ring dynptr", "probe_dynptr", "bulk data of any size", "pieces of 4 kB", attach=False),
    Ability("raw_tp cookie", "probe_raw_tp_cookie", _HOOKS, "one program per hook", attach=False),
    Ability("tp_btf cookie", "probe_tp_btf_cookie", _HOOKS, "one program per hook", attach=False),
    Ability("uprobe.s", "probe_uprobe_sleepable", "strings that are not resident", "read at exit", attach=False),
    Ability("bpf_copy_from_user_str", "probe_copy_from_user_str", "the same", "bpf_copy_from_user", attach=False),
    Ability("uprobe registers", "probe_uprobe_registers", "Override in programs", "none", attach=False),
    Ability("bpf_probe_write_user", "probe_write_user", "Set on arguments", "none", attach=False, option=_UNLOCKED),
    Ability("bpf_strnstr", "probe_strnstr", "SubString", "our own search", attach=False),
    Ability("bpf_strncasestr", "probe_strncasestr", "SubStringIgnCase", "our own search", attach=False),
)
REQUIRED = frozenset({"tp_btf", "bpf_loop"})


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts that explain the findings. `lockdown` and `lsm` are empty where the kernel does not show them."""

    release: str
    architecture: str
    lockdown: str
    lsm: tuple[str, ...]
    cgroup: str
    capabilities: int


def machine() -> Machine:
    """Facts about the running kernel and this process."""
    hierarchy = find_hierarchy()
    return Machine(
        os.uname().release,
        platform.machine(),
        selected(_read(_SECURITY / "lockdown")),
        tuple(filter(None, _read(_SECURITY / "lsm").split(","))),
        f"{hierarchy.controller or 'unified'} at {hierarchy.root}",
        preflight.effective_capabilities(),
    )


def find(facts: Machine) -> list[Finding]:
    """Try every ability, one at a time. Nothing stays loaded."""
    return [_try(ability, facts) for ability in ABILITIES]


def abilities() -> dict[str, str]:
    """Every ability: empty, or the reason why it is missing. For `host.facts`."""
    return {one.ability.name: one.reason for one in find(machine())}


def has(name: str) -> bool:
    """Whether this kernel has one ability, tried now."""
    return next(_try(one, machine()) for one in ABILITIES if one.name == name).available


def _try(ability: Ability, facts: Machine) -> Finding:
    with Object(object_path("probe")) as probe:
        try:
            probe.only(ability.program)
            if ability.name == "uprobe.multi":
                probe.expect(ability.program, UPROBE_MULTI)
            probe.load()
            if ability.name == "uprobe.multi":
                probe.try_uprobe_multi(ability.program)
            if ability.name == "tracepoint":
                probe.attach_tracepoint(ability.program, tracefs.tracepoint_id(*_TRACEPOINT), 0)
            elif ability.attach:
                probe.attach(ability.program)
        except KernelError as error:
            return Finding(ability, False, _reason(ability, error, facts))
        except LictorError as error:
            return Finding(ability, False, error.message)
    if ability.name == "lsm" and facts.lsm and "bpf" not in facts.lsm:
        return Finding(ability, False, "it loads, but `bpf` is not among the active security modules (lsm= at boot)")
    return Finding(ability, True)


def _reason(ability: Ability, error: KernelError, facts: Machine) -> str:
    code = errno.errorcode.get(error.errno, str(error.errno))
    if error.errno == errno.EPERM:
        if facts.lockdown not in ("", "none"):
            return f"the kernel is locked down ({facts.lockdown})"
        return "the kernel refuses it (EPERM); a kernel under lockdown does"
    if ability.option:
        return f"the kernel has it not ({code}): {ability.option}"
    return f"the kernel has it not ({code})"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
