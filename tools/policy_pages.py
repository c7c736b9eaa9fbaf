"""The reference pages about policies, from the catalogue, the document model and the codes of diagnoses."""

from __future__ import annotations

from lictor.catalog import guarantees
from lictor.catalog.actions import ACTIONS
from lictor.catalog.operators import OPERATORS
from lictor.catalog.types import TYPES, Family
from lictor.policy import codes, document
from lictor.policy.shape import Field, Many, Named, Part, PartOf

_DIAGNOSTICS = """# Diagnoses

Made by `tools/gen_reference.py` from `src/lictor/policy/codes.py`. `lictor policy check` and `explain` give them as
`file:line:column: severity: message [code]`, with what was expected and a hint; `--json` and `--sarif` have the same.
Codes are stable.

An **error** means that there is no plan. A **warning** is something to know: the plan exists; `--strict` makes warnings
count as problems for the exit code. A **note** is nothing to worry about.
"""
_GROUPS = (
    ("The text", codes.TEXT),
    ("The document", codes.DOCUMENT),
    ("The kernel", codes.KERNEL),
    ("Selectors", codes.SELECTORS),
    ("Actions", codes.ACTIONS),
    ("Good to know", codes.ADVICE),
)


def diagnostics() -> str:
    parts = [_DIAGNOSTICS]
    for title, group in _GROUPS:
        parts.append(f"\n## {title}\n")
        parts += [f"\n### `{one.name}`\n\n*{one.severity}.* {one.title}. {one.text}\n" for one in group]
    return "".join(parts)


_POLICIES = """# Policies

Made by `tools/gen_reference.py` from `src/lictor/policy/document.py` and `src/lictor/catalog/`. The format is that of
Tetragon's `TracingPolicy`; numbers that limit it elsewhere (five selectors, four values, three actions, one
`matchBinaries`, one kind of hooks per policy) do not exist here. `lictor policy schema` prints the JSON Schema for
editors, `lictor policy schema --crd` the custom resources.

## Fields
"""


def policies() -> str:
    parts = [_POLICIES]
    seen: list[type[Part]] = []
    _collect(document.Policy, seen)
    parts += [_fields(part) for part in seen if part is not document.Metadata]
    return "".join([*parts, _types(), _operators(), _actions(), _guarantees()])


def _collect(part: type[Part], seen: list[type[Part]]) -> None:
    if part in seen:
        return
    seen.append(part)
    for field in part.FIELDS.values():
        inner = _inner(field)
        if inner is not None:
            _collect(inner, seen)


def _inner(field: Field) -> type[Part] | None:
    kind = field.kind
    while isinstance(kind, (Many, Named)):
        kind = kind.of
    return kind.part if isinstance(kind, PartOf) else None


def _fields(part: type[Part]) -> str:
    rows = [_field(name, field) for name, field in part.FIELDS.items()]
    doc = " ".join((part.__doc__ or "").split())
    return f"\n### {part.__name__}\n\n{doc}\n\n| field | | default | meaning |\n|---|---|---|---|\n" + "".join(rows)


def _field(name: str, field: Field) -> str:
    inner = _inner(field)
    link = f"[{inner.__name__}](#{inner.__name__.lower()})" if inner else _word(field)
    if isinstance(field.kind, Many):
        link = f"list of {link}" if inner else field.kind.word
    default = f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
    shown = "**required**" if field.required else default if field.shown_default and field.default != "" else ""
    return f"| `{name}` | {link} | {shown} | {field.doc} |\n"


def _word(field: Field) -> str:
    schema = field.kind.schema()
    return "one of some words" if "enum" in schema else field.kind.word


def _types() -> str:
    parts = [
        "\n## Types of arguments\n\n| type | values are | reads | in tracepoints | cost |\n|---|---|---|---|---|\n"
    ]
    for row in TYPES.values():
        reads = ", ".join(f"`struct {name}`" for name in row.structs) if row.structs else ""
        if row.bits and not row.structs:
            reads = f"{row.bits} bits{', signed' if row.signed else ''}"
        family = "" if row.family is Family.NOTHING else row.family.value
        parts.append(f"| `{row.name}` | {family} | {reads} | {'yes' if row.tracepoint else ''} | {row.cost} |\n")
    return "".join(parts)


def _operators() -> str:
    parts = ["\n## Operators\n\n| operator | compares with | on |\n|---|---|---|\n"]
    for row in OPERATORS.values():
        families = ", ".join(sorted(family.value for family in row.families))
        parts.append(f"| `{row.name}` | {row.operand} | {families} |\n")
    return "".join(parts)


def _actions() -> str:
    parts = ["\n## Actions\n\n| action | needs | may have | on |\n|---|---|---|---|\n"]
    for row in ACTIONS.values():
        needs, may = (", ".join(f"`{name}`" for name in names) for names in (row.required, row.optional))
        parts.append(f"| `{row.name}` | {needs} | {may} | {', '.join(row.sections)} |\n")
    return "".join(parts)


def _guarantees() -> str:
    head = "\n## What enforcement promises\n\n| method | kernel | hooks | promise | why |\n|---|---|---|---|---|\n"
    kernels = {guarantees.ANY: "any", "none": "not preemptible", "preemptible": "preemptible (lazy, full, real time)"}
    rows = []
    for one in guarantees.PROMISES:
        why = one.reason.replace("`{operation}`", "it")
        rows.append(f"| {one.method} | {kernels[one.preemption]} | {one.hook} | {one.guarantee} | {why} |\n")
    return head + "".join(rows)
