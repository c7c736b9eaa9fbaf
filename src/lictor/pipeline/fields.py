"""Field filters: which fields of an event a reader gets. Compiled once, used on JSON here and on messages by the API.

Paths start inside the event's message (`process.pid`, `args`); node and time always stay. Of our own object, what says
the same as a field that is taken away goes with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lictor.model.event import EventType

_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")


@dataclass(frozen=True, slots=True)
class FieldFilter:
    """One filter. `event_set` empty: every kind; with `invert` every other kind. `include`: these paths and no more."""

    paths: tuple[str, ...]
    include: bool = True
    event_set: frozenset[EventType] = frozenset()
    invert: bool = False

    def concerns(self, kind: EventType) -> bool:
        return not self.event_set or (kind in self.event_set) != self.invert


@dataclass(slots=True)
class Tree:
    """Paths that share their beginnings. `whole`: a path ends here."""

    whole: bool = False
    below: dict[str, Tree] = field(default_factory=dict)

    def add(self, path: str) -> None:
        at = self
        for name in path.split("."):
            at = at.below.setdefault(name, Tree())
        at.whole = True


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is done to one kind of event: the trees in order, each with whether it includes."""

    trees: tuple[tuple[bool, Tree], ...]


def snake(path: str) -> str:
    """`process.execId` as `process.exec_id`; names that begin with a capital, as `ProgType`, stay."""
    return ".".join(_CAPITAL.sub(r"_\1", part).lower() if part[:1].islower() else part for part in path.split("."))


class FieldFilters:
    """A list of filters, applied one after another. Equal lists are equal, so that their work can be shared."""

    def __init__(self, filters: Sequence[FieldFilter]) -> None:
        self.key = tuple(filters)
        self._of: dict[EventType, Pruning] = {}

    def of(self, kind: EventType) -> Pruning | None:
        """What to do to events of a kind; None: nothing. A loss is always told in full."""
        if kind is EventType.RATE_LIMIT_INFO:
            return None
        found = self._of.get(kind)
        if found is None:
            found = self._of[kind] = Pruning(tuple(self._trees(kind)))
        return found if found.trees else None

    def _trees(self, kind: EventType) -> Iterator[tuple[bool, Tree]]:
        for one in self.key:
            if one.concerns(kind):
                tree = Tree()
                for path in one.paths:
                    tree.add(snake(path))
                yield one.include, tree

    def line(self, kind: EventType, line: str) -> str:
        """A JSON line with its newline, without the fields that are not wanted."""
        pruning = self.of(kind)
        if pruning is None:
            return line
        event: dict[str, Any] = _decode(line)
        member = next(iter(event))
        for include, tree in pruning.trees:
            event[member] = _included(event[member], tree) if include else _excluded(event[member], tree)
            if "lictor" in event:
                event["lictor"] = _own(event["lictor"], include, tree)
                if not event["lictor"]:
                    del event["lictor"]
        return _encode(event).decode() + "\n"


_decode: Callable[[str], Any] = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def _included(value: Any, tree: Tree) -> Any:
    if tree.whole:
        return value
    if isinstance(value, list):
        return [_included(one, tree) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _included(inner, tree.below[name]) for name, inner in value.items() if name in tree.below}


def _excluded(value: Any, tree: Tree) -> Any:
    if isinstance(value, list):
        return [_excluded(one, tree) for one in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, inner in value.items():
        below = tree.below.get(name)
        if below is None:
            found[name] = inner
        elif not below.whole:
            found[name] = _excluded(inner, below)
    return found


# Our own fields that say something of a field of the message.
_SAYS_ALSO = {
    "process.arguments": ("argv", "truncated_bytes"),
    "process.binary": ("executable",),
    "process.docker": ("container_id", "cgroup", "cgroup_id"),
}
_OF_HOOK = {"policy_name": ("policy_namespace", "policy_labels", "selector")}


def _own(found: dict[str, Any], include: bool, tree: Tree) -> dict[str, Any]:
    """Our own object. An including filter names what it wants of it: `lictor`, or `lictor.process.tty`."""
    asked = tree.below.get("lictor")
    if include:
        return _included(found, asked) if asked else {name: found[name] for name in ("loss",) if name in found}
    if asked is not None:
        found = {} if asked.whole else _excluded(found, asked)
    gone = Tree()
    for path in _ends(tree):
        for said in _SAYS_ALSO.get(path, ()):
            gone.add(f"process.{said}")
        for said in _OF_HOOK.get(path, ()):
            gone.add(f"hook.{said}")
        if path == "process":
            gone.add("process")
    pruned: dict[str, Any] = _excluded(found, gone)
    return {name: value for name, value in pruned.items() if value}


def _ends(tree: Tree, before: str = "") -> Iterator[str]:
    for name, below in tree.below.items():
        path = f"{before}{name}"
        if below.whole:
            yield path
        yield from _ends(below, f"{path}.")


def split_paths(texts: Iterable[str]) -> tuple[str, ...]:
    """Paths from words with commas between them, as people and JSON field masks write them."""
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
