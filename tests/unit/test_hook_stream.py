"""The way of hook records to events."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lictor.pipeline.hooks import HookStream
from lictor.wire.records import RecordError


class Tracker:
    """Makes an event of a record that has a name, and fails with one that is a fault."""

    def known(self, _record: object) -> bool:
        return True

    def event(self, record: Any) -> object:
        if isinstance(record, Exception):
            raise record
        return SimpleNamespace(kind="hook", name=record)


@pytest.mark.parametrize(
    ("fault", "said"),
    [(RecordError("too short"), "too short"), (IndexError("list index"), "a mistake in Lictor")],
)
@pytest.mark.accounts("tetragon_observer_ringbuf_errors_total")
def test_a_record_that_fails_is_counted_and_costs_no_other(
    fault: Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = SimpleNamespace(take_unreturned=lambda _everything: ["first", fault, "last"])
    stream = HookStream(cast(Any, None), cast(Any, Tracker()), cast(Any, engine))
    stream.look()
    with caplog.at_level(logging.ERROR):
        assert [cast(Any, event).name for event in stream.events()] == ["first", "last"]
    assert stream.bad == 1
    assert said in caplog.text
