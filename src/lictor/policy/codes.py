"""The codes of diagnoses: stable names, how grave each is, and what it means. docs/reference/diagnostics.md is made
from this table (tools/gen_diagnostics.py)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """An error: there is no plan. A warning: there is one, and something to know. A note: nothing to worry about."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Code:
    """`title` is one line, `text` says why it matters and what to do."""

    name: str
    severity: Severity
    title: str
    text: str


def _error(name: str, title: str, text: str) -> Code:
    return Code(name, Severity.ERROR, title, text)


def _warning(name: str, title: str, text: str) -> Code:
    return Code(name, Severity.WARNING, title, text)


def _note(name: str, title: str, text: str) -> Code:
    return Code(name, Severity.NOTE, title, text)


# In the order of the reference page: the text, the document, the kernel, selectors, actions, what to know.
TEXT = (
    _error(
        "yaml-syntax",
        "This is not YAML",
        "The text cannot be read. The place is where the reader gave up; the mistake is there or before.",
    ),
    _error("yaml-tag", "A YAML tag", "Tags such as `!!python/object` or `!Ref` have no meaning in a policy."),
    _error(
        "duplicate-key",
        "A key stands twice",
        "Of two values of one key YAML readers keep one, and not all the same one.",
    ),
    _error("several-documents", "More than one document", "A file holds one policy. Put each into a file of its own."),
    _error(
        "too-large",
        "Too large",
        "A policy file has at most 4 MiB and 500,000 values, aliases counted as often as they are used.",
    ),
)
DOCUMENT = (
    _error(
        "unknown-field",
        "A field that does not exist",
        "Usually a misspelling, or a field in the wrong place: the hint says which.",
    ),
    _error("missing-field", "A field is missing", "The field is required, or another one makes it so."),
    _error(
        "wrong-type",
        "A value of the wrong kind",
        "For example a list where text belongs. A field without a value is `nothing`: remove it, or write `{}` for a "
        "selector that takes everything.",
    ),
    _error("unknown-value", "A word that is not known here", "The field takes one of some words."),
    _error(
        "out-of-range", "A number out of range", "The number does not fit the field, or the type it is compared with."
    ),
    _error("bad-length", "Text too long or too short", "The text does not have a length that is allowed here."),
    _error("too-many", "Too many entries", "The list has a limit."),
    _error(
        "bad-name",
        "Not a valid name",
        "Names of policies are DNS-1123 subdomains: small letters, digits, `-` and `.`, at most 253.",
    ),
    _error("conflict", "Fields that exclude each other", "Only one of them may be given, or none here."),
    _error(
        "bad-value", "A value that means nothing here", "The value cannot be read as what the field or operator takes."
    ),
    _warning(
        "number-as-text",
        "A number without quotes",
        "It is taken as text, as it is written. An API server refuses it: quote it.",
    ),
    _note(
        "alias",
        "Another spelling",
        "Tetragon's parser knows this spelling, its custom resource does not: an API server would refuse it.",
    ),
    _warning("cut-text", "Text that will be cut", "Messages have at most 256 characters in events."),
    _warning(
        "no-effect",
        "Something that does nothing",
        "The field has no effect as it stands; it is probably not what was meant.",
    ),
    _warning("unknown-option", "An option that is not known", "Unknown options are ignored, as Tetragon does."),
    _error("unknown-list", "A list that does not exist", "`list:NAME` names none of `spec.lists`."),
    _error("bad-list", "A list that cannot be used", "A list of this type or content cannot stand here."),
    _error(
        "unknown-macro",
        "A macro that does not exist",
        "`macros` names none of `spec.selectorsMacros`, or the macro has macros itself.",
    ),
)
KERNEL = (
    _error(
        "unknown-function",
        "The kernel has no such function",
        "Names of functions differ between kernels. The nearest ones are shown. `ignore.callNotFound: true` lets the "
        "policy load without it.",
    ),
    _note(
        "function-left-out", "A function is left out", "The kernel has it not, and the policy says that this may be."
    ),
    _error(
        "not-a-syscall",
        "Not a system call",
        "`syscall` is true by default: arguments are then the caller's. For other functions write `syscall: false`.",
    ),
    _error(
        "unknown-hook",
        "The kernel has no such LSM hook",
        "Hooks of the security modules differ between kernels. The nearest ones are shown.",
    ),
    _error(
        "unknown-tracepoint",
        "The kernel has no such tracepoint",
        "Tracepoints differ between kernels. The nearest ones are shown.",
    ),
    _error(
        "facts-missing",
        "Something is not known about the machine",
        "The facts lack what is needed to compile this hook; `lictor facts` says why when it gathers them.",
    ),
    _error(
        "bad-index",
        "An argument that the hook does not have",
        "The index counts from 0: arguments of the function, or fields of a tracepoint's format file, common ones "
        "included.",
    ),
    _error(
        "type-mismatch", "The type does not fit the kernel's", "Reading the value as this type would give nonsense."
    ),
    _warning(
        "type-differs",
        "The type differs from the kernel's",
        "The value can be read so, but bits may be cut or be undefined.",
    ),
    _error(
        "type-needed",
        "The type must be written",
        "The kernel's type descriptions do not say which of Lictor's types this is.",
    ),
    _error("type-not-here", "A type that this kind of hook does not have", "The type belongs to other hooks."),
    _error("bad-resolve", "A path that leads nowhere", "The members are those of this kernel's structs, from its BTF."),
    _error(
        "cannot-attach",
        "The hook cannot be attached here",
        "This kernel, or this function, allows none of the ways to hook it. The hint says what could be used instead.",
    ),
    _error(
        "two-sections",
        "Hooks that cannot be together",
        "`loader` takes no workload selectors, and a namespaced policy has no hooks in programs.",
    ),
)
SELECTORS = (
    _error(
        "unknown-argument",
        "A condition on a value that is not read",
        "`index` must be one of the hook's `args` (or `data`), `args` a place in that list.",
    ),
    _error(
        "operator-type",
        "An operator that does not fit the type",
        "For example `Prefix` on a number, or `Equal` on a socket.",
    ),
    _error(
        "no-return",
        "A condition on a return value that is not read",
        "`matchReturnArgs` and `matchReturnActions` need `return: true` and `returnArg`.",
    ),
    _error(
        "bad-expression",
        "An expression that cannot be compiled",
        "CEL over numbers: `arg0`…, comparisons, `&&`, `||`, `!`, `+`, `-`, casts, `and()`, `or()`, `xor()`, `not()`.",
    ),
    _warning(
        "never-matches",
        "A selector that can never match",
        "Its conditions exclude each other, or one cannot be satisfied.",
    ),
    _warning(
        "unreachable",
        "A selector that is never reached",
        "An earlier selector of the hook takes everything: the first one that matches acts.",
    ),
    _warning(
        "relative-path",
        "A path that is not absolute",
        "Paths of programs and files begin with `/`: this can never be equal.",
    ),
)
ACTIONS = (
    _error(
        "action-not-here",
        "An action that this hook cannot do",
        "Which actions a hook can have is in the reference of policies.",
    ),
    _error(
        "action-parameter",
        "A parameter that does not fit the action",
        "It is missing, not in its range, or belongs to another action.",
    ),
    _error(
        "no-enforcer",
        "NotifyEnforcer without an enforcer",
        "`NotifyEnforcer` leaves a note that `spec.enforcers` acts on.",
    ),
    _error(
        "cannot-enforce",
        "This kernel cannot do what the policy asks",
        "The action cannot be had here as it is written. It is never weakened silently: `options: enforcement: best-"
        "effort` takes what there is.",
    ),
    _warning(
        "weak-guarantee",
        "Less than prevention",
        "The rule acts, but something can get around it or have happened before. `lictor policy explain` names it.",
    ),
    _warning(
        "kill-without-deny",
        "Killed, and the operation may still happen",
        "A signal takes effect when the process returns to user space: a write or a connection that is under way is "
        "done by then. Add `Override` to prevent it.",
    ),
)
ADVICE = (
    _warning(
        "user-memory-race",
        "An argument that can change between check and use",
        "The argument is a pointer into the process's memory, and another thread can change what is there after it "
        "was checked (TOCTOU). Use the hook that is named: it sees the kernel's own copy.",
    ),
    _warning(
        "syscall-bypass",
        "A system call that is not the only way",
        "`io_uring`, the 32-bit ABI or a sister call do the same without this one.",
    ),
    _note(
        "syscall-coverage",
        "A system call that is not the only way",
        "The hook sees this call only; the same can happen in other ways, which the policy does not see.",
    ),
    _warning(
        "path-bypass",
        "A path that is not the only one",
        "A hard link or a bind mount gives the same file another path.",
    ),
    _warning(
        "not-resident",
        "User memory that may not be there yet",
        "On this kernel the call is seen where user memory that is not resident cannot be read; it is read again at "
        "return.",
    ),
    _warning(
        "costly",
        "A hook that costs",
        "It runs all the time: narrow it by conditions, a scope or a `rateLimit`.",
    ),
)
CODES = {code.name: code for code in (*TEXT, *DOCUMENT, *KERNEL, *SELECTORS, *ACTIONS, *ADVICE)}
