"""Calls that matched at entry and never came back: their thread is gone, or the policy is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lictor.host import procfs
from lictor.kernel.maps import Map
from lictor.sensors.store import Store
from lictor.wire.hooks import NEVER_RETURNED, HookDecoder, HookRecord, KeptCall

_TICK_NS = 10_000_000  # /proc tells births in ticks


class KeptCalls:
    """Looks through the calls that are kept until they return."""

    def __init__(self, store: Store) -> None:
        self._calls: Map = store.object.map("kept_calls")
        self._store = store
        self._decoder = HookDecoder(store.object.btf)
        self._waiting_at = store.shapes.offset("hook_state", "waiting")

    def gone(self) -> list[HookRecord]:
        """Take out the calls whose thread is no more, and tell of them."""
        return [record for call in self._calls_that(lambda call: not _lives(call)) for record in self._records(call)]

    def of(self, instance: int) -> list[HookRecord]:
        """Tell of the calls that wait for a policy's instance, before its groups are given away."""
        calls = self._calls_that(lambda call: any(one.instance == instance for one in call.matches), leave=True)
        return [record for call in calls for record in self._records(call) if record.instance == instance]

    def all(self) -> list[HookRecord]:
        """Take out every call, and tell of it."""
        return [record for call in self._calls_that(lambda _: True) for record in self._records(call)]

    def _calls_that(self, wanted: Callable[[KeptCall], bool], leave: bool = False) -> Iterator[KeptCall]:
        for key in list(self._calls.keys()):
            value = self._calls.lookup(key)
            if value is None or not wanted(self._decoder.kept(key, value)):
                continue
            if not leave:
                value = self._take(key)
            if value is not None:
                yield self._decoder.kept(key, value)

    def _take(self, key: bytes) -> bytes | None:
        """Out of the table, and out of its hook's count (bpf/engine/calls.h): None if its thread was quicker."""
        value = self._calls.take(key)
        if value is not None:
            self._store.arrays["hooks"].add64(self._decoder.hook_of(key), self._waiting_at, -1)
        return value

    def _records(self, call: KeptCall) -> Iterator[HookRecord]:
        store = self._store
        for match in call.matches:
            group = store.shapes.unpack("rule_group", store.arrays["groups"].read(match.group))
            if group[2] != match.instance:
                continue
            selector = store.arrays["selectors"].read(group[4] + match.selector)
            action = store.shapes.unpack("selector", selector)[5]
            yield HookRecord(
                call.time,
                call.ktime,
                call.tgid,
                call.tid,
                call.hook,
                match.policy,
                match.instance,
                match.group,
                match.selector,
                NEVER_RETURNED,
                action,
                0,
                call.values,
            )


def _lives(call: KeptCall) -> bool:
    born = procfs.thread_start(call.tgid, call.tid)
    return born is not None and born == call.start - call.start % _TICK_NS
