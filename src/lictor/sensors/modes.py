"""How a policy's enforcing actions stand in the kernel: mode, trial period, what became of notifications."""

from __future__ import annotations

import time
from dataclasses import dataclass

from lictor.policy.plan import Mode, Plan
from lictor.sensors.store import Store

_MODES = {Mode.ENFORCE: 0, Mode.MONITOR: 1, Mode.MONITOR_ONLY: 2}
_BY_NUMBER = {number: mode for mode, number in _MODES.items()}
_TRIAL = "denials-per-minute"


@dataclass(frozen=True, slots=True)
class EnforcementState:
    """How a policy's enforcing actions fare. `suspended`: its trial period ended early. `overwritten` and `unused` are
    notifications for the enforcer that another one replaced, and that nothing came to act on. `until`: boot time in ns
    from which `mode` is another one's again, 0: it stays."""

    mode: Mode
    suspended: bool
    denials: int
    overwritten: int
    unused: int
    until: int


class Modes:
    """Writes and reads the mode of a policy by its number."""

    def __init__(self, store: Store) -> None:
        self._array = store.arrays["policies"]
        self._shapes = store.shapes
        members = ("mode", "until", "after", "limit", "denials", "suspended")
        self._at = {name: store.shapes.offset("policy_state", name) for name in members}

    def begin(self, number: int, plan: Plan) -> None:
        """A policy that was not there before."""
        self._array.write(number, bytes(self._array.size))
        self.set(number, plan, plan.mode)

    def set(self, number: int, plan: Plan, mode: Mode, until: int = 0, after: Mode = Mode.MONITOR) -> None:
        """One store after the other, in an order in which nothing is enforced longer than it should be."""
        array, at = self._array, self._at
        limit = next((int(value) for name, value in plan.options if name == _TRIAL), 0)
        array.store32(number, at["after"], _MODES[after])
        if until:
            array.store64(number, at["until"], until)
        array.store32(number, at["mode"], _MODES[mode])
        if not until:
            array.store64(number, at["until"], 0)
        array.store32(number, at["limit"], limit)
        array.store32(number, at["denials"], 0)
        array.store32(number, at["suspended"], 0)

    def state(self, number: int) -> EnforcementState:
        names = ("mode", "until", "after", "denials", "suspended", "overwritten", "unused")
        found = self._shapes.members("policy_state", self._array.read(number), names)
        mode, until, after, denials, suspended, overwritten, unused = found
        over = until and until <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        return EnforcementState(
            _BY_NUMBER[after if over else mode], bool(suspended), denials, overwritten, unused, 0 if over else until
        )
