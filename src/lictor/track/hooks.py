"""Hook records become events: what the record leaves out stands in the catalogue, which the policies in force fill."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from lictor.model.arguments import Argument
from lictor.model.hook import (
    NO_EXTRA,
    HookBody,
    HookEvent,
    HookExtra,
    HookFlag,
    KprobeAction,
    KprobeBody,
    LsmBody,
    TracepointBody,
)
from lictor.policy.plan import Hook, Plan, Read, Source
from lictor.track.processes import Tracker
from lictor.track.values import Arguments
from lictor.wire.hooks import MONITORED, NEVER_RETURNED, READ_AGAIN, RETURNED, HookRecord

_KEPT = 4096  # groups of removed policies, whose last records may still be on their way
_ACTIONS = {
    1: KprobeAction.POST, 3: KprobeAction.SIGKILL, 5: KprobeAction.OVERRIDE, 9: KprobeAction.NO_POST,
    10: KprobeAction.SIGNAL,
}  # fmt: skip
_FLAGS = ((READ_AGAIN, HookFlag.READ_AGAIN), (NEVER_RETURNED, HookFlag.NEVER_RETURNED), (MONITORED, HookFlag.MONITORED))


@dataclass(slots=True)
class GroupMeta:
    """One policy on one hook. `slots`: a plan's slot to the hook's."""

    plan: Plan
    hook: Hook
    slots: dict[int, int]
    args: list[Read] = field(init=False)
    data: list[Read] = field(init=False)
    returned: Read | None = field(init=False)

    def __post_init__(self) -> None:
        reads = [read for read in self.hook.reads if read.type != "nop"]
        self.returned = next((read for read in reads if read.source is Source.RETURN), None)
        self.data = [read for read in reads if read.source in (Source.CURRENT_TASK, Source.REGISTER)]
        self.args = [read for read in reads if read is not self.returned and read not in self.data]


class HookCatalog:
    """Groups by (instance, number). Those of removed policies stay for a while."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, int], GroupMeta] = {}
        self._gone: OrderedDict[tuple[int, int], GroupMeta] = OrderedDict()

    def add(self, instance: int, group: int, meta: GroupMeta) -> None:
        self._groups[instance, group] = meta

    def remove(self, instance: int, group: int) -> None:
        meta = self._groups.pop((instance, group), None)
        if meta is not None:
            self._gone[instance, group] = meta
            while len(self._gone) > _KEPT:
                self._gone.popitem(last=False)

    def get(self, instance: int, group: int) -> GroupMeta | None:
        return self._groups.get((instance, group)) or self._gone.get((instance, group))


class HookTracker:
    """Makes events of hook records. Counter `unknown_groups`: records of policies that are long gone."""

    def __init__(self, tracker: Tracker, catalog: HookCatalog, arguments: Arguments) -> None:
        self._arguments = arguments
        self._tracker = tracker
        self._catalog = catalog
        self.unknown_groups = 0

    def known(self, record: HookRecord) -> bool:
        """Whether the process of a record has been told of."""
        return self._tracker.find(record.tgid, record.ktime) is not None

    def event(self, record: HookRecord) -> HookEvent | None:
        """None for a policy that is long gone. Raises RecordError."""
        meta = self._catalog.get(record.instance, record.group)
        if meta is None:
            self.unknown_groups += 1
            return None
        process, parent = self._tracker.forms_of(record.tgid, record.ktime)
        return HookEvent(record.time, process, parent, record.tid, self._body(meta, record), _extra(meta, record))

    def _body(self, meta: GroupMeta, record: HookRecord) -> HookBody:
        hook, name = meta.hook, meta.plan.name
        args = self._values(meta, record, meta.args)
        action = _ACTIONS[record.action]
        if hook.section == "lsmhooks":
            return LsmBody(
                function_name=hook.function,
                policy_name=name,
                message=hook.message,
                args=args,
                action=action,
                tags=hook.tags,
            )
        if hook.section == "tracepoints":
            subsystem, _, event = hook.function.partition("/")
            return TracepointBody(
                subsys=subsystem,
                event=event,
                args=args,
                policy_name=name,
                action=action,
                message=hook.message,
                tags=hook.tags,
            )
        returned = None
        if meta.returned is not None and record.flags & RETURNED:
            returned = self._arguments.make(meta.returned, record.values.get(meta.slots[meta.returned.slot]))
        return KprobeBody(
            function_name=hook.function,
            args=args,
            return_=returned,
            action=action,
            policy_name=name,
            return_action=_ACTIONS.get(record.return_action),
            message=hook.message,
            tags=hook.tags,
            data=self._values(meta, record, meta.data),
        )

    def _values(self, meta: GroupMeta, record: HookRecord, reads: list[Read]) -> tuple[Argument, ...]:
        found: list[Argument] = []
        for read in reads:
            field = record.values.get(meta.slots[read.slot])
            found += self._arguments.elements(read, field) if read.element else [self._arguments.make(read, field)]
        return tuple(found)


def _extra(meta: GroupMeta, record: HookRecord) -> HookExtra:
    flags = tuple(name for bit, name in _FLAGS if record.flags & bit)
    rules = meta.hook.rules
    label = rules[record.selector].label if record.selector < len(rules) else ""
    if not flags and not label and not meta.plan.namespace and not meta.plan.labels:
        return NO_EXTRA
    return HookExtra(
        policy_namespace=meta.plan.namespace, policy_labels=dict(meta.plan.labels), selector=label, flags=flags
    )
