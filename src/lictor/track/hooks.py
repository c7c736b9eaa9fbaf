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
from lictor.policy.plan import ActionKind, Hook, Plan, Read, Source
from lictor.track.processes import Tracker
from lictor.track.values import Arguments
from lictor.wire.hooks import (
    DECIDED,
    EXEMPT,
    MONITORED,
    NEVER_RETURNED,
    READ_AGAIN,
    RETURNED,
    SUSPENDED,
    HookRecord,
    Match,
)

_KEPT = 4096  # groups of removed policies, whose last records may still be on their way
_ACTIONS = {
    1: KprobeAction.POST, 3: KprobeAction.SIGKILL, 5: KprobeAction.OVERRIDE, 9: KprobeAction.NO_POST,
    10: KprobeAction.SIGNAL, 13: KprobeAction.NOTIFY_ENFORCER, 14: KprobeAction.CLEANUP_ENFORCER_NOTIFICATION,
}  # fmt: skip
_FLAGS = (
    (READ_AGAIN, HookFlag.READ_AGAIN),
    (NEVER_RETURNED, HookFlag.NEVER_RETURNED),
    (MONITORED, HookFlag.MONITORED),
    (EXEMPT, HookFlag.EXEMPT),
    (SUSPENDED, HookFlag.SUSPENDED),
)


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

    @property
    def plain(self) -> bool:
        """Whether there is nothing to say of the policy but its name."""
        return not self.plan.namespace and not self.plan.labels


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
        return HookEvent(record.time, process, parent, record.tid, self._body(meta, record), self._extra(meta, record))

    def _extra(self, meta: GroupMeta, record: HookRecord) -> HookExtra:
        flags = tuple(name for bit, name in _FLAGS if record.flags & bit)
        label, denied = _label(meta, record.selector), _denied(meta, record)
        if not flags and not label and not denied and not record.matches and meta.plain:
            return NO_EXTRA
        others = [one for one in record.matches if (one.instance, one.group) != (record.instance, record.group)]
        return HookExtra(
            policy_namespace=meta.plan.namespace,
            policy_labels=dict(meta.plan.labels),
            selector=label,
            flags=flags,
            denied_by=denied,
            decided_by=next((self._named(one) for one in others if one.decided), ""),
            also_matched=tuple(self._named(one) for one in others),
        )

    def _named(self, match: Match) -> str:
        """`policy`, or `policy/label of its selector`."""
        meta = self._catalog.get(match.instance, match.group)
        if meta is None:
            return ""
        label = _label(meta, match.selector)
        return f"{meta.plan.name}/{label}" if label else meta.plan.name

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


def _label(meta: GroupMeta, selector: int) -> str:
    rules = meta.hook.rules
    return rules[selector].label if selector < len(rules) else ""


def _denied(meta: GroupMeta, record: HookRecord) -> str:
    """How the call was stopped, if it was this policy's doing."""
    if record.flags & (MONITORED | EXEMPT) or meta.hook.enforcement is None or meta.hook.enforcement.method is None:
        return ""
    rules = meta.hook.rules
    if record.selector >= len(rules) or not any(
        action.kind is ActionKind.OVERRIDE for action in rules[record.selector].actions
    ):
        return ""
    return meta.hook.enforcement.method.value if not record.matches or record.flags & DECIDED else ""
