"""Policies on the running kernel without an agent around: the sensors, the engine and the reader in this process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec

from lictor.clock import WallClock
from lictor.model.hook import HookEvent
from lictor.pipeline.hooks import HookStream
from lictor.pipeline.reader import Reader
from lictor.policy.plan import Plan
from lictor.sensors.policies import open_engine
from lictor.sensors.process import ProcessSensor, Sizes
from lictor.track import scanned
from lictor.track.hooks import HookTracker
from lictor.track.image import Detail, ImageBuilder
from lictor.track.processes import Tracker
from lictor.track.values import Arguments
from lictor.wire.hooks import HookDecoder
from lictor.wire.records import NamespaceInodes
from lictor.wire.values import ValueDecoder

DEADLINE_S = 20.0
_SMALL = Sizes(1 << 20, 4 << 20)


class Bench:
    """Loads plans and collects the events of hooks."""

    def __init__(self, cgroup: str = "", sizes: Sizes = _SMALL) -> None:
        """`cgroup`: what cgroup programs are put on, instead of the root."""
        self.sensor = ProcessSensor(sizes)
        self.sensor.start()
        detail = Detail("node")
        host = NamespaceInodes(*[0] * len(NamespaceInodes._fields))
        self.tracker = Tracker(ImageBuilder(self.sensor.decoder, WallClock(), detail, host))
        scanned.enter(self.tracker, self.sensor.scan(), self.sensor.hierarchy)
        self.reader = Reader(self.sensor, self.tracker)
        hierarchy = self.sensor.hierarchy
        self.engine = open_engine(self.sensor.object, replace(hierarchy, programs=cgroup or hierarchy.programs))
        btf = self.engine.store.object.btf
        hooks = HookTracker(self.tracker, self.engine.catalog, Arguments(ValueDecoder(btf)))
        self.reader.hooks = HookStream(HookDecoder(btf), hooks, self.engine)
        self.events: list[HookEvent] = []

    def read(self) -> None:
        while (last := self.reader.round()).found:
            self.events += [event for event in last.events if isinstance(event, HookEvent)]

    @contextlib.contextmanager
    def policy(self, plan: Plan) -> Iterator[None]:
        self.engine.load(plan)
        try:
            yield
        finally:
            self.engine.unload(plan.namespace, plan.name)

    def during(self, plan: Plan, action: Callable[[], Any]) -> list[dict[str, Any]]:
        """The bodies of the events that an action causes under a policy, as JSON has them."""
        self.read()
        self.events.clear()
        with self.policy(plan):
            action()
        self.read()
        return [msgspec.to_builtins(event.body) | {"tid": event.tid} for event in self.events]

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < until, f"waited in vain for {what}"
            time.sleep(0.01)
            self.read()

    def close(self) -> None:
        self.engine.close()
        self.sensor.close()
