"""The document: every field of a `TracingPolicy`, declared once. Validation, JSON Schema and the custom resources'
YAML come from here.

Names, types, enums and defaults are those of Tetragon's custom resources; limits that only its implementation needs are
not here.
"""

from __future__ import annotations

from lictor.catalog.actions import ACTIONS
from lictor.catalog.capabilities import CAPABILITY_SETS
from lictor.catalog.namespaces import NAMESPACES
from lictor.catalog.operators import ALIASES, OPERATORS
from lictor.catalog.types import TYPES
from lictor.policy.diagnostics import Problems
from lictor.policy.shape import (
    HOMES,
    Integer,
    Part,
    Text,
    Unsigned32,
    anything,
    choice,
    flag,
    many,
    named,
    number,
    one,
    text,
)

API_VERSION = "cilium.io/v1alpha1"
CLUSTER, NAMESPACED = "TracingPolicy", "TracingPolicyNamespaced"
LIST_TYPES = ("syscalls", "generated_syscalls", "generated_ftrace")
SETS = ("In", "NotIn")
BINARY_OPERATORS = ("In", "NotIn", "Prefix", "NotPrefix", "Postfix", "NotPostfix")
LABEL_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_LABEL = Text(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$", most=63)
_TAG = Text(least=2, most=128)
_WORDS = Text()


class LabelExpression(Part, word="a requirement on labels"):
    """One requirement on labels."""

    key: str = text("The label.", required=True)
    operator: str = choice(LABEL_OPERATORS, "How the label's value is compared.", required=True)
    values: tuple[str, ...] = many(_WORDS, "What to compare with; none for Exists and DoesNotExist.")

    def check(self, problems: Problems) -> None:
        if self.operator in SETS and not self.values:
            problems.add("missing-field", self.node, f"`{self.operator}` needs `values`", expected="at least one value")
        if self.operator in ("Exists", "DoesNotExist") and self.values:
            problems.add("conflict", self.at("values"), f"`{self.operator}` takes no values")


class LabelSelector(Part, word="a label selector"):
    """Labels that must all be there. An empty selector takes everything."""

    match_labels: dict[str, str] = named(_LABEL, "Labels with the value each must have.")
    match_expressions: tuple[LabelExpression, ...] = many(LabelExpression, "Further requirements.")


class HostSelector(LabelSelector, word="`{}`"):
    """Processes of the host, those in no container. Only `{}` is allowed."""

    RULES = (("!has(self.matchLabels) && !has(self.matchExpressions)", "hostSelector can only be {}"),)

    def check(self, problems: Problems) -> None:
        if self.spots:
            problems.add("conflict", self.node, "a host has no labels to select by", expected="`hostSelector: {}`")


class Argument(Part, word="an argument"):
    """A value of a hook: an argument, other data, or what it returns."""

    index: int = number("Number of the argument; of a tracepoint's field.", required=True, least=0)
    type: str = choice(tuple(TYPES), "What the value is; `auto` takes it from the kernel's types.", default="auto")
    size_arg_index: int = number("Argument, counted from 1, that holds the number of bytes.", least=0)
    return_copy: bool = flag("Read the value when the function returns.", default=False)
    max_data: bool = flag("Keep up to 327,360 bytes instead of 4,096.", default=False)
    label: str = text("Goes into the event next to the value.")
    resolve: str = text("Path of members from the value to the one wanted, as `mm.owner.comm`.", default="")
    source: str = text("`current_task` or `pt_regs`: where data that is no argument comes from.")
    btf_type: str = text("Type to take the value for before `resolve`.")
    btf_type_module: str = text("Kernel module that has the type.")


class ReturnValue(Argument, word="a return value"):
    """What a function returns. `index` says nothing here."""

    index: int = number("Not used.", least=0)


class MatchArgs(Part, word="a condition on a value"):
    """A condition on one value."""

    index: int = number("Number of the argument, as its `index` says.", least=0)
    args: tuple[int, ...] = many(Integer(32, 0), "Places in the hook's list of arguments; goes before `index`.")
    operator: str = choice(tuple(OPERATORS), "How the value is compared.", required=True, aliases=ALIASES)
    values: tuple[str, ...] = many(_WORDS, "What to compare with; one that fits is enough.")


class MatchBinaries(Part, word="a condition on the program"):
    """A condition on the program that a process runs."""

    operator: str = choice(BINARY_OPERATORS, "How the program's path is compared.", required=True)
    values: tuple[str, ...] = many(_WORDS, "Paths, beginnings or ends of paths.", required=True)
    follow_children: bool = flag("Also what such a process has started.", default=False)


class MatchPIDs(Part, word="a condition on the process id"):
    """A condition on the process id."""

    operator: str = choice(SETS, "In or not in.", required=True)
    values: tuple[int, ...] = many(Unsigned32(), "Process ids.", required=True)
    is_namespace_pid: bool = flag("As the process itself sees them.", name="isNamespacePID", default=False)
    follow_forks: bool = flag("Also what such a process has started.", default=False)


class MatchNamespaces(Part, word="a condition on a namespace"):
    """A condition on a namespace of the process."""

    namespace: str = choice(tuple(NAMESPACES), "Kind of namespace.", required=True)
    operator: str = choice(SETS, "In or not in.", required=True)
    values: tuple[str, ...] = many(_WORDS, "Inode numbers, or `host_ns`.", required=True)


class MatchNamespaceChanges(Part, word="a condition on changed namespaces"):
    """The process has changed a namespace since its exec."""

    operator: str = choice(SETS, "In: one of the listed. NotIn: another one.", required=True)
    values: tuple[str, ...] = many(_WORDS, "Kinds of namespaces.", required=True)


class MatchCapabilities(Part, word="a condition on capabilities"):
    """A condition on the capabilities of the process."""

    type: str = choice(tuple(CAPABILITY_SETS), "Which of the sets.", default="Effective")
    operator: str = choice(SETS, "In: one of the listed. NotIn: none.", required=True)
    is_namespace_capability: bool = flag("Only in a user namespace that is not the host's.", default=False)
    values: tuple[str, ...] = many(_WORDS, "Capabilities, as CAP_SYS_ADMIN.", required=True)


class MatchWorkloads(Part, word="a condition on the workload"):
    """A condition on the workload of the process."""

    pod_selector: LabelSelector | None = one(LabelSelector, "Labels of the pod.")
    container_selector: LabelSelector | None = one(LabelSelector, "`name` and `repo` of the container.")
    host_selector: HostSelector | None = one(HostSelector, "`{}`: also processes of the host.")


class MatchAction(Part, word="an action"):
    """What happens when a selector matches."""

    RULES = (
        (
            "!(has(self.argNewSymbol) && has(self.argNewAddr)) && !(has(self.argNewSymbol) && has(self.argNewOffset)) "
            "&& !(has(self.argNewAddr) && has(self.argNewOffset))",
            "only one of argNewSymbol, argNewAddr and argNewOffset can be set",
        ),
    )

    action: str = choice(tuple(ACTIONS), "Which action.", required=True)
    arg_error: int = number("Override, NotifyEnforcer: the error returned, as a negative errno.")
    arg_sig: int = number("Signal, NotifyEnforcer: the signal's number.")
    arg_sock: int = number("TrackSock, UntrackSock: `index` of the argument that is the socket.")
    arg_index: int = number("Set: the argument to write.")
    arg_value: int = number("Set: what to write.")
    arg_url: str = text("GetUrl: what to get.")
    arg_fqdn: str = text("DnsLookup: the name to ask for.")
    arg_regs: tuple[str, ...] = many(_WORDS, "Override on a uprobe: register assignments.")
    arg_new_symbol: str = text("Override on a uprobe: function to go to instead.")
    arg_new_addr: int = number("Override on a uprobe: address to go to instead.", bits=64)
    arg_new_offset: int = number("Override on a uprobe: file offset to go to instead.", bits=64)
    rate_limit: str = text("Post: at most one such event in this time: `5`, `5s`, `1m`, `1h`.")
    rate_limit_scope: str = text("Post: whose events count together: thread, process or global.")
    kernel_stack_trace: bool = flag("Post: with the kernel's stack.")
    user_stack_trace: bool = flag("Post: with the program's stack.")
    ima_hash: bool = flag("Post: with the file's hash by IMA.")

    def check(self, problems: Problems) -> None:
        given = [name for name in ("argNewSymbol", "argNewAddr", "argNewOffset") if self.has(name)]
        if len(given) > 1:
            problems.add("conflict", self.at(given[1]), f"`{given[0]}` is given too", expected="one of them")


class Selector(Part, word="a selector"):
    """Conditions that must all hold, and what happens then. The first selector of a hook that matches acts."""

    label: str = text("Names the selector in events.")
    match_pids: tuple[MatchPIDs, ...] = many(MatchPIDs, "Conditions on the process id.", name="matchPIDs")
    match_binaries: tuple[MatchBinaries, ...] = many(MatchBinaries, "Conditions on the program.")
    match_parent_binaries: tuple[MatchBinaries, ...] = many(MatchBinaries, "Conditions on the parent's program.")
    match_args: tuple[MatchArgs, ...] = many(MatchArgs, "Conditions on arguments.")
    match_data: tuple[MatchArgs, ...] = many(MatchArgs, "Conditions on `data`.")
    match_return_args: tuple[MatchArgs, ...] = many(MatchArgs, "Conditions on the return value.")
    match_namespaces: tuple[MatchNamespaces, ...] = many(MatchNamespaces, "Conditions on namespaces.")
    match_namespace_changes: tuple[MatchNamespaceChanges, ...] = many(MatchNamespaceChanges, "Changed namespaces.")
    match_capabilities: tuple[MatchCapabilities, ...] = many(MatchCapabilities, "Conditions on capabilities.")
    match_capability_changes: tuple[MatchCapabilities, ...] = many(MatchCapabilities, "Changed capabilities.")
    match_workloads: MatchWorkloads | None = one(MatchWorkloads, "A condition on the workload.")
    match_actions: tuple[MatchAction, ...] = many(MatchAction, "What happens; without any, an event.")
    match_return_actions: tuple[MatchAction, ...] = many(MatchAction, "What happens when matchReturnArgs hold.")
    macros: tuple[str, ...] = many(_WORDS, "Names from `selectorsMacros`, to be added to this selector.")


class Ignore(Part):
    """What may go wrong without the policy failing."""

    call_not_found: bool = flag("The function may be missing on this kernel.")


class IgnoreDigest(Part):
    """What may go wrong without the policy failing."""

    digest_verification_failure: bool = flag("A file with another digest is left alone.")


class Hook(Part, word="a hook"):
    """What all hooks have."""

    message: str = text("Goes into events: what this hook means.")
    tags: tuple[str, ...] = many(_TAG, "Go into events, to find and group them.", most=16)
    args: tuple[Argument, ...] = many(Argument, "Values to read.")
    selectors: tuple[Selector, ...] = many(Selector, "What to look for. Without any, everything.")


_RETURNS = (("!has(self.return) || (!self.return || has(self.returnArg))", "return requires returnArg"),)


class KProbe(Hook, word="a function hook"):
    """A kernel function."""

    RULES = _RETURNS

    call: str = text("The function, or `list:NAME`.", required=True)
    syscall: bool = flag("It is a system call: arguments are the caller's.", default=True)
    returns: bool = flag("Also hook the return.", name="return", default=False)
    return_arg: ReturnValue | None = one(ReturnValue, "What it returns.")
    return_arg_action: str = text("TrackSock or UntrackSock, for a socket that it returns.")
    data: tuple[Argument, ...] = many(Argument, "Values that are no arguments.")
    ignore: Ignore | None = one(Ignore, "What may go wrong.")

    def check(self, problems: Problems) -> None:
        if self.returns and not self.has("returnArg"):
            problems.add("missing-field", self.at("return"), "`return: true` needs `returnArg`", expected="`returnArg`")


class Tracepoint(Hook, word="a tracepoint hook"):
    """A tracepoint."""

    subsystem: str = text("Its subsystem, as `sched`.", required=True)
    event: str = text("Its name, as `sched_process_exec`.", required=True)
    raw: bool = flag("Take the arguments of the tracepoint itself, not of its record.")


class LsmHook(Hook, word="an LSM hook"):
    """A hook of the kernel's security modules."""

    hook: str = text("Its name, as `file_open`.", required=True)


class UProbe(Hook, word="a hook in a program"):
    """Functions of a program or library."""

    RULES = (
        (
            "!(has(self.symbols) && has(self.addrs)) && !(has(self.symbols) && has(self.offsets)) "
            "&& !(has(self.addrs) && has(self.offsets))",
            "only one of symbols, addrs and offsets can be set",
        ),
        *_RETURNS,
    )

    path: str = text("The file.", required=True)
    btf_path: str = text("A file with BTF of the program.")
    symbols: tuple[str, ...] = many(_WORDS, "Functions, as `name` or `name+offset`.")
    offsets: tuple[int, ...] = many(Integer(64), "Offsets in the file.")
    addrs: tuple[int, ...] = many(Integer(64), "Virtual addresses.")
    ref_ctr_offsets: tuple[int, ...] = many(Integer(64), "Offsets of semaphores, one per function.")
    returns: bool = flag("Also hook the return.", name="return", default=False)
    return_arg: ReturnValue | None = one(ReturnValue, "What it returns.")
    data: tuple[Argument, ...] = many(Argument, "Values that are no arguments.")
    binary_digests: tuple[str, ...] = many(_WORDS, "`sha256:…`, `build-id:…`: the file must have one of them.")
    ignore: IgnoreDigest | None = one(IgnoreDigest, "What may go wrong.")

    def check(self, problems: Problems) -> None:
        given = [name for name in ("symbols", "offsets", "addrs") if self.has(name)]
        if len(given) > 1:
            problems.add("conflict", self.at(given[1]), f"`{given[0]}` is given too", expected="one of them")
        if not given:
            expected = "`symbols`, `offsets` or `addrs`"
            problems.add("missing-field", self.node, "no function is named", expected=expected)
        if self.returns and not self.has("returnArg"):
            problems.add("missing-field", self.at("return"), "`return: true` needs `returnArg`", expected="`returnArg`")


class Usdt(Hook, word="a hook on a program's own probe"):
    """A static probe of a program (USDT)."""

    path: str = text("The file.", required=True)
    btf_path: str = text("A file with BTF of the program.")
    provider: str = text("The probe's provider.", required=True)
    name: str = text("The probe's name.", required=True)


class ValueList(Part, word="a list"):
    """Names to use in several places, as `list:NAME`."""

    name: str = text("Its name.", required=True)
    type: str = choice(LIST_TYPES, "What its values are.")
    values: tuple[str, ...] = many(_WORDS, "Functions or system calls.")
    pattern: str = text("For `generated_ftrace`: a regular expression of functions' names.")
    validated: bool = flag("Set by the API server.")


class Enforcer(Part, word="an enforcer"):
    """Functions on which `NotifyEnforcer` takes effect."""

    calls: tuple[str, ...] = many(_WORDS, "System calls, `security_…` functions, or `list:NAME`.", required=True)


class Option(Part, word="an option"):
    """A setting of this policy."""

    name: str = text("Its name.", required=True)
    value: str = text("Its value.")


class Spec(Part, word="the policy's content"):
    """What the policy watches and does."""

    kprobes: tuple[KProbe, ...] = many(KProbe, "Kernel functions.")
    fentries: tuple[KProbe, ...] = many(KProbe, "Kernel functions, by BPF trampolines.")
    tracepoints: tuple[Tracepoint, ...] = many(Tracepoint, "Tracepoints.")
    lsmhooks: tuple[LsmHook, ...] = many(LsmHook, "Hooks of the security modules.")
    uprobes: tuple[UProbe, ...] = many(UProbe, "Functions of programs.")
    usdts: tuple[Usdt, ...] = many(Usdt, "Static probes of programs.")
    loader: bool = flag("Tell of programs and libraries that are mapped.")
    enforcers: tuple[Enforcer, ...] = many(Enforcer, "Where NotifyEnforcer takes effect.")
    lists: tuple[ValueList, ...] = many(ValueList, "Lists to refer to.")
    options: tuple[Option, ...] = many(Option, "Settings of this policy.")
    selectors_macros: dict[str, Selector] = named(Selector, "Parts of selectors to refer to.")
    pod_selector: LabelSelector | None = one(LabelSelector, "Only pods with these labels.")
    container_selector: LabelSelector | None = one(LabelSelector, "Only containers with this `name` or `repo`.")
    host_selector: HostSelector | None = one(HostSelector, "`{}`: also processes of the host.")
    node_selector: LabelSelector | None = one(LabelSelector, "Only nodes with these labels.")


class Metadata(Part, word="the policy's metadata"):
    """As every Kubernetes object has it."""

    name: str = text("The policy's name.", required=True)
    namespace: str = text("Namespace of a TracingPolicyNamespaced.")
    labels: dict[str, str] = named(_WORDS, "Labels of the policy.")
    annotations: dict[str, str] = named(_WORDS, "Notes of others.")
    uid: object = anything("Set by the API server.")
    resource_version: object = anything("Set by the API server.")
    generation: object = anything("Set by the API server.")
    generate_name: object = anything("Set by the API server.")
    creation_timestamp: object = anything("Set by the API server.")
    deletion_timestamp: object = anything("Set by the API server.")
    deletion_grace_period_seconds: object = anything("Set by the API server.")
    self_link: object = anything("Set by the API server.")
    finalizers: object = anything("Set by the API server.")
    managed_fields: object = anything("Set by the API server.")
    owner_references: object = anything("Set by the API server.")


class Policy(Part, word="a policy"):
    """A TracingPolicy or TracingPolicyNamespaced."""

    api_version: str = choice((API_VERSION,), "Version of the format.", required=True)
    kind: str = choice((CLUSTER, NAMESPACED), "For all of a machine, or for one namespace.", required=True)
    metadata: Metadata | None = one(Metadata, "Name and labels.", required=True)
    spec: Spec | None = one(Spec, "What it watches and does.", required=True)


SECTIONS = ("kprobes", "fentries", "tracepoints", "lsmhooks", "uprobes", "usdts")


def _homes() -> None:
    """Where a field belongs that stands in a wrong place."""
    places: dict[str, list[str]] = {}
    parts = (
        ("`metadata`", Metadata),
        ("`spec`", Spec),
        ("a hook", KProbe),
        ("a selector", Selector),
        ("an argument", Argument),
        ("an action", MatchAction),
        ("a condition", MatchArgs),
    )
    for word, part in parts:
        for name in part.FIELDS:
            places.setdefault(name, []).append(word)
    HOMES.update({name: " or ".join(words) for name, words in places.items()})


_homes()
