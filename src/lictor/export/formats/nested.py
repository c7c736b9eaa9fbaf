"""Formats that are JSON: a table's dotted paths are objects in objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

from lictor.export.formats.functions import Values, encode
from lictor.export.formats.mapping import Event, Field, Table, origin_of, together

_Members = Callable[[Event], bytes]
"""Members of an object, each behind a comma; empty for none."""


def converter(name: str) -> Callable[[bytes], bytes]:
    table = Table(name)
    known: dict[str, _Members] = {}

    def convert(native: bytes) -> bytes:
        event = Event(native)
        members = known.get(event.kind)
        if members is None:
            members = known[event.kind] = _members(table.fields(event.kind))
        return b"{%b}" % members(event)[1:]

    return convert


def _members(fields: list[Field]) -> _Members:
    """Of the object that has these fields."""
    pieces: list[_Members] = []
    for mixed, run in groupby(_groups(fields), lambda group: group[2]):
        if mixed:
            pieces += [_object(name, [_below(one) for one in group]) for name, group, _ in run]
        else:
            pieces += together(((origin_of(group), group) for _, group, _ in run), _render)
    match pieces:
        case [one]:
            return one
        case [one, two]:
            return lambda event: one(event) + two(event)
    return lambda event: b"".join([piece(event) for piece in pieces])


def _groups(fields: list[Field]) -> Iterator[tuple[str, list[Field], bool]]:
    """Fields by the first name of their path, and whether they are an object of several parts."""
    found: dict[str, list[Field]] = {}
    for one in fields:
        found.setdefault(one.path.partition(".")[0], []).append(one)
    for name, group in found.items():
        value_of_its_own = any(one.path == name for one in group)
        yield name, group, not value_of_its_own and origin_of(group) == "" and len(group) > 1


def _below(one: Field) -> Field:
    return one._replace(path=one.path.partition(".")[2])


def _object(name: str, fields: list[Field]) -> _Members:
    members = _members(fields)
    head = b',"%b":{' % name.encode()

    def run(event: Event) -> bytes:
        inner = members(event)
        return b"%b%b}" % (head, inner[1:]) if inner else b""

    return run


def _render(flat: Values) -> bytes:
    if not flat:
        return b""
    return b"," + encode(nest(flat) if any("." in path for path in flat) else flat)[1:-1]


def nest(flat: Values) -> Values:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    result: Values = {}
    for path, value in flat.items():
        *above, last = path.split(".")
        place = result
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    return result
