"""The compiler: policy text and a machine's facts in, a plan or diagnoses out. Read `PASSES`: that is all it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lictor.policy import document, source
from lictor.policy.diagnostics import Diagnostic, Problems
from lictor.policy.draft import Draft
from lictor.policy.machine import Machine
from lictor.policy.passes import (
    advice,
    attach,
    enforcement,
    limits,
    lists,
    macros,
    memory,
    options,
    scope,
    selectors,
    targets,
    values,
)
from lictor.policy.plan import Hook, OperandSet, Plan, Predicate

PASSES: tuple[tuple[str, Callable[[Draft], None]], ...] = (
    ("options", options.run),  # the name, the options, what may stand together
    ("macros", macros.run),  # selectors with what their macros add
    ("lists", lists.run),  # what each list holds here
    ("targets", targets.run),  # the functions, tracepoints and places that hooks are on
    ("values", values.run),  # what is read, where, as which type
    ("scope", scope.run),  # which processes the policy is for
    ("selectors", selectors.run),  # rules: predicates, filters, actions
    ("limits", limits.run),  # what the kernel's half has room for
    ("attach", attach.run),  # how each hook is attached, and why
    ("enforcement", enforcement.run),  # what enforcing actions promise here
    ("advice", advice.run),  # what the author should know
    ("memory", memory.run),  # kernel memory
)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A plan, or None if there are errors; and everything that was found. `draft` is what the passes left, or None if
    the text is no policy."""

    plan: Plan | None
    diagnostics: tuple[Diagnostic, ...]
    draft: Draft | None

    @property
    def errors(self) -> int:
        return sum(one.severity == "error" for one in self.diagnostics)


def compile_policy(data: bytes, file: str, machine: Machine, after: str = "") -> Compiled:
    """The text of one policy, compiled for a machine. `after` stops behind the pass of that name: there is no plan."""
    problems = Problems(file)
    policy = parse(data, problems)
    if policy is None:
        return Compiled(None, problems.sorted(), None)
    draft = Draft(policy, machine, problems)
    for name, run in PASSES:
        run(draft)
        if name == after:
            return Compiled(None, problems.sorted(), draft)
    return Compiled(None if problems.errors else finish(draft), problems.sorted(), draft)


def parse(data: bytes, problems: Problems) -> document.Policy | None:
    """The document, as far as it can be read; None if there is nothing to compile."""
    read = source.read(data)
    for fault in read.faults:
        problems.add(fault.code, fault.at, fault.message, hint=fault.hint)
    root = read.root
    if root is None:
        if not read.faults:
            problems.add("missing-field", source.Node(1, 1), "the file is empty", expected="a TracingPolicy")
        return None
    if not isinstance(root, source.Mapping):
        problems.add("wrong-type", root, "this is no policy", expected="`apiVersion`, `kind`, `metadata` and `spec`")
        return None
    policy = document.Policy.read(root, problems)
    return policy if policy.spec is not None and policy.metadata is not None else None


def finish(draft: Draft) -> Plan:
    """The plan that a draft without errors is."""
    metadata = draft.policy.metadata
    assert metadata is not None
    namespaced = draft.policy.kind == document.NAMESPACED
    return Plan(
        name=metadata.name,
        namespace=(metadata.namespace or "default") if namespaced else "",
        namespaced=namespaced,
        mode=draft.mode,
        workload=draft.workload,
        nodes=scope.nodes(draft),
        hooks=tuple(
            Hook(
                name=hook.name,
                section=hook.section,
                index=hook.index,
                function=hook.function,
                attaches=hook.attaches,
                reads=values.reads(hook),
                rules=hook.rules,
                return_action=values.return_action(hook),
                enforcement=hook.enforcement,
                message=hook.part.message[:256],
                tags=hook.part.tags,
                missing=hook.missing,
            )
            for hook in draft.hooks
        ),
        predicates=draft.predicates.values(Predicate),
        sets=draft.sets.values(OperandSet),
        enforcer=draft.enforcer,
        labels=tuple(sorted(metadata.labels.items())),
        options=tuple((one.name, one.value) for one in draft.spec.options),
        memory=draft.memory,
    )
