"""The plan: a policy compiled for one machine. Plain values that can be printed, compared and kept as JSON.

The compiler makes it; `sensors` carries it into the kernel, and decides nothing that is not written here. Predicates
and operand sets are values: equal ones, of whatever policies, are one in the kernel.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from lictor.catalog.types import Cost as Cost


class _Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of everything in a plan: immutable, hashable, keyword arguments only, defaults left out of the JSON."""


class AttachKind(StrEnum):
    """How a program gets onto a hook; one program is loaded per kind, or per target where the kernel wants that."""

    KPROBE = "kprobe"
    KRETPROBE = "kretprobe"
    KPROBE_MULTI = "kprobe.multi"
    KRETPROBE_MULTI = "kretprobe.multi"
    FENTRY = "fentry"
    FEXIT = "fexit"
    LSM = "lsm"
    TRACEPOINT = "tracepoint"  # arguments by the format file
    RAW_TRACEPOINT = "raw_tracepoint"  # arguments by BTF
    SYS_ENTER = "raw_tp/sys_enter"  # one program for every syscall, told apart by number and ABI
    SYS_EXIT = "raw_tp/sys_exit"
    UPROBE = "uprobe"
    URETPROBE = "uretprobe"
    UPROBE_MULTI = "uprobe.multi"
    URETPROBE_MULTI = "uretprobe.multi"
    USDT = "usdt"
    CGROUP = "cgroup"  # target: the attach type, e.g. connect4
    FMOD_RET = "fmod_ret"
    OVERRIDE = "kprobe.override"  # a kprobe whose program calls bpf_override_return
    LOADER = "loader"


class Purpose(StrEnum):
    """What a program does on its hook."""

    ENTRY = "entry"
    RETURN = "return"
    ENFORCE = "enforce"  # acts on what the entry program of the same plan decided


class Attach(_Value, frozen=True, kw_only=True):
    """One attachment. `target`: symbol, LSM hook, `subsystem/event`, `abi:syscall`, `path:offset`, cgroup attach type.

    `number` is what the target is known by in the kernel where that is not its name: the syscall number, the file
    offset of a uprobe. `reason` says why this way and not another.

    A uprobe's target is `path:symbol`, `path:symbol+offset`, `path:0xoffset` in the file or `path:@0xaddress`; a USDT's
    is `path:provider:name`. The file must have one of `digests` (`algorithm:hex`), if there are any; one that has not
    is an error, or left alone if `ignore_digest`. `semaphore`: file offset of the probe's reference counter, or 0.
    """

    kind: AttachKind
    target: str
    purpose: Purpose = Purpose.ENTRY
    number: int = 0
    reason: str = ""
    digests: tuple[str, ...] = ()
    ignore_digest: bool = False
    semaphore: int = 0


class Source(StrEnum):
    """Where a value is read from."""

    ARGUMENT = "argument"  # `index`: number of the function's, or the raw tracepoint's, argument
    SYSCALL = "syscall"  # `index`: number of the syscall's argument
    FIELD = "field"  # `index`: offset in the tracepoint's record, `size` its bytes
    RETURN = "return"
    CURRENT_TASK = "current_task"
    REGISTER = "register"  # `index`: byte offset in struct pt_regs
    USDT = "usdt"  # `index`: number of the probe's argument


class Step(_Value, frozen=True, kw_only=True):
    """One step of a `resolve` path: add `offset` bytes, then follow the pointer that lies there if `dereference`."""

    offset: int
    dereference: bool = False


