"""Which events a reader wants: allow and deny lists with the reference's meaning.

The values of one field are alternatives, the fields of one filter must all hold, and any filter of a list is
enough. An event passes when the allow list is empty or matches, and the deny list does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import re2

from lictor.errors import LictorError
from lictor.model.event import Event, EventType, LossEvent

Predicate = Callable[[Event], bool]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """One filter. Empty fields say nothing. `binary_regex` is RE2, searched for anywhere in the binary's path."""

    binary_regex: tuple[str, ...] = ()
    pid: tuple[int, ...] = ()
    event_set: tuple[EventType, ...] = ()


def compile_filters(allow: Sequence[EventFilter], deny: Sequence[EventFilter]) -> Predicate:
    """The predicate of an allow and a deny list. An event that tells of losses always passes.

    Raises LictorError for a regular expression that RE2 does not take.
    """
    allowed = [_compile(one) for one in allow]
    denied = [_compile(one) for one in deny]
    if not allowed and not denied:
        return lambda _event: True

    def wanted(event: Event) -> bool:
        if isinstance(event, LossEvent):
            return True
        if allowed and not any(matches(event) for matches in allowed):
            return False
        return not any(matches(event) for matches in denied)

    return wanted


def _compile(one: EventFilter) -> Predicate:
    tests: list[Predicate] = []
    if one.event_set:
        kinds = frozenset(one.event_set)
        tests.append(lambda event: event.kind in kinds)
    if one.pid:
        pids = frozenset(one.pid)
        tests.append(lambda event: event.process is not None and event.process.process.pid in pids)
    if one.binary_regex:
        patterns = [_regex(pattern) for pattern in one.binary_regex]
        tests.append(
            lambda event: (
                event.process is not None and any(pattern.search(event.process.process.binary) for pattern in patterns)
            )
        )
    return lambda event: all(test(event) for test in tests)


def _regex(pattern: str) -> re2._Regexp:
    try:
        return re2.compile(pattern)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise LictorError(f"the regular expression {pattern!r} is not valid: {reason}", "use RE2 syntax") from error
