"""Lists of functions and system calls: what each holds on this machine."""

from __future__ import annotations

import re2

from lictor.catalog import syscalls
from lictor.policy import document
from lictor.policy.diagnostics import did_you_mean
from lictor.policy.draft import Draft
from lictor.policy.source import Node

PREFIX = "list:"


def run(draft: Draft) -> None:
    for one in draft.spec.lists:
        if one.name in draft.lists:
            draft.problems.add("conflict", one.at("name"), f"list `{one.name}` is declared twice")
            continue
        draft.lists[one.name] = one
        draft.names[one.name] = _names(draft, one)


def find(draft: Draft, written: str, at: Node) -> document.ValueList | None:
    """The list that `list:NAME` names; None, reported, if there is none."""
    name = written.removeprefix(PREFIX)
    found = draft.lists.get(name)
    if found is None:
        hint = did_you_mean(name, draft.lists) or ("declare it in `spec.lists`" if not draft.lists else "")
        draft.problems.add("unknown-list", at, f"no list `{name}`", hint=hint)
    return found


def _names(draft: Draft, one: document.ValueList) -> tuple[str, ...]:
    if one.type == "generated_ftrace":
        return _matching(draft, one)
    if one.has("pattern"):
        draft.problems.add("no-effect", one.at("pattern"), "only `generated_ftrace` lists have a pattern")
    if one.type == "generated_syscalls":
        if one.values:
            draft.problems.add("no-effect", one.at("values"), "a generated list takes its values from the kernel")
        abi = next(iter(draft.machine.prefixes))
        return tuple(f"sys_{name}" for name in syscalls.numbers(abi))
    if not one.values:
        draft.problems.add("bad-list", one.at("values"), f"list `{one.name}` is empty")
    return one.values


def _matching(draft: Draft, one: document.ValueList) -> tuple[str, ...]:
    if one.values:
        draft.problems.add("no-effect", one.at("values"), "a generated list takes its values from the kernel")
    if not one.pattern:
        draft.problems.add("missing-field", one.node, "a `generated_ftrace` list needs a `pattern`")
        return ()
    options = re2.Options()
    options.log_errors = False
    try:
        pattern = re2.compile(one.pattern, options)
    except re2.error as error:
        message = f"not a regular expression: {_words(error)}"
        draft.problems.add("bad-value", one.at("pattern"), message, expected="RE2 syntax")
        return ()
    facts = draft.machine.facts
    unknown = "available_filter_functions" in facts.missing  # then each function is asked when it is hooked
    names = facts.function_names() if unknown else facts.traceable_functions()
    found = tuple(name for name in names if pattern.search(name))
    if not found:
        draft.problems.add("bad-list", one.at("pattern"), "no function of this kernel matches the pattern")
    return found


def _words(error: Exception) -> str:
    """RE2's own words, which it gives as bytes."""
    given = error.args[0] if error.args else ""
    return given.decode(errors="replace") if isinstance(given, bytes) else str(given)
