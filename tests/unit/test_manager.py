"""The policies of an agent: real policies compiled for a recorded machine; only the kernel half is a stand-in."""

from __future__ import annotations

import asyncio
import lzma
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lictor.api.ports import HookState, NoSuchPolicyError, PolicyExistsError, PolicyState, PolicyStatus
from lictor.daemon.files import PolicyDirectory, load_file
from lictor.daemon.manager import Manager
from lictor.daemon.measure import of_policies
from lictor.daemon.persist import Store
from lictor.errors import LictorError
from lictor.host.facts import HostFacts
from lictor.policy.compile import Compiled, compile_policy
from lictor.policy.machine import Machine
from lictor.policy.plan import Mode, Plan
from lictor.sensors.modes import EnforcementState

FACTS = Path(__file__).parents[1] / "golden" / "facts" / "6.12-debian.xz"


def policy(name: str, call: str = "tcp_connect", more: str = "") -> bytes:
    return (
        f"apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {{name: {name}}}\n"
        f"spec:\n  kprobes:\n  - {{call: {call}, syscall: false{more}}}\n"
    ).encode()


KILLING = policy("kill", more=", selectors: [{label: one, matchActions: [{action: Sigkill}]}]")


@dataclass
class Row:
    hook: int
    selector: int
    matches: int
    posts: int
    limited: int
    dropped: int
    monitored: int
    failed_reads: int
    hook_ns: int


@dataclass
class Totals:
    failed_reads: int
    unjoined: int


