"""What an enforcing rule can promise: method × preemption model × what is hooked. A rule's promise is the weakest that
applies to it; what weakens it further (the caller's memory, ways that the policy leaves open) is the compiler's to say.
"""

from __future__ import annotations

from dataclasses import dataclass

PREVENTED = "prevented"
KILLED_BEFORE_RETURN = "killed before return to user space"
BEST_EFFORT = "best effort"
KILLED_MAY_HAVE_HAPPENED = "killed, may have happened"
ANY = "any"


@dataclass(frozen=True, slots=True)
class Promise:
    """`method` as plans have it. `preemption`: `none` (or voluntary), `preemptible` (lazy, full, real time), or any."""

    method: str
    preemption: str
    hook: str
    guarantee: str
    reason: str


_SKIPPED = "this kernel is preemptible: while a task that writes to a BPF map is preempted, its CPU runs no probes"
PROMISES = (
    Promise("lsm", ANY, "LSM hooks", PREVENTED, "an LSM program answers before the operation and is never skipped"),
    Promise(
        "fmod_ret",
        "none",
        "`security_…` functions, and those that can be made to fail",
        PREVENTED,
        "nothing preempts it on this kernel, so that none skips it",
    ),
    Promise(
        "fmod_ret",
        "preemptible",
        "`security_…` functions, and those that can be made to fail",
        BEST_EFFORT,
        "this kernel is preemptible: while a task is preempted inside the program, others skip it",
    ),
    Promise(
        "kprobe.override",
        "none",
        "functions that can be made to fail, where the kernel is built for it",
        PREVENTED,
        "the function is left before it begins",
    ),
    Promise(
        "kprobe.override",
        "preemptible",
        "functions that can be made to fail, where the kernel is built for it",
        BEST_EFFORT,
        _SKIPPED,
    ),
    Promise(
        "cgroup",
        ANY,
        "connect, bind, datagrams, new sockets, packets, of IPv4 and IPv6",
        PREVENTED,
        "the cgroup program answers before the operation",
    ),
    Promise(
        "signal",
        ANY,
        "operations without an effect beyond the thread (exec, identities, namespaces)",
        KILLED_BEFORE_RETURN,
        "`{operation}` has no effect beyond the thread, which does not return from it",
    ),
    Promise(
        "signal",
        ANY,
        "everything else",
        KILLED_MAY_HAVE_HAPPENED,
        "the signal acts when the process returns to user space",
    ),
    Promise(
        "signal",
        ANY,
        "any, with a signal other than SIGKILL",
        BEST_EFFORT,
        "the program may catch or ignore the signal",
    ),
    Promise("signal", "preemptible", "by kprobe, fentry or a tracepoint that is not raw", BEST_EFFORT, _SKIPPED),
    Promise("uprobe", ANY, "functions of programs", BEST_EFFORT, "a program can do without the function"),
)


def denying(method: str, preemptible: bool) -> Promise:
    """What a method that denies promises on a kernel of that kind."""
    fits = (ANY, "preemptible" if preemptible else "none")
    return next(one for one in PROMISES if one.method == method and one.preemption in fits)


def of_signal(kills: bool, outside: bool, skipped: bool) -> Promise:
    """What a signal promises. `outside`: the operation has an effect beyond the thread, or is not known. `skipped`: the
    program that sends it may be passed over."""
    if kills and skipped and not outside:
        return next(one for one in PROMISES if one.method == "signal" and one.preemption == "preemptible")
    wanted = BEST_EFFORT if not kills else KILLED_MAY_HAVE_HAPPENED if outside else KILLED_BEFORE_RETURN
    return next(one for one in PROMISES if one.method == "signal" and one.guarantee == wanted)
