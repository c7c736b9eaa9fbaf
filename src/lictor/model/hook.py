"""Events of hooks: what a policy's hook saw a process do.

A body holds a message of the API without the processes in it (`tetragon.ProcessKprobe` and its like), field by field
in the order of the numbers. Texts that are the same in every event of a hook are the same object; encoding them is
cheaper than joining ready-made pieces.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

import msgspec

from lictor.model.arguments import Argument
from lictor.model.event import Event, EventType
from lictor.model.forms import ProcessForms
from lictor.model.process import Value

Arguments = tuple[Argument, ...]


class KprobeAction(StrEnum):
    """`tetragon.KprobeAction`, by the names that stand in JSON."""

    POST = "KPROBE_ACTION_POST"
    SIGKILL = "KPROBE_ACTION_SIGKILL"
    OVERRIDE = "KPROBE_ACTION_OVERRIDE"
    GET_URL = "KPROBE_ACTION_GETURL"
    DNS_LOOKUP = "KPROBE_ACTION_DNSLOOKUP"
    NO_POST = "KPROBE_ACTION_NOPOST"
    SIGNAL = "KPROBE_ACTION_SIGNAL"
    TRACK_SOCK = "KPROBE_ACTION_TRACKSOCK"
    UNTRACK_SOCK = "KPROBE_ACTION_UNTRACKSOCK"
    NOTIFY_ENFORCER = "KPROBE_ACTION_NOTIFYENFORCER"
    CLEANUP_ENFORCER_NOTIFICATION = "KPROBE_ACTION_CLEANUPENFORCERNOTIFICATION"
    SET = "KPROBE_ACTION_SET"

    __hash__ = str.__hash__  # an enum's own is written in Python


class StackTraceEntry(Value, frozen=True):
    """`address` and `offset` are uint64; the address is shown only where the settings allow it."""

    address: str = ""
    offset: str = ""
    symbol: str = ""
    module: str = ""


class HookBody(Value, frozen=True):
    """Base of the bodies. `kind` is their event's type, `member` the envelope's field for it."""

    kind: ClassVar[EventType]
    member: ClassVar[str]
    varies: ClassVar = frozenset(
        {"args", "return_", "data", "kernel_stack_trace", "user_stack_trace", "ima_hash", "buildid"}
    )  # fields that are not the same in most events of a hook


class KprobeBody(HookBody, frozen=True, kw_only=True, rename={"return_": "return"}):
    """Also that of fentries and of syscall hooks. `function_name` is the symbol: `__x64_sys_openat` for a syscall."""

    kind: ClassVar = EventType.PROCESS_KPROBE
    member: ClassVar = "process_kprobe"
    function_name: str
    args: Arguments = ()
    return_: Argument | None = None
    action: KprobeAction
    kernel_stack_trace: tuple[StackTraceEntry, ...] = ()
    policy_name: str
    return_action: KprobeAction | None = None
    message: str = ""
    tags: tuple[str, ...] = ()
    user_stack_trace: tuple[StackTraceEntry, ...] = ()
    data: Arguments = ()


class TracepointBody(HookBody, frozen=True, kw_only=True):
    kind: ClassVar = EventType.PROCESS_TRACEPOINT
    member: ClassVar = "process_tracepoint"
    subsys: str
    event: str
    args: Arguments = ()
    policy_name: str
    action: KprobeAction
    message: str = ""
    tags: tuple[str, ...] = ()


class UprobeBody(HookBody, frozen=True, kw_only=True):
    """What the function returned is the last of `args`: the message has no field for it."""

    kind: ClassVar = EventType.PROCESS_UPROBE
    member: ClassVar = "process_uprobe"
    path: str
    symbol: str = ""
    policy_name: str
    message: str = ""
    args: Arguments = ()
    tags: tuple[str, ...] = ()
    offset: str = ""  # uint64
    ref_ctr_offset: str = ""  # uint64
    action: KprobeAction
    data: Arguments = ()


class UsdtBody(HookBody, frozen=True, kw_only=True):
    kind: ClassVar = EventType.PROCESS_USDT
    member: ClassVar = "process_usdt"
    path: str
    provider: str
    name: str
    policy_name: str
    message: str = ""
    args: Arguments = ()
    tags: tuple[str, ...] = ()
    action: KprobeAction
    flags: str = ""


class LsmBody(HookBody, frozen=True, kw_only=True):
    """`ima_hash` is `algorithm:hex`."""

    kind: ClassVar = EventType.PROCESS_LSM
    member: ClassVar = "process_lsm"
    function_name: str
    policy_name: str
    message: str = ""
    args: Arguments = ()
    action: KprobeAction
    tags: tuple[str, ...] = ()
    ima_hash: str = ""


class LoaderBody(HookBody, frozen=True, kw_only=True):
    """A binary or library that was mapped to be executed."""

    kind: ClassVar = EventType.PROCESS_LOADER
    member: ClassVar = "process_loader"
    path: str
    buildid: bytes = b""


class HookFlag(StrEnum):
    """What is special about how an event came to be."""

    READ_AGAIN = "readAgain"  # a value in user memory was not there at entry, and was read at exit
    NEVER_RETURNED = "neverReturned"  # the call had not come back when its process or the hook ended
    MONITORED = "monitored"  # the action was not carried out: the policy is in monitor mode
    EXEMPT = "exempt"  # the action was not carried out: it was the agent itself
    SUSPENDED = "suspended"  # the policy denied more than its trial period allows


class HookExtra(Value, frozen=True):
    """What Lictor adds about a hook: the `lictor.hook` object of an event (docs/reference/events.md)."""

    policy_namespace: str = ""
    policy_labels: dict[str, str] = msgspec.field(default_factory=dict)
    selector: str = ""  # its label
    flags: tuple[HookFlag, ...] = ()
    denied_by: str = ""  # how the call was stopped by this policy, e.g. `lsm`, `fmod_ret`, `kprobe.override`
    decided_by: str = ""  # the policy and selector that denied, where it is another one
    also_matched: tuple[str, ...] = ()  # other policies, with their selectors, that matched in the same run


NO_EXTRA = HookExtra()


class HookEvent(Event):
    """`tid` is the thread that ran into the hook, in the host's pid namespace. `count`: events that this one stands
    for, itself among them, in a stream that is aggregated; else 0.
    """

    __slots__ = ("body", "count", "extra", "kind", "tid")

    def __init__(
        self,
        time: int,
        process: ProcessForms,
        parent: ProcessForms | None,
        tid: int,
        body: HookBody,
        extra: HookExtra = NO_EXTRA,
    ) -> None:
        self.time = time
        self.process = process
        self.parent = parent
        self.tid = tid
        self.kind = body.kind
        self.body = body
        self.extra = extra
        self.count = 0
