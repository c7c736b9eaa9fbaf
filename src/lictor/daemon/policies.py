"""The kernel half of an agent's policies. Nothing of it is made or imported before something asks for it."""

from __future__ import annotations

import threading
from collections.abc import Container, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from lictor.pipeline.hooks import HookStream
from lictor.pipeline.reader import Reader
from lictor.sensors.process import ProcessSensor
from lictor.track.processes import Tracker

if TYPE_CHECKING:
    from lictor.daemon.manager import Manager
    from lictor.policy.compile import Compiled
    from lictor.policy.machine import Machine
    from lictor.policy.plan import Mode, Plan
    from lictor.sensors.modes import EnforcementState
    from lictor.sensors.policies import PolicyCounts, PolicyEngine, SelectorStats


class Policies:
    """The compiler and the engine behind `manager` (see `manager.Backend`)."""

    def __init__(self, sensor: ProcessSensor, tracker: Tracker, reader: Reader, kept_in: str = "") -> None:
        """`kept_in`: the directory of policies that came over the API; empty: they are not kept."""
        self._kept_in = kept_in
        self._sensor = sensor
        self._tracker = tracker
        self._reader = reader
        self._engine: PolicyEngine | None = None
        self._making = threading.Lock()
        self.known: Manager | None = None  # the manager, once somebody asked for it

    @property
    def manager(self) -> Manager:
        """Who may be asked for changes of policies."""
        if self.known is None:
            from lictor.daemon.manager import Manager
            from lictor.daemon.persist import Store

            self.known = Manager(self, Store(self._kept_in) if self._kept_in else None)
        return self.known

    @cached_property
    def machine(self) -> Machine:
        """What the compiler knows of this machine; read once."""
        from lictor.host import features
        from lictor.host.gather import gather
        from lictor.policy.machine import Machine

        return Machine(gather(features.abilities))

    def compile(self, text: bytes, file: str) -> Compiled:
        from lictor.policy.compile import compile_policy

        return compile_policy(text, file, self.machine)

    def load(self, plan: Plan) -> None:
        self._made().load(plan)

    def replace(self, plan: Plan) -> None:
        self._made().replace(plan)

    def set_mode(self, namespace: str, name: str, mode: Mode, until: int, after: Mode) -> None:
        self._made().set_mode(namespace, name, mode, until, after)

    def enforcement(self, namespace: str, name: str) -> EnforcementState:
        return self._made().enforcement(namespace, name)

    def unload(self, namespace: str, name: str) -> None:
        self._made().unload(namespace, name)

    def statistics(self, namespace: str, name: str) -> Sequence[SelectorStats]:
        return self._made().statistics(namespace, name)

    def counts(self, namespace: str, name: str) -> PolicyCounts:
        return self._made().counts(namespace, name)

    def memory(self, namespace: str, name: str) -> int:
        return self._made().memory_of(namespace, name)

    def audit(self, present: Container[int]) -> None:
        """Now and then: forget processes that are not `present`."""
        if self._engine is not None:
            self._engine.forget_processes(present)

    def detach(self) -> None:
        """Take everything off its hook. Calls that have not returned are told of as such."""
        if self._engine is not None and self._reader.hooks is not None:
            self._engine.detach()
            self._reader.hooks.look(everything=True)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _made(self) -> PolicyEngine:
        """The engine; it comes with the first policy."""
        with self._making:
            if self._engine is None:
                from lictor.sensors.policies import open_engine
                from lictor.track.hooks import HookTracker
                from lictor.track.values import Arguments
                from lictor.wire.hooks import HookDecoder
                from lictor.wire.values import ValueDecoder

                engine = open_engine(self._sensor.object, self._sensor.hierarchy)
                btf = engine.store.object.btf
                hooks = HookTracker(self._tracker, engine.catalog, Arguments(ValueDecoder(btf)))
                self._reader.hooks = HookStream(HookDecoder(btf), hooks, engine)
                self._engine = engine
            return self._engine
