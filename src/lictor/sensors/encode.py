"""A plan's reads, filters and actions as the elements that the engine follows. Pure: values in, bytes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lictor.catalog.types import TYPES as TYPE_ROWS
from lictor.errors import LictorError
from lictor.policy.plan import Action, ActionKind, CelOp, Filter, OperandSet, RateScope, Read, SetKind, Source, Subject
from lictor.sensors.shapes import Shapes

MASK = (1 << 64) - 1
FILTER_NUMBERS = 8
_NO_INDEX = 0xFF
_NEGATED, _SIGNED, _OUTSIDE_INIT_USER_NS, _ENFORCES = 1, 2, 4, 8
_SIGN = 1 << 63
_USER, _AT_RETURN, _RELATIVE, _READ_SIGNED, _INLINE, _DYNAMIC = 1, 2, 4, 8, 16, 32
READ_STEPS, EXPRESSION_VALUES = 16, 7
_FOLLOW = 1 << 31

# Types of the policy language -> enum value_type, without its TYPE_.
TYPES = {
    "int": "S32", "sint32": "S32", "int32": "S32", "uint32": "U32", "sint16": "S16", "int16": "S16", "uint16": "U16",
    "sint8": "S8", "int8": "S8", "uint8": "U8", "long": "S64", "sint64": "S64", "int64": "S64", "ulong": "U64",
    "uint64": "U64", "size_t": "U64", "kernel_cap_t": "KERNEL_CAP",
} | {
    name: name.upper()
    for name in (
        "string", "filename", "char_buf", "char_iovec", "iov_iter", "const_buf", "data_loc", "fd", "file", "path",
        "dentry", "kiocb", "linux_binprm", "sock", "socket", "sockaddr", "sockaddr_un", "skb", "net_device", "cred",
        "capability", "cap_inheritable", "cap_permitted", "cap_effective", "user_namespace", "syscall64", "bpf_attr",
        "bpf_map", "bpf_prog", "bpf_cmd", "perf_event", "module", "load_info",
    )
}  # fmt: skip
SOURCES = {
    Source.ARGUMENT: "FROM_ARGUMENT",
    Source.SYSCALL: "FROM_ARGUMENT",  # the program has put a syscall's arguments where a function's are
    Source.FIELD: "FROM_FIELD",
    Source.RETURN: "FROM_RETURN",
    Source.CURRENT_TASK: "FROM_TASK",
    Source.REGISTER: "FROM_REGISTER",
}
# Operator -> enum match_op: what is looked at. How it is compared, for those with numbers, is in _NUMBERS.
_BY_OPERATOR = {
    "SAddr": "OP_SOURCE_ADDRESS", "DAddr": "OP_DESTINATION_ADDRESS", "SPort": "OP_SOURCE_PORT",
    "DPort": "OP_DESTINATION_PORT", "Protocol": "OP_PROTOCOL", "Family": "OP_FAMILY", "State": "OP_STATE",
    "FileType": "OP_FILE_TYPE", "CapabilitiesGained": "OP_CAPABILITIES_GAINED",
    "CelExpr": "OP_EXPRESSION",
}  # fmt: skip
_BY_SET = {
    SetKind.NUMBERS: "OP_IN_NUMBERS",
    SetKind.RANGES: "OP_IN_RANGES",
    SetKind.STRINGS: "OP_STRING",
    SetKind.PREFIXES: "OP_PREFIX",
    SetKind.POSTFIXES: "OP_POSTFIX",
    SetKind.SUBSTRINGS: "OP_SUBSTRING",
    SetKind.SUBSTRINGS_IGNORE_CASE: "OP_SUBSTRING_NOCASE",
}
_SUBJECTS = {
    Subject.SLOT: "SUBJECT_VALUE",
    Subject.NAMESPACE: "SUBJECT_NAMESPACE",
    Subject.NAMESPACE_CHANGE: "SUBJECT_NAMESPACE_CHANGE",
    Subject.CAPABILITY: "SUBJECT_CAPABILITY",
    Subject.CAPABILITY_CHANGE: "SUBJECT_CAPABILITY_CHANGE",
}
# Action -> its number in tetragon.KprobeAction.
_CODES = {
    ActionKind.POST: 1, ActionKind.SIGKILL: 3, ActionKind.OVERRIDE: 5, ActionKind.NO_POST: 9, ActionKind.SIGNAL: 10,
    ActionKind.NOTIFY_ENFORCER: 13, ActionKind.CLEANUP_ENFORCER_NOTIFICATION: 14,
}  # fmt: skip
_RATE = {RateScope.THREAD: 1, RateScope.PROCESS: 2, RateScope.GLOBAL: 3}
_POST, _SIGNAL, _DENY, _NOTIFY, _CLEANUP = 1, 2, 4, 8, 16
ENFORCING = frozenset((ActionKind.SIGKILL, ActionKind.SIGNAL, ActionKind.OVERRIDE, ActionKind.NOTIFY_ENFORCER))
_SIGKILL = 9


def not_yet(what: str) -> LictorError:
    """The refusal of what a plan asks for and the engine cannot do."""
    return LictorError(f"{what}: not executed yet", "leave it out of the policy, or wait for a later version")


def _slots_of(one: Filter, slots: Mapping[int, int]) -> int:
    """The values that an expression names, a byte each."""
    found = sorted({slots[step.value] for step in one.expression if step.op is CelOp.LOAD})
    if len(found) > EXPRESSION_VALUES:
        raise LictorError(f"an expression names {len(found)} values, {EXPRESSION_VALUES} are possible")
    return int.from_bytes(bytes(found).ljust(8, b"\xff"), "little")


class Encoder:
    """Packs by the shapes of the loaded object."""

    def __init__(self, shapes: Shapes, host_namespaces: Sequence[int]) -> None:
        self._shapes = shapes
        self._host_namespaces = host_namespaces  # inode numbers, by the number of the kind
        self._types = shapes.enum("value_type")
        self._sources = shapes.enum("value_source")
        self._ops = shapes.enum("match_op")
        self._subjects = shapes.enum("subject")
        self._cel_ops = shapes.enum("cel_op")

    def read(self, read: Read) -> bytes:
        """A read_spec. Reads that differ only in what people call them give the same bytes."""
        if read.source not in SOURCES:
            raise not_yet(f"values from {read.source.value.replace('_', ' ')}")
        if read.type not in TYPES:
            raise not_yet(f"the type `{read.type}`")
        flags = (_USER if read.user else 0) | (_AT_RETURN if read.at_return else 0)
        flags |= _RELATIVE if read.relative else 0
        flags |= (_INLINE if read.inline else 0) | (_DYNAMIC if read.dynamic else 0)
        flags |= _READ_SIGNED if TYPE_ROWS[read.type].signed else 0
        if len(read.steps) > READ_STEPS:
            raise LictorError(f"`{read.resolve}` takes {len(read.steps)} steps, {READ_STEPS} are possible")
        steps = [step.offset | (_FOLLOW if step.dereference else 0) for step in read.steps]
        return self._shapes.pack(
            "read_spec",
            self._types[f"TYPE_{TYPES[read.type]}"],
            self._sources[SOURCES[read.source]],
            flags,
            _NO_INDEX if read.size_index is None else read.size_index,
            read.index,
            read.size,
            read.max_bytes,
            len(steps),
            read.bits,
            read.shift,
            *steps,
            *[0] * (READ_STEPS - len(steps)),
        )

    def expression(self, one: Filter, slots: Mapping[int, int]) -> list[bytes]:
        """The elements of cel_steps that a filter's expression takes."""
        return [
            self._shapes.pack(
                "cel_step",
                (slots[step.value] if step.op is CelOp.LOAD else step.value) & MASK,
                self._cel_ops[f"CEL_{step.op.name}"],
            )
            for step in one.expression
        ]

    def filter(
        self,
        one: Filter,
        slots: Mapping[int, int],
        sets: Sequence[OperandSet],
        numbers: Mapping[int, int],
        expression: int = 0,
        enforces: bool = False,
    ) -> bytes:
        """A filter. `slots`: a plan's slot to the hook's; `numbers`: a plan's set to the kernel's; `expression`: where
        in cel_steps its own begins; `enforces`: its selector does something to the call or the process."""
        flags = (_NEGATED if one.negated else 0) | (_SIGNED if one.signed else 0)
        flags |= _OUTSIDE_INIT_USER_NS if one.outside_init_user_ns else 0
        flags |= _ENFORCES if enforces else 0
        inline = self._inline(one) if not one.expression else [_slots_of(one, slots)]
        slot = slots.get(one.slot, 0)
        if one.subject in (Subject.NAMESPACE, Subject.CAPABILITY, Subject.CAPABILITY_CHANGE):
            slot = one.kinds[0]
        return self._shapes.pack(
            "filter",
            self._subjects[_SUBJECTS[one.subject]],
            self._ops[_BY_OPERATOR.get(one.operator) or self._comparison(one, sets)],
            self._ops[self._comparison(one, sets)],
            slot,
            slots.get(one.slot2, 0),
            flags,
            len(one.expression) or len(inline),
            sum(1 << kind for kind in one.kinds),
            expression if one.set is None else numbers[one.set],
            0 if one.set6 is None else numbers[one.set6],
            *inline,
            *[0] * (FILTER_NUMBERS - len(inline)),
        )

    def _inline(self, one: Filter) -> list[int]:
        found = [number & MASK for number in one.numbers]
        if one.subject is Subject.NAMESPACE:
            # The policy language's host_ns.
            found = [number or self._host_namespaces[one.kinds[0]] for number in found]
        turn = _SIGN if one.signed else 0
        found += [(end & MASK) ^ turn for span in one.ranges for end in span]
        if len(found) > FILTER_NUMBERS:
            raise LictorError(f"a condition has more than {FILTER_NUMBERS} numbers", "split it into several selectors")
        return found

    @staticmethod
    def _comparison(one: Filter, sets: Sequence[OperandSet]) -> str:
        """How numbers or texts are compared."""
        if one.set is not None and sets[one.set].kind in _BY_SET:
            return _BY_SET[sets[one.set].kind]
        if one.operator == "Mask":
            return "OP_MASK"
        return "OP_RANGE" if one.ranges else "OP_EQUAL"

    def actions(self, actions: Sequence[Action], can_deny: bool) -> tuple[int, ...]:
        """The members of struct actions. None of the actions is Post. `can_deny`: Override is more than a wish here."""
        packed = _Packed()
        for action in actions:
            if action.kind not in _CODES:
                raise not_yet(f"the action {action.kind.value}")
            if action.kernel_stack or action.user_stack:
                raise not_yet("stack traces")
            if action.ima_hash:
                raise not_yet("`imaHash`")
            packed.add(action, can_deny)
        return packed.members()


