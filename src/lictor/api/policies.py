"""The methods about policies."""

from __future__ import annotations

from lictor.api import ours
from lictor.api.calls import Run, unary
from lictor.api.pb.tetragon import sensors_pb2 as pb
from lictor.api.ports import ActionCounters, HookStatus, PolicyManager, PolicyState, PolicyStatus, SelectorCounters
from lictor.errors import LictorError
from lictor.policy.plan import Mode

GRPC_DOMAIN = "grpc"
_TO_WIRE = {
    None: pb.TP_MODE_UNKNOWN,
    Mode.ENFORCE: pb.TP_MODE_ENFORCE,
    Mode.MONITOR: pb.TP_MODE_MONITOR,
    Mode.MONITOR_ONLY: pb.TP_MODE_MONITOR_ONLY,
}
_FROM_WIRE = {number: mode for mode, number in _TO_WIRE.items() if mode is not None}


class PolicyMethods:
    """Translates between messages and the manager."""

    def __init__(self, manager: PolicyManager) -> None:
        self._manager = manager

    def methods(self) -> dict[str, Run]:
        return {
            "AddTracingPolicy": unary(pb.AddTracingPolicyRequest, self._add),
            "DeleteTracingPolicy": unary(pb.DeleteTracingPolicyRequest, self._delete),
            "ListTracingPolicies": unary(pb.ListTracingPoliciesRequest, self._list),
            "ConfigureTracingPolicy": unary(pb.ConfigureTracingPolicyRequest, self._configure),
            "EnableTracingPolicy": unary(pb.EnableTracingPolicyRequest, self._enable),
            "DisableTracingPolicy": unary(pb.DisableTracingPolicyRequest, self._disable),
            "ListDomains": unary(pb.ListDomainsRequest, self._domains),
        }

    async def _add(self, request: pb.AddTracingPolicyRequest) -> pb.AddTracingPolicyResponse:
        change = self._manager.replace if ours.of(request)[0] else self._manager.add
        await change(request.yaml.encode(), request.domain or GRPC_DOMAIN)
        return pb.AddTracingPolicyResponse()

    async def _delete(self, request: pb.DeleteTracingPolicyRequest) -> pb.DeleteTracingPolicyResponse:
        await self._manager.delete(_named(request.name), request.namespace, request.domain or GRPC_DOMAIN)
        return pb.DeleteTracingPolicyResponse()

    async def _list(self, request: pb.ListTracingPoliciesRequest) -> pb.ListTracingPoliciesResponse:
        found = await self._manager.list(request.domain)
        return pb.ListTracingPoliciesResponse(policies=[_status(one) for one in found])

    async def _configure(self, request: pb.ConfigureTracingPolicyRequest) -> pb.ConfigureTracingPolicyResponse:
        mode = None
        if request.HasField("mode"):
            mode = _FROM_WIRE.get(request.mode)
            if mode not in (Mode.ENFORCE, Mode.MONITOR):
                raise LictorError("this mode cannot be set", "set enforce or monitor")
        enable = request.enable if request.HasField("enable") else None
        (seconds,) = ours.of(request)
        if seconds and mode is None:
            raise LictorError("a time was given, but no mode to last for it", "give the mode too")
        await self._manager.configure(
            _named(request.name), request.namespace, request.domain or GRPC_DOMAIN, enable, mode, seconds
        )
        return pb.ConfigureTracingPolicyResponse()

    async def _enable(self, request: pb.EnableTracingPolicyRequest) -> pb.EnableTracingPolicyResponse:
        await self._manager.configure(_named(request.name), request.namespace, request.domain or GRPC_DOMAIN, True)
        return pb.EnableTracingPolicyResponse()

    async def _disable(self, request: pb.DisableTracingPolicyRequest) -> pb.DisableTracingPolicyResponse:
        await self._manager.configure(_named(request.name), request.namespace, request.domain or GRPC_DOMAIN, False)
        return pb.DisableTracingPolicyResponse()

    async def _domains(self, _request: pb.ListDomainsRequest) -> pb.ListDomainsResponse:
        return pb.ListDomainsResponse(domains=self._manager.domains())


def _named(name: str) -> str:
    if not name:
        raise LictorError("no policy is named", "give its name")
    return name


def _status(one: PolicyStatus) -> pb.TracingPolicyStatus:
    total = sum((row.counters for row in one.selectors), ActionCounters())
    stats = pb.TracingPolicyStats(
        action_counters=_counters(total), selector_action_counters=[_selector(row) for row in one.selectors]
    )
    ours.put(stats, one.failed_reads, one.unjoined)
    return pb.TracingPolicyStatus(
        id=one.id,
        name=one.name,
        namespace=one.namespace,
        info=one.info,
        sensors=sorted({f"generic_{hook.section.rstrip('s')}" for hook in one.hooks}),
        enabled=one.state in (PolicyState.ENABLED, PolicyState.PARTIALLY_ENABLED),
        error=one.error,
        state=pb.TracingPolicyState.values()[one.state],
        kernel_memory_bytes=one.kernel_memory,
        mode=_TO_WIRE[one.mode],
        stats=stats,
        domain=one.domain,
        hook_statuses=[_hook(hook) for hook in one.hooks],
    )


def _hook(one: HookStatus) -> pb.HookStatus:
    number = pb.HookState.values()[one.state]
    return pb.HookStatus(section=one.section, state=number, hook_description=one.description, hook_idx=one.index)


def _selector(one: SelectorCounters) -> pb.TracingPolicySelectorActionCounters:
    found = pb.TracingPolicySelectorActionCounters(
        hook=one.hook, action_counters=_counters(one.counters), selector_label=one.label
    )
    found.hook_index.value = one.hook_index
    found.selector_index.value = one.selector_index
    ours.put(found, *(getattr(one, name) for name in ours.OF_SELECTORS))
    return found


def _counters(one: ActionCounters) -> pb.TracingPolicyActionCounters:
    return pb.TracingPolicyActionCounters(**{name: getattr(one, name) for name in one.__dataclass_fields__})
