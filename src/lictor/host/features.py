"""What this kernel can do, found out by trying: each ability has a smallest program (bpf/probe/probe.bpf.c)."""

from __future__ import annotations

import errno
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from lictor.host import preflight
from lictor.host.cgroups import find_hierarchy
from lictor.kernel.libbpf import KernelError
from lictor.kernel.objects import Object, object_path

_SECURITY = Path("/sys/kernel/security")
_TRACING = Path("/sys/kernel/tracing/events")


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
    Ability("cgroup_skb", "probe_cgroup_skb", "prevention of traffic", "signal", attach=False),
    Ability("bpf_send_signal", "probe_signal", "killing, after the fact", attach=False),
    Ability("iter/task", "probe_iter", "processes that live already", "/proc"),
    Ability("task storage", "probe_storage", "state per task", "a table", attach=False),
    Ability("ring dynptr", "probe_dynptr", "bulk data of any size", "pieces of 4 kB", attach=False),
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
        _selected(_read(_SECURITY / "lockdown")),
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


def _try(ability: Ability, facts: Machine) -> Finding:
    with Object(object_path("probe")) as probe:
        try:
            probe.only(ability.program)
            probe.load()
            if ability.attach:
                probe.attach(ability.program)
        except KernelError as error:
            return Finding(ability, False, _reason(ability, error, facts))
    if ability.name == "lsm" and facts.lsm and "bpf" not in facts.lsm:
        return Finding(ability, False, "it loads, but `bpf` is not among the active security modules (lsm= at boot)")
    return Finding(ability, True)


def _reason(ability: Ability, error: KernelError, facts: Machine) -> str:
    code = errno.errorcode.get(error.errno, str(error.errno))
    if error.errno == errno.EPERM:
        if facts.lockdown not in ("", "none"):
            return f"the kernel is locked down ({facts.lockdown})"
        return "the kernel refuses it (EPERM); a kernel under lockdown does"
    if ability.name == "tracepoint" and not _TRACING.is_dir():
        return "tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing"
    if ability.option:
        return f"the kernel has it not ({code}): {ability.option}"
    return f"the kernel has it not ({code})"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _selected(text: str) -> str:
    """The word in brackets of a choice such as `none [integrity] confidentiality`."""
    return text.partition("[")[2].partition("]")[0]
