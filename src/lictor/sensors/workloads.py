"""Which workloads a policy is for, as what the kernel tells of a process from its cgroup (bpf/read/workload.h)."""

from __future__ import annotations

from lictor.errors import LictorError
from lictor.policy.plan import Plan, Workload

POD, CONTAINER = 1, 2  # enum workload, bpf/include/policy.h
_ALL = (0, POD, CONTAINER, POD | CONTAINER)
_SERVER = "Lictor does not ask a Kubernetes API server yet"


def refuse(plan: Plan) -> None:
    """Raises LictorError for a plan that asks for what cgroups do not tell."""
    asked = [plan.workload, *(one.workload for one in plan.predicates)]
    for workload in asked:
        if workload is not None:
            kinds(workload)


def kinds(workload: Workload) -> tuple[int, ...]:
    """What processes of a workload can be: sums of POD and CONTAINER, 0 is the host. Raises LictorError."""
    if workload.namespace:
        raise LictorError(
            f"which pods are in the namespace {workload.namespace} cannot be known: {_SERVER}",
            "use kind TracingPolicy; `podSelector: {}` takes all pods",
        )
    if workload.pods:
        raise LictorError(f"labels of pods cannot be known: {_SERVER}", "`podSelector: {}` takes all pods")
    if workload.containers:
        raise LictorError(
            f"names and images of containers cannot be known: {_SERVER}", "`containerSelector: {}` takes all containers"
        )
    wanted = (POD if workload.pods is not None else 0) | (CONTAINER if workload.containers is not None else 0)
    found = [kind for kind in _ALL if wanted and kind & wanted == wanted]
    return (0, *found) if workload.host else tuple(found)
