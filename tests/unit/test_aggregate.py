"""Aggregation: what says the same is one event with its number; nothing is dropped, nothing changes its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lictor.model.arguments import IntArg
from lictor.model.event import Event, ExecEvent, LossEvent
from lictor.model.forms import WholeForms
from lictor.model.hook import HookEvent, KprobeAction, KprobeBody
from lictor.model.process import Process
from lictor.pipeline.aggregate import Aggregator

IMAGES = [WholeForms(Process(exec_id=name, pid=5)) for name in "ab"]


class Windows:
    """An aggregator whose time is ours."""

    def __init__(self, room: int = 100) -> None:
        self.due: list[Callable[[], None]] = []
        self.got: list[list[Event]] = []
        self.aggregator = Aggregator(1.0, room, self._later, self._take)

    def _later(self, _seconds: float, call: Callable[[], None]) -> None:
        self.due.append(call)

    def _take(self, events: Sequence[Event]) -> None:
        self.got.append(list(events))

    def put(self, *events: Event) -> None:
        for event in events:
            self.aggregator.put(event)

    def expire(self) -> None:
        self.due.pop(0)()


def hook(number: int, image: int = 0, tid: int = 5, time: int = 1) -> HookEvent:
    body = KprobeBody(function_name="f", args=(IntArg(number),), action=KprobeAction.POST, policy_name="p")
    return HookEvent(time, IMAGES[image], None, tid, body)


def counts(events: list[Event]) -> list[Any]:
    return [(one.body.args[0].int_arg, one.count) if isinstance(one, HookEvent) else type(one) for one in events]  # type: ignore[attr-defined]


def test_what_says_the_same_is_one() -> None:
    windows = Windows()
    loss = LossEvent(1, 1, "a", "b")
    windows.put(hook(1), hook(2, time=2), hook(1, tid=6), loss, ExecEvent(1, IMAGES[0], None), loss, hook(1, image=1))
    assert windows.got == []
    windows.expire()
    assert counts(windows.got[0]) == [(1, 2), (2, 1), LossEvent, ExecEvent, LossEvent, (1, 1)]


def test_the_events_of_others_stay_as_they_are() -> None:
    windows, event = Windows(), hook(1)
    windows.put(event, event)
    windows.expire()
    assert event.count == 0
    assert counts(windows.got[0]) == [(1, 2)]


def test_a_full_window_ends_early_and_its_timer_ends_no_other() -> None:
    windows = Windows(room=2)
    windows.put(hook(1), hook(2), hook(3))
    assert counts(windows.got[0]) == [(1, 1), (2, 1)]
    windows.expire()
    assert len(windows.got) == 1
    windows.expire()
    assert counts(windows.got[1]) == [(3, 1)]


@given(st.lists(st.integers(0, 3)), st.integers(1, 5))
def test_nothing_is_dropped(numbers: list[int], room: int) -> None:
    windows = Windows(room)
    windows.put(*map(hook, numbers))
    windows.aggregator.flush()
    found = [(number, count) for got in windows.got for number, count in counts(got)]
    assert {n: sum(c for m, c in found if m == n) for n in numbers} == {n: numbers.count(n) for n in numbers}