class Read(_Value, frozen=True, kw_only=True):
    """One value of a hook. `slot` is its place in the hook's value array: arguments, then data, then the return value.

    `type` is a row of the catalogue (never `auto`). `index` is as `source` says; `written_index` is the one that the
    policy has, which events and filters speak of. `size` is the value's bytes where the type does not say it.
    `size_index` is the argument that holds the byte count; without it, the return value does for what is read
    `at_return`. `user` memory belongs to the process: it can change between
    check and use, and may not be resident. `at_return`: read when the function returns.

    `steps` begin at the value as `source` gives it, a pointer, and end at the address of a number (then `size` bytes
    are its value, or of a bit field `bits` bits from bit `shift` on), of a struct or of a string.

    A FIELD of a number is in the record, `size` bytes of it; of other types the record has a pointer, unless `inline`:
    the bytes themselves are there, `size` of them; or `dynamic`: a 32-bit word is there, whose low half is where in the
    record the bytes are (`relative`: counted from behind the word) and whose high half is how many. `element`: they are
    an array of numbers of so many bytes, which events show one by one.
    """

    slot: int
    type: str
    source: Source
    index: int = 0
    written_index: int = 0
    size: int = 0
    steps: tuple[Step, ...] = ()
    size_index: int | None = None
    bits: int = 0
    shift: int = 0
    element: int = 0
    inline: bool = False
    dynamic: bool = False
    relative: bool = False
    max_bytes: int = 0
    user: bool = False
    at_return: bool = False
    label: str = ""
    resolve: str = ""


class SetKind(StrEnum):
    """How an operand set is looked up."""

    STRINGS = "strings"  # equal
    PREFIXES = "prefixes"
    POSTFIXES = "postfixes"
    SUBSTRINGS = "substrings"
    SUBSTRINGS_IGNORE_CASE = "substrings_ignore_case"
    NUMBERS = "numbers"  # 64 bits, two's complement where the type is signed
    RANGES = "ranges"  # inclusive, disjoint, ascending
    ADDRESSES4 = "addresses4"
    ADDRESSES6 = "addresses6"


class OperandSet(_Value, frozen=True, kw_only=True):
    """A set of values to compare with. Sorted and without doubles, so that equal sets are equal values.

    `texts` are the strings with every byte as one character (latin-1), for prefixes, postfixes and sub-strings too;
    `numbers` the numbers; `ranges` pairs (least, greatest), `signed` says how they compare; `networks` pairs
    (address as a number, prefix length).
    """

    kind: SetKind
    texts: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    networks: tuple[tuple[int, int], ...] = ()
    signed: bool = False


class Subject(StrEnum):
    """What a filter looks at."""

    SLOT = "slot"
    NAMESPACE = "namespace"
    NAMESPACE_CHANGE = "namespace_change"
    CAPABILITY = "capability"
    CAPABILITY_CHANGE = "capability_change"


class CelOp(StrEnum):
    """Operations of the bytecode that CEL expressions are lowered to: a stack machine over 64-bit numbers."""

    CONSTANT = "const"
    LOAD = "load"  # a slot
    ADD = "add"
    SUBTRACT = "sub"
    AND = "and"
    OR = "or"
    XOR = "xor"
    NOT = "not"
    LOGICAL_NOT = "lnot"
    EQUAL = "eq"
    NOT_EQUAL = "ne"
    LESS = "lt"
    LESS_EQUAL = "le"
    SIGNED_LESS = "slt"
    SIGNED_LESS_EQUAL = "sle"
    SIGN_EXTEND_32 = "sext32"
    ZERO_EXTEND_32 = "zext32"
    JUMP_IF_ZERO = "jz"  # keeps the value; for && and ||
    JUMP_IF_NOT_ZERO = "jnz"
    POP = "pop"


class CelStep(_Value, frozen=True, kw_only=True):
    """One instruction; `value` is a constant, a slot, or the number of instructions to skip."""

    op: CelOp
    value: int = 0


# What conditions of a policy come down to. Comparisons of numbers are all one of the first three: `InMap` is Equal or
# InRange, `GreaterThan` a range, `SPortPriv` the range of SPort 0 to 1023.
FILTER_OPERATORS = (
    "Equal", "InRange", "Mask", "Prefix", "Postfix", "SubString", "SubStringIgnCase", "SPort", "DPort", "SAddr",
    "DAddr", "Protocol", "Family", "State", "CapabilitiesGained", "FileType", "CelExpr",
)  # fmt: skip
# What one hook can have in the kernel; a policy that needs more is refused.
MAX_READS, MAX_RULES, MAX_FILTERS = 16, 16, 24
MAX_HOOKS = 2048  # of all policies together
INLINE = 4  # so many numbers or ranges are compared inline; more are a set


