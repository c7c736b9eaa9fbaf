"""What keeps policies in force, as the manager sees it, and what it tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from lictor.policy.plan import Mode, Plan

if TYPE_CHECKING:
    from lictor.policy.compile import Compiled


class Counts(Protocol):
    """What a selector of a loaded policy counted, as far as it is shown here."""

    @property
    def hook(self) -> int: ...  # its place among the plan's hooks

    @property
    def selector(self) -> int: ...  # its place among the hook's rules

    @property
    def matches(self) -> int: ...

    @property
    def posts(self) -> int: ...

    @property
    def limited(self) -> int: ...

    @property
    def dropped(self) -> int: ...

    @property
    def monitored(self) -> int: ...

    @property
    def failed_reads(self) -> int: ...

    @property
    def hook_ns(self) -> int: ...


class Totals(Protocol):
    """What is counted for a loaded policy as a whole."""

    @property
    def failed_reads(self) -> int: ...

    @property
    def unjoined(self) -> int: ...


class Fares(Protocol):
    """How the enforcing actions of a loaded policy fare. `until`: boot time in ns, as in `Backend.set_mode`."""

    @property
    def mode(self) -> Mode: ...

    @property
    def suspended(self) -> bool: ...

    @property
    def overwritten(self) -> int: ...

    @property
    def unused(self) -> int: ...

    @property
    def until(self) -> int: ...


class Backend(Protocol):
    """The compiler for this machine and the kernel half. Called from other threads, one call at a time."""

    def compile(self, text: bytes, file: str) -> Compiled: ...

    def load(self, plan: Plan) -> None: ...

    def replace(self, plan: Plan) -> None: ...

    def unload(self, namespace: str, name: str) -> None: ...

    def set_mode(self, namespace: str, name: str, mode: Mode, until: int, after: Mode) -> None: ...

    def enforcement(self, namespace: str, name: str) -> Fares: ...

    def statistics(self, namespace: str, name: str) -> Sequence[Counts]: ...

    def counts(self, namespace: str, name: str) -> Totals: ...

    def memory(self, namespace: str, name: str) -> int: ...
