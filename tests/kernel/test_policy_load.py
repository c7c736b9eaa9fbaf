"""Loading is all or nothing, replacing is at once, and what is not executed yet is refused by its name."""

from __future__ import annotations

import os
from collections import Counter

import msgspec
import pytest
from engine import Bench
from live import compiled

from lictor.errors import LictorError
from lictor.policy.machine import Machine
from lictor.policy.plan import Action, ActionKind, Attach, AttachKind, Hook, Plan, Rule
from lictor.sensors.attach import verdict_of

pytestmark = pytest.mark.kernel
SEEK = """
  kprobes:
  - call: sys_lseek
    args: [{index: 1, type: int64}]
    selectors:
    - matchPIDs: [{operator: In, values: [SELF]}]
      matchArgs: [{index: 1, operator: InRange, values: ["OFFSETS"]}]
"""


def plan(machine: Machine, offsets: str, name: str = "row") -> Plan:
    return compiled(SEEK.replace("OFFSETS", offsets).replace("SELF", str(os.getpid())), machine, name)


def raw_tracepoint(name: str) -> Hook:
    attach = Attach(kind=AttachKind.RAW_TRACEPOINT, target=name)
    return Hook(name=f"raw_tp:{name}", section="tracepoints", index=0, function=f"x/{name}", attaches=(attach,))


def used(bench: Bench) -> dict[str, int]:
    return {name: numbers.used for name, numbers in bench.engine.store.free.items()}


def test_a_hook_that_fails_undoes_those_before_it(bench: Bench, machine: Machine) -> None:
    good = plan(machine, "1:2")
    bad = msgspec.structs.replace(good, hooks=(*good.hooks, raw_tracepoint("no_such_event")))
    before = used(bench)
    # Programs that serve all hooks of their kind are loaded with the first, and stay: so not the first time.
    with pytest.raises(LictorError):
        bench.engine.load(bad)
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(LictorError, match="raw_tracepoint no_such_event cannot be attached"):
        bench.engine.load(bad)
    assert used(bench) == before
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert not bench.engine.names()
    with bench.policy(good):
        assert bench.engine.names() == [("", "row")]


def held() -> Counter[str]:
    """Programs, links and events of perf that this process has."""
    names = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    targets = [os.readlink(name) for name in names if os.path.lexists(name)]
    return Counter(one for one in targets if one.startswith(("anon_inode:bpf", "anon_inode:[perf")))


def test_a_hook_is_attached_once_and_let_go_by_its_last_user(bench: Bench, machine: Machine) -> None:
    """A further policy loads no program, so that no verifier runs, and makes no link."""
    engine = bench.engine
    with bench.policy(plan(machine, "1:2", "warm")):
        pass
    fd = os.open("/dev/null", os.O_RDONLY)
    nothing = held()
    engine.load(plan(machine, "1:2", "first"))
    one = held()
    assert one - nothing
    engine.load(plan(machine, "1:2", "second"))
    assert held() == one
    engine.unload("", "first")
    assert held() == one
    found = bench.during(plan(machine, "1:2", "third"), lambda: os.lseek(fd, 1, os.SEEK_SET))
    assert {event["policy_name"] for event in found if event["tid"] == os.getpid()} == {"second", "third"}
    engine.unload("", "second")
    assert held() == nothing
    os.close(fd)


def test_replacing_keeps_the_old_plan_when_the_new_one_fails(bench: Bench, machine: Machine) -> None:
    good = plan(machine, "1:2")
    fd = os.open("/dev/null", os.O_RDONLY)

    def act() -> None:
        with pytest.raises(LictorError):
            bench.engine.replace(msgspec.structs.replace(good, hooks=(raw_tracepoint("no_such_event"),)))
        os.lseek(fd, 1, os.SEEK_SET)
        bench.engine.replace(plan(machine, "5:6"))
        for offset in (1, 5):
            os.lseek(fd, offset, os.SEEK_SET)

    found = bench.during(good, act)
    os.close(fd)
    assert [event["args"][0]["long_arg"] for event in found] == ["1", "5"]


def test_a_name_is_taken_once(bench: Bench, machine: Machine) -> None:
    with bench.policy(plan(machine, "1:2")), pytest.raises(LictorError, match="loaded already"):
        bench.engine.load(plan(machine, "1:2"))
    with pytest.raises(LictorError, match="no policy row is loaded"):
        bench.engine.unload("", "row")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"attaches": (Attach(kind=AttachKind.USDT, target="/bin/sh:a:b"),)}, "usdt"),
        ({"rules": (Rule(index=0, actions=(Action(kind=ActionKind.TRACK_SOCK),)),)}, "TrackSock"),
        ({"rules": (Rule(index=0, actions=(Action(kind=ActionKind.POST, kernel_stack=True),)),)}, "stack traces"),
        ({"return_action": "TrackSock"}, "returnArgAction"),
    ],
)
def test_what_is_not_executed_yet_is_refused(
    bench: Bench, machine: Machine, change: dict[str, object], says: str
) -> None:
    good = plan(machine, "1:2")
    before = used(bench)
    hook = msgspec.structs.replace(good.hooks[0], **change)
    with pytest.raises(LictorError, match=f"{says}.*not executed yet"):
        bench.engine.load(msgspec.structs.replace(good, hooks=(hook,)))
    assert used(bench) == before


def test_many_policies_on_one_hook_and_one_that_applies(bench: Bench, machine: Machine) -> None:
    """Those for others are passed by; the one for this process is found among them."""
    fd = os.open("/dev/null", os.O_RDONLY)
    nobody = plan(machine, "1:2")
    (predicate,) = nobody.predicates
    for number in range(200):
        other = msgspec.structs.replace(predicate, numbers=(2**22 - number,))
        bench.engine.load(msgspec.structs.replace(nobody, name=f"other-{number}", predicates=(other,)))
    found = bench.during(nobody, lambda: os.lseek(fd, 1, os.SEEK_SET))
    for number in range(200):
        bench.engine.unload("", f"other-{number}")
    os.close(fd)
    assert [event["policy_name"] for event in found] == ["row"]


def test_the_verifiers_last_word() -> None:
    log = "libbpf: prog 'p': -- BEGIN PROG LOAD LOG --\nR1 is bad\nprocessed 3 insns\n-- END PROG LOAD LOG --\n"
    assert verdict_of(f"{log}libbpf: failed to load") == "R1 is bad"
    assert verdict_of("libbpf: no log") == ""


def test_memory_of_a_policy_is_what_it_takes(bench: Bench, machine: Machine) -> None:
    """Arrays have all their elements from the beginning; those of hashes come with the policy."""
    spec = """
  kprobes:
  - call: sys_chdir
    args: [{index: 0, type: string}]
    selectors:
    - matchArgs: [{index: 0, operator: Equal, values: [VALUES]}]
"""
    few, many = (
        compiled(spec.replace("VALUES", ", ".join(f"/{name}/{n}" for n in range(count))), machine, name)
        for name, count in (("few", 1), ("many", 1001))
    )
    with bench.policy(few):
        before = bench.engine.memory()
        with bench.policy(many):
            grown = bench.engine.memory() - before
            taken = [bench.engine.memory_of("", name) for name in ("few", "many")]
    assert 1000 * 64 <= taken[1] - taken[0] <= grown
    assert 0 < taken[0] < 8192
