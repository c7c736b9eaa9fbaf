"""Carries out a table: for each kind of event, which field of the result comes from where.

A field is a dotted path. Its value is a literal, or a text that begins with `$`: a dotted path into the event's body
and the envelope around it, with functions behind bars: `$process.start_time|epoch_ms`. What is missing is left out.
`every` holds for all kinds, and a kind that the table does not have gets `other`.

A table becomes, for each kind, a row of parts. A part is made of fields that stand together and look at one member of
the event (the process, the parent, the policy …): what it gives is kept by the bytes of that member, so that most
events are put together from ready pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from lictor import __version__
from lictor.export.formats.functions import FUNCTIONS, Values

Rows = Mapping[str, Any]
Render = Callable[[Values], bytes]
"""From dotted paths and their values to a piece of the result."""
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode = msgspec.json.Decoder().decode
_KEPT, _KEPT_LENGTH = 1024, 4096
_FIXED = "="
_NEVER_TWICE = frozenset({"", "time"})


class Field(NamedTuple):
    """`origin`: the member of the event that it looks at; "" for all of them, `=` for none."""

    path: str
    origin: str
    way: tuple[str, ...]
    functions: tuple[Callable[[Any], Any], ...]
    value: Any

    def look(self, values: Values) -> Any:
        """Its value, None where the event has none. `values`: members of the event."""
        if self.origin == _FIXED:
            return self.value
        found: Any = values if self.origin else values[""]
        for name in self.way:
            found = found.get(name) if isinstance(found, dict) else None
            if found is None:
                return None
        for function in self.functions:
            found = function(found)
            if found is None:
                return None
        return found


def field(path: str, value: Any, kind: str) -> Field:
    """A row of a table. `$kind` and `$version` are the same in every event of a kind."""
    if not isinstance(value, str) or not value.startswith("$"):
        return Field(path, _FIXED, (), (), value)
    way, *names = value[1:].split("|")
    known = {"kind": kind, "version": __version__}
    if way in known:
        return Field(path, _FIXED, (), (), known[way])
    steps = tuple(filter(None, way.split(".")))
    return Field(path, steps[0] if steps else "", steps, tuple(FUNCTIONS[name] for name in names), None)


class Event:
    """One event: `members` of its body and of the envelope around it, as they stand in the line."""

    __slots__ = ("_decoded", "_texts", "kind", "members")

    def __init__(self, native: bytes) -> None:
        members = _members(native)
        self.kind = next(iter(members))
        members |= _members(members.pop(self.kind))
        self.members = members
        self._texts: dict[str, bytes] = {}
        self._decoded: Values = {"": members}

    def text(self, name: str) -> bytes | None:
        """A member's JSON, the same object each time so that it is hashed once."""
        found = self._texts.get(name)
        if found is None and name in self.members:
            found = self._texts[name] = bytes(self.members[name])
        return found

    def values(self, origins: Iterable[str]) -> Values:
        """Members by their names, these of them decoded; under "" all of them, as they stand."""
        decoded = self._decoded
        for name in origins:
            if name not in decoded and name in self.members:
                decoded[name] = _decode(self.members[name])
        return decoded


class Part:
    """Fields that are made together. `render` gets those that have a value."""

    def __init__(self, fields: list[Field], render: Render) -> None:
        self._fields = fields
        self._render = render
        origin = origin_of(fields)
        self._origins = {one.origin for one in fields} - {_FIXED}
        self._always = self._make({}) if origin == _FIXED else None
        self._key = origin if origin not in _NEVER_TWICE else None
        self._kept: dict[bytes | None, bytes] = {}

    def __call__(self, event: Event) -> bytes:
        if self._always is not None:
            return self._always
        if self._key is None:
            return self._make(event.values(self._origins))
        text = event.text(self._key)
        found = self._kept.get(text)
        if found is None:
            found = self._make(event.values(self._origins))
            if len(found) <= _KEPT_LENGTH:
                if len(self._kept) >= _KEPT:
                    self._kept.clear()
                self._kept[text] = found
        return found

    def _make(self, values: Values) -> bytes:
        flat: Values = {}
        for one in self._fields:
            value = one.look(values)
            if value is not None and value != "":
                flat[one.path] = value
        return self._render(flat)


def origin_of(fields: Iterable[Field]) -> str:
    """The member that all of them look at; "" when there are several."""
    found = {one.origin for one in fields} - {_FIXED}
    return _FIXED if not found else found.pop() if len(found) == 1 else ""


def together(groups: Iterable[tuple[str, list[Field]]], render: Render) -> Iterator[Part]:
    """Neighbours of one origin as one part; what is always the same goes with what can be kept."""
    origin, fields = _FIXED, list[Field]()
    for one, more in groups:
        if fields and one != origin and (_FIXED not in (one, origin) or {one, origin} & _NEVER_TWICE):
            yield Part(fields, render)
            origin, fields = _FIXED, []
        fields = fields + more
        origin = one if origin == _FIXED else origin
    if fields:
        yield Part(fields, render)


class Table:
    """A table, read: `fields` are the rows of a kind in their order."""

    def __init__(self, name: str) -> None:
        raw = yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text())
        every = raw["every"]
        self._kinds: dict[str, Rows] = {kind: {**every, **rows} for kind, rows in raw["kinds"].items()}
        self._other: Rows = {**every, **raw["other"]}

    def fields(self, kind: str) -> list[Field]:
        return [field(path, value, kind) for path, value in self._kinds.get(kind, self._other).items()]
