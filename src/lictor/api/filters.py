"""Filters as the API and the settings write them, made into the pipeline's own. What would be ignored is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor

from lictor.api.pb.tetragon import capabilities_pb2, events_pb2
from lictor.errors import LictorError
from lictor.model.event import EventType
from lictor.pipeline import filters
from lictor.pipeline.aggregate import ROOM, WINDOW_S
from lictor.pipeline.fields import FieldFilter, FieldFilters, snake, split_paths
from lictor.pipeline.filters import CapabilityFilter, CapabilityTest, EventFilter, ExpressionCompiler
from lictor.pipeline.view import Aggregation, View
from lictor.track.redact import RedactionFilter

_EVENTS = {
    EventType(one.number): one.message_type
    for one in events_pb2.GetEventsResponse.DESCRIPTOR.oneofs_by_name["event"].fields
    if one.message_type is not None
}
_CAPABILITIES = capabilities_pb2.CapabilitiesType


def view(request: events_pb2.GetEventsRequest, expressions: ExpressionCompiler) -> View:
    """What a client asks for. Raises LictorError for a request that makes no sense."""
    wanted = filters.compile_filters(
        event_filters(request.allow_list, "allow_list"), event_filters(request.deny_list, "deny_list"), expressions
    )
    fields = [_field_filter(one, f"field_filters[{n}]") for n, one in enumerate(request.field_filters)]
    aggregation = _aggregation(request.aggregation_options) if request.HasField("aggregation_options") else None
    return View(wanted, FieldFilters(fields) if fields else None, aggregation)


def _aggregation(options: events_pb2.AggregationOptions) -> Aggregation | None:
    window = (
        options.window_size.seconds + options.window_size.nanos / 1e9 if options.HasField("window_size") else WINDOW_S
    )
    if not 0 <= window <= 3600:
        raise LictorError(f"the aggregation window is {window:g} s", "use more than 0 s, and at most an hour")
    return Aggregation(window, min(options.channel_buffer_size or ROOM, ROOM)) if window else None


def event_filters(found: Iterable[events_pb2.Filter], place: str) -> list[EventFilter]:
    """The filters of a list; `place` is what mistakes in them are told with."""
    return [_event_filter(one, f"{place}[{number}]") for number, one in enumerate(found)]


def _event_filter(one: events_pb2.Filter, place: str) -> EventFilter:
    given: dict[str, Any] = {}
    for field, value in one.ListFields():
        if field.name == "event_set":
            given[field.name] = _kinds(value, place)
        elif field.name == "capabilities":
            given[field.name] = _capabilities(value, place)
        elif field.message_type is not None:
            given[field.name] = value.value
        else:
            given[field.name] = tuple(value)
    if not given:
        raise LictorError(f"{place} is an empty filter", "name a field, or leave the filter out")
    return EventFilter(**given)


def _kinds(numbers: Iterable[int], place: str) -> tuple[EventType, ...]:
    known = {int(kind) for kind in EventType}
    for number in numbers:
        if number not in known:
            raise LictorError(f"{place}: there is no event type {number}", "see tetragon.EventType")
    return tuple(EventType(number) for number in numbers)


def _capabilities(found: events_pb2.CapFilter, place: str) -> CapabilityFilter:
    return CapabilityFilter(**{field.name: _capability_test(value, place) for field, value in found.ListFields()})


def _capability_test(found: events_pb2.CapFilterSet, place: str) -> CapabilityTest:
    known = _CAPABILITIES.DESCRIPTOR.values_by_number
    parts = {}
    for field, numbers in found.ListFields():
        for number in numbers:
            if number not in known:
                raise LictorError(f"{place}: there is no capability {number}", "see tetragon.CapabilitiesType")
        parts[field.name] = frozenset(known[number].name for number in numbers)
    return CapabilityTest(**parts)


def _field_filter(one: events_pb2.FieldFilter, place: str, own: bool = False) -> FieldFilter:
    found = FieldFilter(
        paths=tuple(one.fields.paths),
        include=one.action == events_pb2.INCLUDE,
        event_set=frozenset(_kinds(one.event_set, place)),
        invert=one.invert_event_set.value,
    )
    if not found.paths:
        raise LictorError(f"{place} names no fields", "name at least one, such as process.binary")
    for path in found.paths:
        if not (own and path.split(".")[0] == "lictor") and not any(
            _exists(snake(path), message) for kind, message in _EVENTS.items() if found.concerns(kind)
        ):
            raise LictorError(
                f"{place}: no event it is for has the field {path}", "paths begin in the event: process.binary"
            )
    return found


def _exists(path: str, message: Descriptor) -> bool:
    name, _, rest = path.partition(".")
    field = message.fields_by_name.get(name)
    if field is None or not rest:
        return field is not None
    inner = field.message_type
    if inner is None or inner.full_name.startswith("google.protobuf."):  # wrappers are plain values in JSON
        return False
    return inner.GetOptions().map_entry or _exists(rest, inner)


def filter_list(text: str, name: str) -> list[EventFilter]:
    """An allow or deny list of the settings: JSON objects with white space between."""
    return event_filters((_parsed(one, events_pb2.Filter(), name) for one in _objects(text, name)), name)


def field_filter_list(text: str, name: str) -> list[FieldFilter]:
    """Field filters of the settings. Paths below `lictor` are those of our own object."""
    found = []
    for number, one in enumerate(_objects(text, name)):
        # The JSON form of a mask takes camelCase only; people write both.
        paths = split_paths((str(one.pop("fields", "")),))
        message = _parsed(one, events_pb2.FieldFilter(), name)
        message.fields.paths.extend(snake(path) for path in paths)
        found.append(_field_filter(message, f"{name}[{number}]", own=True))
    return found


def redaction_list(text: str, name: str) -> list[RedactionFilter]:
    """Redaction filters of the settings."""
    found = []
    for one in _objects(text, name):
        message = _parsed(one, events_pb2.RedactionFilter(), name)
        if message.match:
            raise LictorError(f"{name}: match is not supported", "use binary_regex")
        if not message.redact:
            raise LictorError(f"{name}: a redaction filter names nothing to redact", 'write {"redact": ["…(…)"]}')
        found.append(RedactionFilter(tuple(message.redact), tuple(message.binary_regex)))
    return found


def _parsed(found: dict[str, Any], message: Any, name: str) -> Any:
    try:
        return json_format.ParseDict(found, message)
    except json_format.ParseError as error:
        raise LictorError(f"{name}: {error}", "see docs/reference/filters.md") from error


def _objects(text: str, name: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    rest = text.strip()
    while rest:
        try:
            found, end = decoder.raw_decode(rest)
        except ValueError as error:
            raise LictorError(f"{name} is not valid JSON: {error}", 'write {"event_set": ["PROCESS_EXEC"]}') from error
        if not isinstance(found, dict):
            raise LictorError(f"{name} has {found!r} where a filter should be", "write JSON objects")
        yield found
        rest = rest[end:].lstrip(" \t\r\n,")


def to_request(
    allow: Sequence[EventFilter], fields: Sequence[FieldFilter] = (), window: float | None = None
) -> events_pb2.GetEventsRequest:
    """A request as a client sends it; `window` in seconds asks for aggregation."""
    request = events_pb2.GetEventsRequest(allow_list=[_to_message(one) for one in allow])
    for one in fields:
        action = events_pb2.INCLUDE if one.include else events_pb2.EXCLUDE
        request.field_filters.add(action=action).fields.paths.extend(one.paths)
    if window is not None:
        request.aggregation_options.window_size.FromNanoseconds(round(window * 1e9))
    return request


def _to_message(one: EventFilter) -> events_pb2.Filter:
    """A filter as a client sends it."""
    message = events_pb2.Filter()
    for name in one.__dataclass_fields__:
        value = getattr(one, name)
        if value is None or value == ():
            continue
        if isinstance(value, bool):
            getattr(message, name).value = value
        elif name == "capabilities":
            _put_capabilities(message.capabilities, value)
        else:
            getattr(message, name).extend(value)
    return message


def _put_capabilities(message: events_pb2.CapFilter, wanted: CapabilityFilter) -> None:
    for name in ("permitted", "effective", "inheritable"):
        test = getattr(wanted, name)
        if test is not None:
            for part in ("any", "all", "exactly", "none"):
                names = getattr(test, part) or ()
                getattr(getattr(message, name), part).extend(_CAPABILITIES.Value(one) for one in sorted(names))


def compile_export(
    allow: str, deny: str, fields: str, aggregation: Aggregation | None, expressions: ExpressionCompiler
) -> View:
    """What the settings let into the exports. Raises LictorError for a list that is wrong."""
    wanted = filters.compile_filters(
        filter_list(allow, "export-allowlist"), filter_list(deny, "export-denylist"), expressions
    )
    pruning: Sequence[FieldFilter] = field_filter_list(fields, "field-filters")
    return View(wanted, FieldFilters(pruning) if pruning else None, aggregation)
