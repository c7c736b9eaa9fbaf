"""Every attack under its policy. Policies stay loaded, in monitor mode but for the attack's own: loading is what takes
time. In monitor mode it succeeds, and is counted; in enforce mode its effect is absent, and
the events name the policy and the selector. Known ways around a policy are tried too: they still work."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from engine import Bench

from attacks import arena
from attacks.attacker import Attacker, Report
from attacks.row import Attack, Outcome
from lictor.host import features
from lictor.host.gather import gather
from lictor.model.hook import HookEvent, KprobeAction
from lictor.policy.compile import compile_policy
from lictor.policy.machine import Machine
from lictor.policy.plan import Guarantee, Mode, Plan
from lictor.sensors.process import Sizes

_ENFORCED = (KprobeAction.OVERRIDE, KprobeAction.SIGKILL)
_RINGS = Sizes(priority_ring=16 << 20)  # attackers are faster than one who reads beside them
_PROMISES = (Guarantee.PREVENTED, Guarantee.KILLED_BEFORE_RETURN)


@pytest.fixture(scope="module")
def bench(own_cgroup: str) -> Iterator[Bench]:
    made = Bench(own_cgroup, _RINGS)
    yield made
    made.close()


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine(gather(features.abilities))


class Library:
    """The policies of the library: each is loaded, in monitor mode, when the first attack needs it."""

    def __init__(self, bench: Bench, machine: Machine) -> None:
        self._bench, self._machine = bench, machine
        self._plans: dict[str, Plan] = {}

    def loaded(self, attack: Attack) -> Plan:
        if attack.policy not in self._plans:
            compiled = compile_policy(attack.policy_file.read_bytes(), attack.policy, self._machine)
            if self._machine.preemptible and compiled.plan is None and not attack.promised:
                assert any(one.code == "cannot-enforce" for one in compiled.diagnostics), compiled.diagnostics
                pytest.skip("refused on a preemptible kernel")
            assert compiled.plan is not None, compiled.diagnostics
            plan = msgspec.structs.replace(compiled.plan, mode=Mode.MONITOR)
            self._bench.engine.load(plan)
            self._plans[attack.policy] = plan
        return self._plans[attack.policy]

    @contextlib.contextmanager
    def enforced(self, plan: Plan) -> Iterator[None]:
        self._bench.engine.set_mode(plan.namespace, plan.name, Mode.ENFORCE)
        try:
            yield
        finally:
            self._bench.engine.set_mode(plan.namespace, plan.name, Mode.MONITOR)


@pytest.fixture(scope="module")
def library(bench: Bench, machine: Machine) -> Library:
    return Library(bench, machine)


@dataclass(frozen=True)
class Found:
    """What came of an attack under a policy: its report, what the selectors counted, and the events. `told`: matches
    that had somebody to tell of. What leaves later, on an interrupt, is counted only."""

    report: Report
    matches: int
    told: int
    monitored: int
    events: list[HookEvent]


def under(plan: Plan, attacker: Attacker, attempts: int, bench: Bench) -> Found:
    """Let an attacker loose; what is counted before is not this one's."""

    def counted() -> tuple[int, int, int]:
        rows = bench.engine.statistics(plan.namespace, plan.name)
        matches = sum(row.matches for row in rows)
        return matches, matches - sum(row.limited for row in rows), sum(row.monitored for row in rows)

    bench.read()
    bench.events.clear()
    before = counted()
    report = attacker.strike(attempts, bench.read)
    after = counted()
    bench.read()
    matches, told, monitored = (now - then for now, then in zip(after, before, strict=True))
    own = [event for event in bench.events if event.body.policy_name == plan.name]  # type: ignore[attr-defined]
    return Found(report, matches, told, monitored, own)


def test_it_is_seen_and_stopped(
    attack: Attack,
    bench: Bench,
    library: Library,
    programs: Path,
    repetitions: int,
    record_property: Callable[[str, object], None],
) -> None:
    with arena.attacker(attack, programs) as attacker:
        plan = library.loaded(attack)
        succeed = arena.successful(attack, repetitions)
        monitored = under(plan, attacker, succeed, bench)
        with library.enforced(plan):
            detour = attack.outcome is Outcome.DETOUR
            enforced = under(plan, attacker, succeed if detour else min(repetitions, arena.ENOUGH), bench)
            rest = repetitions - enforced.report.attempts
            more = Report() if detour or rest <= 0 else attacker.strike(rest)  # whose events nobody reads
    promises = {hook.enforcement.guarantee for hook in plan.hooks if hook.enforcement is not None}
    prevents = promises <= set(_PROMISES)
    attempts = enforced.report.attempts + more.attempts
    effects = enforced.report.effects + more.effects
    outcome = attack.outcome
    if outcome is Outcome.AS_PROMISED:
        outcome = Outcome.STOPPED if prevents else Outcome.RACE
    record_property("measured", (attempts, effects, outcome.name, attack.name))
    assert_seen(attack, monitored)
    if detour:
        assert effects == attempts
    else:
        assert_named(enforced)
    if outcome is Outcome.STOPPED:
        assert effects == 0
        assert enforced.matches >= enforced.report.attempts or attack.name.startswith("open with a path")
        assert prevents or not attack.promised


def assert_seen(attack: Attack, found: Found) -> None:
    """In monitor mode everything happens, is counted, and is told as such."""
    assert found.report.effects == found.report.attempts
    assert all("monitored" in event.extra.flags for event in found.events)
    if attack.outcome is Outcome.STOPPED:
        assert found.monitored >= found.report.effects


def assert_named(found: Found) -> None:
    """In enforce mode every match acted, and has an event that names policy and selector."""
    assert found.monitored == 0
    assert len(found.events) == found.told
    for event in found.events:
        assert event.body.action in _ENFORCED  # type: ignore[attr-defined]
        assert event.extra.selector