class Kernel:
    """Keeps the plans that would be in force. `fails` is what the next change says."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.plans: dict[tuple[str, str], Plan] = {}
        self.fails: BaseException | None = None
        self.until = 0
        self.suspended = False
        self.during: Callable[[], None] = lambda: None

    def compile(self, text: bytes, file: str) -> Compiled:
        return compile_policy(text, file, self._machine)

    def load(self, plan: Plan) -> None:
        self._fail()
        assert (plan.namespace, plan.name) not in self.plans
        self.plans[plan.namespace, plan.name] = plan

    def replace(self, plan: Plan) -> None:
        self._fail()
        assert (plan.namespace, plan.name) in self.plans
        self.plans[plan.namespace, plan.name] = plan

    def unload(self, namespace: str, name: str) -> None:
        self._fail()
        del self.plans[namespace, name]

    def set_mode(self, namespace: str, name: str, mode: Mode, until: int, after: Mode) -> None:
        self._fail()
        plan = self.plans[namespace, name]
        self.plans[namespace, name] = msgspec.structs.replace(plan, mode=mode)
        self.until = until
        assert not until or after is plan.mode

    def enforcement(self, namespace: str, name: str) -> EnforcementState:
        return EnforcementState(self.plans[namespace, name].mode, self.suspended, 0, 0, 0, self.until)

    def statistics(self, namespace: str, name: str) -> Sequence[Row]:
        return [
            Row(0, place, 5, 3, 6, 7, 2, 8, 9_000_000)
            for place in range(len(self.plans[namespace, name].hooks[0].rules))
        ]

    def counts(self, namespace: str, name: str) -> Totals:
        assert (namespace, name) in self.plans
        return Totals(10, 11)

    def memory(self, namespace: str, name: str) -> int:
        return 1000 * len(self.plans[namespace, name].hooks)

    def _fail(self) -> None:
        self.during()
        if self.fails is not None:
            error, self.fails = self.fails, None
            raise error


@pytest.fixture(scope="session")
def machine() -> Machine:
    return Machine(HostFacts.from_json(lzma.decompress(FACTS.read_bytes())))


@pytest.fixture
def kernel(machine: Machine) -> Kernel:
    return Kernel(machine)


@pytest.fixture
def manager(kernel: Kernel) -> Manager:
    return Manager(kernel)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def states(manager: Manager) -> dict[str, PolicyState]:
    return {one.name: one.state for one in manager.statuses()}


def test_add_list_delete(manager: Manager, kernel: Kernel) -> None:
    run(manager.add(policy("a"), "grpc"))
    run(manager.add(policy("b"), "other"))
    assert states(manager) == {"a": PolicyState.ENABLED, "b": PolicyState.ENABLED}
    assert [one.name for one in manager.statuses("other")] == ["b"]
    assert manager.domains() == ["grpc", "other"]
    one = manager.statuses("grpc")[0]
    assert [(hook.section, hook.index, hook.state, hook.description) for hook in one.hooks] == [
        ("kprobes", 0, HookState.LOADED, "kprobe:tcp_connect")
    ]
    assert one.kernel_memory == 1000
    assert one.mode is Mode.MONITOR_ONLY
    run(manager.delete("a", "", "grpc"))
    assert states(manager) == {"b": PolicyState.ENABLED}
    assert set(kernel.plans) == {("", "b")}


def test_names_are_taken_once(manager: Manager) -> None:
    run(manager.add(policy("a"), "grpc"))
    with pytest.raises(PolicyExistsError, match="a already, in domain grpc"):
        run(manager.add(policy("a"), "grpc"))
    with pytest.raises(PolicyExistsError, match="in domain grpc"):
        run(manager.add(policy("a"), "k8s"))


def test_what_is_not_there(manager: Manager) -> None:
    run(manager.add(policy("a"), "grpc"))
    with pytest.raises(NoSuchPolicyError, match=r"no policy b in domain grpc.*there are: a"):
        run(manager.delete("b", "", "grpc"))
    with pytest.raises(NoSuchPolicyError, match=r"domain static \(domain grpc has one\)"):
        run(manager.configure("a", "", "static", enable=False))


def test_a_policy_that_does_not_compile_is_kept_with_its_error(manager: Manager, kernel: Kernel) -> None:
    with pytest.raises(LictorError, match="no_such_function"):
        run(manager.add(policy("a", "no_such_function"), "grpc"))
    assert states(manager) == {"a": PolicyState.LOAD_ERROR}
    assert "no_such_function" in manager.statuses()[0].error
    with pytest.raises(LictorError, match="never in force"):
        run(manager.configure("a", "", "grpc", enable=True))
    run(manager.add(policy("a"), "grpc"))
    assert states(manager) == {"a": PolicyState.ENABLED}
    assert set(kernel.plans) == {("", "a")}


def test_a_text_that_is_no_policy_leaves_nothing(manager: Manager) -> None:
    for text in (b"", b"{", b"- 1", b"kind: Pod", b"\xff\xfe"):
        with pytest.raises(LictorError, match="no policy that can be loaded"):
            run(manager.add(text, "grpc"))
    assert states(manager) == {}


def test_a_kernel_that_refuses(manager: Manager, kernel: Kernel) -> None:
    kernel.fails = LictorError("the verifier says no")
    with pytest.raises(LictorError, match="verifier"):
        run(manager.add(policy("a"), "grpc"))
    assert (states(manager)["a"], manager.statuses()[0].error) == (PolicyState.LOAD_ERROR, "the verifier says no")
    run(manager.configure("a", "", "grpc", enable=True))
    assert (states(manager)["a"], manager.statuses()[0].error) == (PolicyState.ENABLED, "")
    kernel.fails = RuntimeError("a mistake of ours")
    with pytest.raises(RuntimeError):
        run(manager.configure("a", "", "grpc", enable=False))
    assert (states(manager)["a"], manager.statuses()[0].error) == (PolicyState.ENABLED, "a mistake of ours")


def test_replace_is_at_once_or_not_at_all(manager: Manager, kernel: Kernel) -> None:
    with pytest.raises(NoSuchPolicyError):
        run(manager.replace(policy("kill"), "grpc"))
    run(manager.add(KILLING, "grpc"))
    run(manager.configure("kill", "", "grpc", mode=Mode.MONITOR))
    kernel.fails = LictorError("no room", "make some")
    with pytest.raises(LictorError, match="no room"):
        run(manager.replace(policy("kill"), "grpc"))
    with pytest.raises(LictorError, match="no policy that can be loaded"):
        run(manager.replace(policy("kill", "no_such_function"), "grpc"))
    with pytest.raises(NoSuchPolicyError, match="domain grpc has one"):
        run(manager.replace(policy("kill"), "other"))
    assert kernel.plans["", "kill"].hooks[0].rules[0].label == "one"
    assert manager.statuses()[0].mode is Mode.MONITOR
    seen: list[PolicyState] = []
    kernel.during = lambda: seen.append(states(manager)["kill"])
    run(manager.replace(KILLING.replace(b"one", b"two"), "grpc"))
    assert seen == [PolicyState.ENABLED]
    assert kernel.plans["", "kill"].hooks[0].rules[0].label == "two"
    assert manager.statuses()[0].mode is Mode.ENFORCE


def test_replace_puts_in_force_what_was_not(manager: Manager, kernel: Kernel) -> None:
    run(manager.add(policy("a"), "grpc"))
    run(manager.configure("a", "", "grpc", enable=False))
    run(manager.replace(policy("a", "tcp_close"), "grpc"))
    assert kernel.plans["", "a"].hooks[0].function == "tcp_close"
    run(manager.delete("a", "", "grpc"))
    with pytest.raises(LictorError):
        run(manager.add(policy("a", "no_such_function"), "grpc"))
    run(manager.replace(policy("a"), "grpc"))
    assert states(manager) == {"a": PolicyState.ENABLED}


def test_states_in_between_are_seen(manager: Manager, kernel: Kernel) -> None:
    seen = []
    kernel.during = lambda: seen.append(states(manager)["a"])
    run(manager.add(policy("a"), "grpc"))
    run(manager.delete("a", "", "grpc"))
    assert seen == [PolicyState.LOADING, PolicyState.UNLOADING]


def test_enable_and_disable(manager: Manager, kernel: Kernel) -> None:
    run(manager.add(policy("a"), "grpc"))
    run(manager.configure("a", "", "grpc", enable=False))
    assert states(manager) == {"a": PolicyState.DISABLED}
    assert not kernel.plans
    assert manager.statuses()[0].hooks[0].state is HookState.UNSPECIFIED
    run(manager.configure("a", "", "grpc", enable=True))
    run(manager.configure("a", "", "grpc", enable=True))
    assert states(manager) == {"a": PolicyState.ENABLED}


def test_modes(manager: Manager, kernel: Kernel) -> None:
    run(manager.add(KILLING, "grpc"))
    assert manager.statuses()[0].mode is Mode.ENFORCE
    run(manager.configure("kill", "", "grpc", mode=Mode.MONITOR))
    assert (manager.statuses()[0].mode, kernel.plans["", "kill"].mode) == (Mode.MONITOR, Mode.MONITOR)
    run(manager.configure("kill", "", "grpc", enable=False))
    run(manager.configure("kill", "", "grpc", mode=Mode.ENFORCE, enable=True))
    assert kernel.plans["", "kill"].mode is Mode.ENFORCE
    run(manager.add(policy("a"), "grpc"))
    with pytest.raises(LictorError, match="no enforcing action"):
        run(manager.configure("a", "", "grpc", mode=Mode.MONITOR))


def test_counters(manager: Manager) -> None:
    run(manager.add(KILLING, "grpc"))
    assert manager.statuses()[0].selectors == ()
    (row,) = run(manager.list())[0].selectors
    assert (row.hook, row.hook_index, row.selector_index, row.label) == ("kprobe:tcp_connect", 0, 0, "one")
    assert (row.counters.post, row.counters.signal, row.counters.monitor_signal, row.counters.override) == (3, 3, 2, 0)
    assert "kprobe:tcp_connect: " in manager.statuses()[0].info


def test_a_change_holds_up_nobody_who_looks(manager: Manager, kernel: Kernel) -> None:
    go, began = threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        assert go.wait(20)

    async def look() -> Sequence[PolicyStatus]:
        adding = asyncio.create_task(manager.add(policy("b"), "grpc"))
        await asyncio.to_thread(began.wait, 20)
        seen = await manager.list()
        go.set()
        await adding
        return seen

    run(manager.add(KILLING, "grpc"))
    counted = run(manager.list())[0].selectors
    kernel.during = slow
    first, second = run(look())
    assert (first.state, first.selectors) == (PolicyState.ENABLED, counted)
    assert (second.name, second.state) == ("b", PolicyState.LOADING)


def test_metrics(manager: Manager) -> None:
    run(manager.add(KILLING, "grpc"))
    with pytest.raises(LictorError):
        run(manager.add(policy("a", "no_such_function"), "grpc"))
    found = {(one.name.removeprefix("tetragon_tracingpolicy_"), one.labels): one.value for one in of_policies(manager)}
    assert found["loaded", ("enabled",)] == found["loaded", ("load_error",)] == 1
    assert found["loaded", ("disabled",)] == 0
    assert found["kernel_memory_bytes", ("kill", "")] > 0
    where = ("kprobe:tcp_connect", "0", "kill", "", "0", "one")
    assert found["selector_actions_total", ("monitor_signal", *where)] == 2
    names = ("events_limited", "events_lost", "failed_reads")
    assert [found[f"lictor_policy_{name}_total", where] for name in names] == [6, 7, 8]
    assert found["lictor_policy_hook_seconds_total", where[:4]] == 0.009


def test_hooks_that_are_missing(manager: Manager) -> None:
    both = policy("a", more="}\n  - {call: no_such_function, syscall: false, ignore: {callNotFound: true}")
    run(manager.add(both, "grpc"))
    assert states(manager) == {"a": PolicyState.PARTIALLY_ENABLED}
    assert [hook.state for hook in manager.statuses()[0].hooks] == [HookState.LOADED, HookState.CALL_NOT_FOUND]


def test_changes_take_turns(manager: Manager, kernel: Kernel) -> None:
    async def all_at_once() -> list[Any]:
        adds = [manager.add(policy(f"p{n}"), "grpc") for n in range(8)]
        again = [manager.add(policy("p0"), "grpc"), manager.delete("nothing", "", "grpc")]
        return await asyncio.gather(*adds, *again, return_exceptions=True)

    done = run(all_at_once())
    assert [type(one) for one in done[8:]] == [PolicyExistsError, NoSuchPolicyError]
    assert len(kernel.plans) == 8


def test_a_directory_is_followed(manager: Manager, kernel: Kernel, tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "below" / "b.yaml"
    second.parent.mkdir()
    first.write_bytes(policy("a"))
    directory = PolicyDirectory(lambda: manager, str(tmp_path))
    run(directory.load())
    assert states(manager) == {"a": PolicyState.ENABLED}

    second.write_bytes(policy("b"))
    first.write_bytes(policy("a", "vfs_read"))
    run(directory.follow())
    assert {name: plan.hooks[0].function for (_, name), plan in kernel.plans.items()} == {
        "a": "vfs_read",
        "b": "tcp_connect",
    }

    first.write_bytes(policy("a", "no_such_function"))
    run(directory.follow())
    assert kernel.plans["", "a"].hooks[0].function == "vfs_read"

    third = tmp_path / "open.yaml"
    third.write_bytes(policy("written-by-others"))
    third.chmod(0o666)
    first.write_bytes(policy("renamed"))
    second.unlink()
    run(directory.follow())
    assert states(manager) == {"renamed": PolicyState.ENABLED}


def test_a_wrong_file_at_the_start_is_an_error(manager: Manager, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: Pod")
    with pytest.raises(LictorError, match=r"a\.yaml"):
        run(PolicyDirectory(lambda: manager, str(tmp_path)).load())
    with pytest.raises(LictorError, match="cannot be read"):
        run(load_file(manager, str(tmp_path / "nothing")))
    run(PolicyDirectory(lambda: manager, str(tmp_path / "nothing")).load())


def test_policies_of_the_api_are_kept(kernel: Kernel, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "kept"))
    manager = Manager(kernel, store)
    run(manager.add(policy("a"), "grpc"))
    run(manager.add(KILLING, "grpc"))
    run(manager.add(policy("quiet"), "other"))
    run(manager.add(policy("file"), "static"))
    run(manager.add(policy("gone"), "grpc"))
    run(manager.configure("kill", "", "grpc", mode=Mode.MONITOR))
    run(manager.configure("quiet", "", "other", enable=False))
    run(manager.delete("gone", "", "grpc"))
    assert sorted(one.name for one in (tmp_path / "kept").iterdir()) == [
        "a::grpc.json", "kill::grpc.json", "quiet::other.json",
    ]  # fmt: skip
    assert {one.stat().st_mode & 0o777 for one in (tmp_path / "kept").iterdir()} == {0o600}

    kernel.plans.clear()
    again = Manager(kernel, store)
    run(again.restore())
    assert states(again) == {"a": PolicyState.ENABLED, "kill": PolicyState.ENABLED, "quiet": PolicyState.DISABLED}
    assert kernel.plans["", "kill"].mode is Mode.MONITOR


def test_kept_policies_come_back_all_or_none(kernel: Kernel, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    manager = Manager(kernel, store)
    run(manager.add(policy("a"), "grpc"))
    run(manager.add(policy("b"), "grpc"))
    kernel.plans.clear()
    file = tmp_path / "b::grpc.json"
    file.write_bytes(file.read_bytes().replace(b"tcp_connect", b"no_such_fun"))
    again = Manager(kernel, store)
    with pytest.raises(LictorError, match="no_such_fun"):
        run(again.restore())
    assert not kernel.plans
    assert not again.statuses()
    file.write_text("nonsense")
    with pytest.raises(LictorError, match="remove the file"):
        run(again.restore())


def test_mode_for_a_while_is_shown_as_such(manager: Manager) -> None:
    run(manager.add(KILLING, "grpc"))
    run(manager.configure("kill", "", "grpc", mode=Mode.MONITOR))
    run(manager.configure("kill", "", "grpc", mode=Mode.ENFORCE, seconds=600))
    (found,) = run(manager.list())
    assert found.mode is Mode.ENFORCE
    assert found.info.startswith("mode enforce for 59")
    run(manager.configure("kill", "", "grpc", enable=False))
    (found,) = run(manager.list())
    assert found.mode is Mode.MONITOR
    with pytest.raises(LictorError, match="not in force"):
        run(manager.configure("kill", "", "grpc", mode=Mode.ENFORCE, seconds=600))


def test_suspended_policy_says_so(manager: Manager, kernel: Kernel) -> None:
    run(manager.add(KILLING, "grpc"))
    kernel.suspended = True
    (found,) = run(manager.list())
    assert found.info.startswith("suspended: ")
