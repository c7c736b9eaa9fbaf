"""The filters of a request, as the pipeline's own."""

from __future__ import annotations

from collections.abc import Iterable

from lictor.api.pb.tetragon import events_pb2
from lictor.errors import LictorError
from lictor.model.event import EventType
from lictor.pipeline.filters import EventFilter

SUPPORTED = frozenset({"binary_regex", "pid", "event_set"})


def from_request(request: events_pb2.GetEventsRequest) -> tuple[list[EventFilter], list[EventFilter]]:
    """Allow and deny list. Raises LictorError for what would have to be ignored: a filter must never be."""
    for name, given in (
        ("aggregation_options", request.HasField("aggregation_options")),
        ("field_filters", bool(request.field_filters)),
    ):
        if given:
            raise LictorError(f"{name} is not supported yet", "leave it out")
    return _filters(request.allow_list, "allow_list"), _filters(request.deny_list, "deny_list")


def _filters(found: Iterable[events_pb2.Filter], place: str) -> list[EventFilter]:
    return [_filter(one, f"{place}[{number}]") for number, one in enumerate(found)]


def _filter(one: events_pb2.Filter, place: str) -> EventFilter:
    for field, _ in one.ListFields():
        if field.name not in SUPPORTED:
            raise LictorError(f"{place}: {field.name} is not supported yet", f"use {', '.join(sorted(SUPPORTED))}")
    known = {int(kind) for kind in EventType}
    for number in one.event_set:
        if number not in known:
            raise LictorError(f"{place}: there is no event type {number}", "see tetragon.EventType")
    return EventFilter(tuple(one.binary_regex), tuple(one.pid), tuple(EventType(number) for number in one.event_set))
