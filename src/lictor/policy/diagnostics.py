"""Diagnoses: what is wrong with a policy, where, what was expected, and what to do. As text, JSON and SARIF 2.1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import msgspec

from lictor.policy.codes import CODES, Severity
from lictor.policy.source import Node


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One finding. `line` and `column` count from 1. `expected` says what would be right, `hint` what to try."""

    code: str
    severity: Severity
    file: str
    line: int
    column: int
    message: str
    expected: str = ""
    hint: str = ""


class Problems:
    """The diagnostics of one policy as they are found. The same finding at the same place is kept once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: dict[tuple[str, int, int, str], Diagnostic] = {}
        self.errors = 0

    def add(self, code: str, at: Node, message: str, *, expected: str = "", hint: str = "") -> None:
        key = (code, at.line, at.column, message)
        if key in self._found:
            return
        severity = CODES[code].severity
        self.errors += severity is Severity.ERROR
        self._found[key] = Diagnostic(
            code=code,
            severity=severity,
            file=self.file,
            line=at.line,
            column=at.column,
            message=message,
            expected=expected,
            hint=hint,
        )

    def sorted(self) -> tuple[Diagnostic, ...]:
        """In the order of the text; at the same place errors first."""
        order = list(Severity)
        return tuple(
            sorted(
                self._found.values(),
                key=lambda one: (one.line, one.column, order.index(one.severity), one.code, one.message),
            )
        )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the known word nearest to a misspelt one; empty if none is near."""
    folded = {name.lower(): name for name in known}
    close = get_close_matches(word.lower()[:100], folded, n=1, cutoff=0.6)
    return f"did you mean `{folded[close[0]]}`?" if close else ""


def one_of(names: Iterable[str], most: int = 16) -> str:
    """`a, b or c`, cut where there are too many to read."""
    listed = list(names)
    if len(listed) > most:
        return ", ".join(listed[:most]) + f" … ({len(listed)} in all)"
    return " or ".join(filter(None, (", ".join(listed[:-1]), *listed[-1:])))


def as_text(found: Sequence[Diagnostic]) -> list[str]:
    """Lines for people and editors: `file:line:column: severity: message [code]`, then what helps."""
    lines = []
    for one in found:
        lines.append(f"{one.file}:{one.line}:{one.column}: {one.severity}: {one.message} [{one.code}]")
        if one.expected:
            lines.append(f"    expected: {one.expected}")
        if one.hint:
            lines.append(f"    hint: {one.hint}")
    return lines


def as_sarif(found: Sequence[Diagnostic], version: str) -> dict[str, Any]:
    """A SARIF 2.1.0 log of one run, for editors and code scanning."""
    used = sorted({one.code for one in found})
    rules = [
        {
            "id": code,
            "shortDescription": {"text": CODES[code].title},
            "fullDescription": {"text": CODES[code].text},
            "defaultConfiguration": {"level": CODES[code].severity.value},
        }
        for code in used
    ]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "lictor policy check", "version": version, "rules": rules}},
                "columnKind": "unicodeCodePoints",
                "results": [_sarif_result(one, used.index(one.code)) for one in found],
            }
        ],
    }


def _sarif_result(one: Diagnostic, rule: int) -> dict[str, Any]:
    parts = [one.message, f"Expected: {one.expected}." if one.expected else "", one.hint]
    return {
        "ruleId": one.code,
        "ruleIndex": rule,
        "level": one.severity.value,
        "message": {"text": "\n".join(filter(None, parts))},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": one.file},
                    "region": {"startLine": one.line, "startColumn": one.column},
                }
            }
        ],
    }
