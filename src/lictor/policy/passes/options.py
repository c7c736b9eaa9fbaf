"""The policy's name and options."""

from __future__ import annotations

import re

from lictor.catalog.hooks import OPTIONS
from lictor.policy import document
from lictor.policy.diagnostics import did_you_mean, one_of
from lictor.policy.draft import Draft

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")


def run(draft: Draft) -> None:
    _name(draft)
    _sections(draft)
    for option in draft.spec.options:
        _option(draft, option)


def _name(draft: Draft) -> None:
    metadata = draft.policy.metadata
    assert metadata is not None
    if metadata.has("name") and not (_SUBDOMAIN.match(metadata.name) and len(metadata.name) <= 253):
        expected = "small letters, digits, `-` and `.`, at most 253"
        draft.problems.add("bad-name", metadata.at("name"), f"`{metadata.name[:60]}` is no name", expected=expected)


def _sections(draft: Draft) -> None:
    spec, problems = draft.spec, draft.problems
    if draft.policy.kind == document.NAMESPACED:
        if spec.has("hostSelector"):
            problems.add("conflict", spec.at("hostSelector"), "a namespace has no processes of the host")
        for section in ("uprobes", "usdts"):
            if spec.has(section):
                message = f"a {document.NAMESPACED} may not have `{section}`: a file is no namespace's"
                problems.add("two-sections", spec.at(section), message, hint=f"use kind {document.CLUSTER}")
    if spec.loader:
        for selector in ("podSelector", "containerSelector", "hostSelector"):
            if spec.has(selector):
                problems.add("two-sections", spec.at(selector), f"`loader` cannot be narrowed by `{selector}`")
    if not any(spec.has(section) for section in document.SECTIONS) and not spec.loader:
        problems.add("no-effect", spec.node, "the policy has no hooks", expected=one_of(document.SECTIONS))


def _option(draft: Draft, option: document.Option) -> None:
    known = OPTIONS.get(option.name)
    if known is None:
        hint = did_you_mean(option.name, OPTIONS)
        draft.problems.add("unknown-option", option.at("name"), f"`{option.name[:60]}` is ignored", hint=hint)
    elif known and option.value not in known:
        at = option.at("value")
        draft.problems.add("bad-value", at, f"`{option.value[:60]}` is not known here", expected=one_of(known))
    elif option.name in ("sleepable-preload-size", "denials-per-minute") and not option.value.isdecimal():
        draft.problems.add("bad-value", option.at("value"), f"`{option.value[:60]}` is no number", expected="bytes")
    else:
        draft.options[option.name] = option.value