@dataclass(slots=True)
class _Packed:
    """struct actions, in the making."""

    bits: int = _POST
    code: int = _CODES[ActionKind.POST]
    error: int = 0
    signal: int = 0
    rate_ns: int = 0
    rate_scope: int = 0
    note_error: int = 0
    note_signal: int = 0

    def add(self, action: Action, can_deny: bool) -> None:
        kind = action.kind
        if kind is ActionKind.OVERRIDE and not can_deny:
            return
        self.code = _CODES[kind]
        if kind is ActionKind.NO_POST:
            self.bits &= ~_POST
        elif kind is ActionKind.OVERRIDE:
            self.bits, self.error = self.bits | _DENY, action.error
        elif kind in (ActionKind.SIGKILL, ActionKind.SIGNAL):
            self.bits |= _SIGNAL
            self.signal = action.signal or _SIGKILL
        elif kind is ActionKind.NOTIFY_ENFORCER:
            self.bits |= _NOTIFY
            self.note_error, self.note_signal = action.error, action.signal
        elif kind is ActionKind.CLEANUP_ENFORCER_NOTIFICATION:
            self.bits |= _CLEANUP
        if action.rate_interval_ns:
            self.rate_ns, self.rate_scope = action.rate_interval_ns, _RATE[action.rate_scope]

    def members(self) -> tuple[int, ...]:
        return (
            self.bits, self.code, self.error, self.signal, self.rate_ns, self.rate_scope, self.note_error,
            self.note_signal,
        )  # fmt: skip
