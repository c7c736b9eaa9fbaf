"""Redaction of secrets in command lines and environments, before anything is kept or written.

Every capture group of a pattern that matches is replaced; what stands around it stays readable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lictor import regex
from lictor.errors import LictorError
from lictor.model.process import EnvVar

REDACTED = "*****"


@dataclass(frozen=True, slots=True)
class RedactionFilter:
    """`redact`: RE2 patterns with capture groups. `binary_regex`: only in processes whose binary matches one."""

    redact: tuple[str, ...]
    binary_regex: tuple[str, ...] = ()


class Redactor:
    """All filters, compiled. Raises LictorError for a pattern that is wrong or would redact nothing."""

    def __init__(self, filters: Sequence[RedactionFilter]) -> None:
        self._filters = [
            ([regex.compile(one) for one in f.binary_regex], [_redacting(one) for one in f.redact]) for f in filters
        ]

    def __bool__(self) -> bool:
        return bool(self._filters)

    def text(self, binary: str, text: str) -> str:
        """A command line of a process with this binary."""
        for binaries, patterns in self._filters:
            if not binaries or any(one.search(binary) for one in binaries):
                for pattern in patterns:
                    text = _replaced(pattern, text)
        return text

    def environment(self, binary: str, variables: tuple[EnvVar, ...]) -> tuple[EnvVar, ...]:
        """Variables, each looked at as `NAME=value`."""
        return tuple(self._variable(binary, one) for one in variables)

    def _variable(self, binary: str, one: EnvVar) -> EnvVar:
        before = f"{one.key}={one.value}"
        after = self.text(binary, before)
        if after == before:
            return one
        key, _, value = after.partition("=")
        return EnvVar(key, value)


def _replaced(pattern: Any, text: str) -> str:
    pieces = []
    done = 0
    for found in pattern.finditer(text):
        for group in range(1, pattern.groups + 1):
            start, end = found.span(group)
            if start >= done and end > start:  # a group inside of one that is gone already says nothing more
                pieces += [text[done:start], REDACTED]
                done = end
    return "".join((*pieces, text[done:])) if pieces else text


def _redacting(pattern: str) -> Any:
    compiled = regex.compile(pattern)
    if not compiled.groups:
        raise LictorError(
            f"the redaction pattern {pattern!r} has no capture group and would redact nothing",
            "put parentheses around what must not be seen",
        )
    return compiled
