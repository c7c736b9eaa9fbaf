"""What stands behind the API in the tests of its methods and of the command line: it notes what it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lictor.api.ports import (
    ActionCounters,
    EventLogParams,
    HookState,
    HookStatus,
    KnownProcess,
    NoSuchPolicyError,
    PolicyExistsError,
    PolicyState,
    PolicyStatus,
    Ports,
    SelectorCounters,
)
from lictor.errors import LictorError
from lictor.model.process import Process
from lictor.policy.plan import Mode

STATUS = PolicyStatus(
    id=7,
    name="a",
    namespace="n",
    domain="grpc",
    state=PolicyState.PARTIALLY_ENABLED,
    mode=Mode.MONITOR,
    info="kprobe:x: prevented",
    kernel_memory=4096,
    hooks=(HookStatus("kprobes", 1, HookState.CALL_NOT_FOUND, "kprobe:x"),),
    selectors=(
        SelectorCounters("kprobe:x", 0, 0, "first", ActionCounters(post=1, monitor_signal=2), 3, 4, 5, 9, 1_500_000),
        SelectorCounters("kprobe:x", 0, 1, "", ActionCounters(post=10)),
    ),
    failed_reads=6,
)


class Manager:
    """Notes what it is asked; the real one has its own tests."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def add(self, text: bytes, domain: str) -> None:
        self.asked.append((text, domain))
        if b"twice" in text:
            raise PolicyExistsError("there is one", "delete it")
        if b"wrong" in text:
            raise LictorError("line 3 is wrong", "correct it")
        if b"broken" in text:
            raise RuntimeError("secret detail")

    async def replace(self, text: bytes, domain: str) -> None:
        self.asked.append(("replace", text, domain))

    async def delete(self, name: str, namespace: str, domain: str) -> None:
        self.asked.append((name, namespace, domain))
        if name != "a":
            raise NoSuchPolicyError("there is none")

    async def configure(
        self,
        name: str,
        namespace: str,
        domain: str,
        enable: bool | None = None,
        mode: Mode | None = None,
        seconds: int = 0,
    ) -> None:
        self.asked.append((name, namespace, domain, enable, mode, *([seconds] if seconds else [])))

    async def list(self, domain: str = "") -> Sequence[PolicyStatus]:
        return [STATUS] if domain in ("", "grpc") else []

    def domains(self) -> Sequence[str]:
        return ["grpc", "static"]


class Log:
    def __init__(self) -> None:
        self.params = EventLogParams(10, 0.0, 5)

    def get(self) -> EventLogParams:
        return self.params

    def set(self, params: EventLogParams) -> None:
        self.params = params


class About:
    async def probes(self) -> dict[str, bool]:
        return {"lsm": True, "kprobe": False}

    def settings(self) -> dict[str, str | int | float | bool | list[str]]:
        return {"log-level": "info", "rb-size": 8, "extras": True, "interval": 1.5, "server-address": ["a", "b"]}

    def processes(self) -> Sequence[KnownProcess]:
        return [
            KnownProcess(Process(exec_id="a", pid=1, binary="/init"), "living"),
            KnownProcess(Process(exec_id="b", pid=2, binary="/gone"), "ended"),
        ]


MANAGER, LOG = Manager(), Log()
PORTS = Ports(MANAGER, LOG, About())