class Filter(_Value, frozen=True, kw_only=True):
    """One condition. All of a selector's must hold.

    `operator` is one of `FILTER_OPERATORS`, the Not- forms taken off: `negated` says that. `slot` is the value looked
    at (`slot2` the second one of CapabilitiesGained: `slot` is the old set, `slot2` the new one). A value that could
    not be read, or a path that is not there, satisfies no filter, negated ones neither.

    One value of the operand that fits is enough. It is in `numbers` or `ranges` (few, compared inline; pairs (least,
    greatest), ascending), in set `set` of the plan, or for addresses in `set` (IPv4) and `set6` (IPv6). Mask has one
    number: the bits of which one must be set. `signed` says how ranges compare.

    For subjects other than SLOT `operator` is empty. NAMESPACE: `kinds` has the namespace's number, `numbers` inode
    numbers, 0 for the host's own. NAMESPACE_CHANGE: `kinds` has the numbers listed. CAPABILITY and CAPABILITY_CHANGE:
    `kinds` has the number of the set looked at, `numbers` one mask. `outside_init_user_ns` is isNamespaceCapability.
    `written` is the operand as the policy has it, for people.
    """

    subject: Subject
    operator: str
    cost: Cost
    negated: bool = False
    slot: int = 0
    slot2: int = 0
    numbers: tuple[int, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()
    set: int | None = None
    set6: int | None = None
    kinds: tuple[int, ...] = ()
    outside_init_user_ns: bool = False
    expression: tuple[CelStep, ...] = ()
    signed: bool = False
    written: tuple[str, ...] = ()


class PredicateKind(StrEnum):
    """What a process predicate asks of a process: it changes only at exec, fork, or a move between cgroups."""

    BINARY = "binary"
    PARENT_BINARY = "parent_binary"
    PID = "pid"
    WORKLOAD = "workload"


class LabelRule(_Value, frozen=True, kw_only=True):
    """One requirement on labels, as Kubernetes has it: `operator` is In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class Workload(_Value, frozen=True, kw_only=True):
    """Which workloads a policy or a selector is for. None: not asked; an empty tuple: any that is one.

    `namespace` is that of a TracingPolicyNamespaced.
    """

    pods: tuple[LabelRule, ...] | None = None
    containers: tuple[LabelRule, ...] | None = None
    host: bool = False
    namespace: str = ""


class Predicate(_Value, frozen=True, kw_only=True):
    """A question about a process; each distinct one owns a scope bit in the kernel. Negation is the rule's.

    BINARY and PARENT_BINARY: `set` of the plan; `follow_children` also takes descendants of a matching process, those
    that already live included. PID: `numbers`; `namespace_pid` and `follow_forks` as in the policy. WORKLOAD:
    `workload`.
    """

    kind: PredicateKind
    set: int | None = None
    numbers: tuple[int, ...] = ()
    follow_children: bool = False
    namespace_pid: bool = False
    follow_forks: bool = False
    workload: Workload | None = None
    written: tuple[str, ...] = ()


class ScopeTerm(_Value, frozen=True, kw_only=True):
    """A predicate of the plan, by its number, that must hold, or must not."""

    predicate: int
    negated: bool = False


class ActionKind(StrEnum):
    """The actions, by the names of the policy language."""

    POST = "Post"
    NO_POST = "NoPost"
    SIGKILL = "Sigkill"
    SIGNAL = "Signal"
    OVERRIDE = "Override"
    NOTIFY_ENFORCER = "NotifyEnforcer"
    CLEANUP_ENFORCER_NOTIFICATION = "CleanupEnforcerNotification"
    TRACK_SOCK = "TrackSock"
    UNTRACK_SOCK = "UntrackSock"
    GET_URL = "GetUrl"
    DNS_LOOKUP = "DnsLookup"
    SET = "Set"


class RateScope(StrEnum):
    """Whose events a rate limit counts together."""

    THREAD = "thread"
    PROCESS = "process"
    GLOBAL = "global"


class Action(_Value, frozen=True, kw_only=True):
    """One action with its parameters. `error` is a negative errno; `rate_interval_ns` 0 is no limit; `argument` is the
    slot of TrackSock, UntrackSock and Set; `registers` are assignments `name=expression` of an Override on a uprobe.
    """

    kind: ActionKind
    error: int = 0
    signal: int = 0
    rate_interval_ns: int = 0
    rate_scope: RateScope = RateScope.THREAD
    kernel_stack: bool = False
    user_stack: bool = False
    ima_hash: bool = False
    argument: int = 0
    value: int = 0
    text: str = ""
    registers: tuple[str, ...] = ()


class Rule(_Value, frozen=True, kw_only=True):
    """A selector, compiled. `index` is its place in the policy. Rules of a hook are tried in order: the first whose
    scope and filters hold acts. `filters` and `return_filters` are in the order in which they run.
    """

    index: int
    label: str = ""
    scope: tuple[ScopeTerm, ...] = ()
    filters: tuple[Filter, ...] = ()
    actions: tuple[Action, ...] = ()
    return_filters: tuple[Filter, ...] = ()
    return_actions: tuple[Action, ...] = ()


class Guarantee(StrEnum):
    """What an enforcing rule promises, strongest first."""

    PREVENTED = "prevented"
    KILLED_BEFORE_RETURN = "killed before return to user space"
    BEST_EFFORT = "best effort"
    KILLED_MAY_HAVE_HAPPENED = "killed, may have happened"
    NONE = "none"


class Enforcement(_Value, frozen=True, kw_only=True):
    """How the enforcing actions of a hook work here, what that guarantees, and what is known to get around it."""

    method: AttachKind | None  # None: a signal
    guarantee: Guarantee
    reason: str = ""
    bypasses: tuple[str, ...] = ()


class Hook(_Value, frozen=True, kw_only=True):
    """One hook of a policy. `name` is what policies share a hook by, e.g. `kprobe:security_file_permission`;
    `function` is what events call it. `section` and `index` say where it stands in the policy; a list of functions
    gives one hook each. `missing` hooks (ignore.callNotFound) attach to nothing.
    """

    name: str
    section: str
    index: int
    function: str
    attaches: tuple[Attach, ...] = ()
    reads: tuple[Read, ...] = ()
    rules: tuple[Rule, ...] = ()
    return_action: str = ""  # TrackSock or UntrackSock
    enforcement: Enforcement | None = None
    message: str = ""
    tags: tuple[str, ...] = ()
    missing: bool = False


class EnforcerCall(_Value, frozen=True, kw_only=True):
    """A function on which what NotifyEnforcer left is carried out."""

    function: str
    attaches: tuple[Attach, ...]
    enforcement: Enforcement


class Mode(StrEnum):
    """What enforcing actions do: work, or count what they would have done; MONITOR_ONLY has none."""

    ENFORCE = "enforce"
    MONITOR = "monitor"
    MONITOR_ONLY = "monitor_only"


class Memory(_Value, frozen=True, kw_only=True):
    """An estimate of kernel memory in bytes, without programs: what is this policy's own, and what it may share."""

    own: int = 0
    shared: int = 0


class Plan(_Value, frozen=True, kw_only=True):
    """A whole policy. `workload` is the scope of all its rules; `nodes` are the requirements on node labels.

    `predicates` and `sets` hold no two equal values; everything else refers to them by number.
    """

    name: str
    namespace: str = ""
    namespaced: bool = False
    mode: Mode = Mode.MONITOR_ONLY
    workload: Workload | None = None
    nodes: tuple[LabelRule, ...] = ()
    hooks: tuple[Hook, ...] = ()
    predicates: tuple[Predicate, ...] = ()
    sets: tuple[OperandSet, ...] = ()
    enforcer: tuple[EnforcerCall, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    memory: Memory = Memory()
