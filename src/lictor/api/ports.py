"""What the API needs of the agent behind it, as values and protocols. The daemon provides it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from lictor.errors import LictorError
from lictor.model.process import Process
from lictor.policy.plan import Mode
from lictor.track.announced import Announcement

STATIC_DOMAIN = "static"  # of policies that come from files


class PolicyState(IntEnum):
    """`tetragon.TracingPolicyState`."""

    UNKNOWN = 0
    ENABLED = 1
    DISABLED = 2
    LOAD_ERROR = 3
    ERROR = 4
    LOADING = 5
    UNLOADING = 6
    SKIPPED = 7
    PARTIALLY_ENABLED = 8


class HookState(IntEnum):
    """`tetragon.HookState`."""

    UNSPECIFIED = 0
    LOADED = 1
    DIGEST_REJECTED = 2
    CALL_NOT_FOUND = 3
    PARTIAL_CALL_NOT_FOUND = 4


@dataclass(frozen=True, slots=True)
class HookStatus:
    """`section` and `index` say where the hook stands in the policy."""

    section: str
    index: int
    state: HookState
    description: str


@dataclass(frozen=True, slots=True)
class ActionCounters:
    """How often each action ran; `monitor_…`: would have."""

    post: int = 0
    signal: int = 0
    monitor_signal: int = 0
    override: int = 0
    monitor_override: int = 0
    notify_enforcer: int = 0
    monitor_notify_enforcer: int = 0
    set: int = 0
    monitor_set: int = 0
    nopost: int = 0

    def __add__(self, other: ActionCounters) -> ActionCounters:
        return ActionCounters(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


@dataclass(frozen=True, slots=True)
class SelectorCounters:
    """The counters of one selector of one hook; `hook` such as `kprobe:tcp_connect`.

    `limited`: events that its rate limit held back; `lost`: that found no room; `failed_reads`: values shown as errors.
    `hook_ns`: about how long the policy took on this hook, with all its selectors.
    """

    hook: str
    hook_index: int
    selector_index: int
    label: str
    counters: ActionCounters
    limited: int = 0
    lost: int = 0
    failed_reads: int = 0
    matches: int = 0
    hook_ns: int = 0


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """A policy as it stands. `kernel_memory` in bytes; `error` says why it is not in force. `failed_reads`: values that
    its conditions could not read; `unjoined`: matches whose return could not be waited for."""

    id: int
    name: str
    namespace: str
    domain: str
    state: PolicyState
    mode: Mode | None = None
    info: str = ""
    error: str = ""
    kernel_memory: int = 0
    hooks: Sequence[HookStatus] = ()
    selectors: Sequence[SelectorCounters] = ()
    failed_reads: int = 0
    unjoined: int = 0


class NoSuchPolicyError(LictorError):
    """A policy that is not there."""


class PolicyExistsError(LictorError):
    """A policy that is there already."""


class PolicyManager(Protocol):
    """Changes and shows policies. Every failure is a LictorError; what failed half way is undone."""

    async def add(self, text: bytes, domain: str) -> None: ...

    async def replace(self, text: bytes, domain: str) -> None:
        """Put a policy in the place of the one of its name, at once; when it cannot be loaded, the old one stays."""
        ...

    async def delete(self, name: str, namespace: str, domain: str) -> None: ...

    async def configure(
        self,
        name: str,
        namespace: str,
        domain: str,
        enable: bool | None = None,
        mode: Mode | None = None,
        seconds: int = 0,
    ) -> None:
        """`seconds`: after which the mode is again what it was; 0: never."""
        ...

    async def list(self, domain: str = "") -> Sequence[PolicyStatus]:
        """All policies, or those of a domain."""
        ...

    def domains(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class EventLogParams:
    """How the export file is rotated. `max_size` in MB, `interval` in seconds; 0: never."""

    max_size: int
    interval: float
    max_backups: int


class EventLog(Protocol):
    """The export file's rotation."""

    def get(self) -> EventLogParams: ...

    def set(self, params: EventLogParams) -> None: ...


@dataclass(frozen=True, slots=True)
class KnownProcess:
    """A process in the agent's table. `state`: living, or ended and kept for late events."""

    process: Process
    state: str


class About(Protocol):
    """What the agent can tell about itself."""

    async def probes(self) -> dict[str, bool]:
        """What this kernel can do; tried when first asked."""
        ...

    def settings(self) -> dict[str, str | int | float | bool | list[str]]: ...

    def processes(self) -> Iterable[KnownProcess]: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """All of them; None: the agent has no such part."""

    policies: PolicyManager | None = None
    event_log: EventLog | None = None
    about: About | None = None
    announce: Callable[[Announcement], None] | None = None  # a container that a runtime is about to create
