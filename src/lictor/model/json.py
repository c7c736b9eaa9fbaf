"""Events as JSON lines, put together from ready-made forms."""

from __future__ import annotations

import msgspec

from lictor.clock import WallClock
from lictor.model.event import Event, EventType, ExitEvent, LossEvent, ThrottleEvent
from lictor.model.forms import ProcessForms
from lictor.model.hook import NO_EXTRA, HookEvent

_encoder = msgspec.json.Encoder()


class JsonWriter:
    """Renders events as JSON lines. `extras` adds our own object, `lictor`, to them."""

    def __init__(
        self,
        clock: WallClock,
        node_name: str,
        cluster_name: str = "",
        extras: bool = True,
        ancestors: frozenset[EventType] = frozenset(),
    ) -> None:
        self._rfc3339 = clock.rfc3339
        self._extras = extras
        self._ancestors = ancestors
        self._node = f',"node_name":{_encoder.encode(node_name).decode()},"time":"'
        self._end = f'","cluster_name":{_encoder.encode(cluster_name).decode()}' if cluster_name else '"'

    def line(self, event: Event) -> str:
        """One event as JSON with its newline."""
        process, parent = event.process, event.parent
        if process is None:
            return self._agent_event(event)
        if isinstance(event, HookEvent):
            return self._hook_event(event)
        this = process.json_text or process.json()
        above = f',"parent":{parent.json_text or parent.json()}' if parent is not None else ""
        if event.kind in self._ancestors:
            above += _ancestors(process)
        extra = process.extra_json() if self._extras else ""
        if not isinstance(event, ExitEvent):
            return f'{{"process_exec":{{"process":{this}{above}}}{self._node}{process.start_time}{self._end}{extra}}}\n'
        stamp = self._rfc3339(event.time)
        signal = f',"signal":"{event.signal}"' if event.signal else ""
        status = f',"status":{event.status}' if event.status else ""
        return (
            f'{{"process_exit":{{"process":{this}{above}{signal}{status},"time":"{stamp}"}}'
            f"{self._node}{stamp}{self._end}{extra}}}\n"
        )

    def _hook_event(self, event: HookEvent) -> str:
        process, parent, body = event.process, event.parent, event.body
        assert process is not None
        this = process.thread_json(event.tid)
        above = f',"parent":{parent.json_text or parent.json()}' if parent is not None else ""
        if event.kind in self._ancestors:
            above += _ancestors(process)
        members = _encoder.encode(body).decode()[1:]
        extra = self._hook_extra(process.extra_json(), event) if self._extras else ""
        count = f',"aggregation_info":{{"count":"{event.count}"}}' if event.count else ""
        return (
            f'{{"{body.member}":{{"process":{this}{above},{members}'
            f"{self._node}{self._rfc3339(event.time)}{self._end}{count}{extra}}}\n"
        )

    def _hook_extra(self, of_process: str, event: HookEvent) -> str:
        if event.extra is NO_EXTRA:
            return of_process
        hook = f'"hook":{_encoder.encode(event.extra).decode()}}}'
        return f"{of_process[:-1]},{hook}" if of_process else f',"lictor":{{{hook}'

    def _agent_event(self, event: Event) -> str:
        stamp = self._rfc3339(event.time)
        if isinstance(event, ThrottleEvent):
            throttle = _encoder.encode({"type": event.type, "cgroup": event.cgroup}).decode()
            return f'{{"process_throttle":{throttle}{self._node}{stamp}{self._end}}}\n'
        assert isinstance(event, LossEvent)
        loss = {"where": event.where, "reason": event.reason, "dropped": event.dropped}
        extra = f',"lictor":{_encoder.encode({"loss": loss}).decode()}' if self._extras else ""
        number = f'"number_of_dropped_process_events":"{event.dropped}"' if event.dropped else ""
        body = f'"rate_limit_info":{{{number}}}'
        return f"{{{body}{self._node}{stamp}{self._end}{extra}}}\n"


def _ancestors(process: ProcessForms) -> str:
    found = ",".join(one.json_text or one.json() for one in process.ancestors())
    return f',"ancestors":[{found}]' if found else ""
