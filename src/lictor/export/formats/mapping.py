"""Carries out a table: for each kind of event, which field of the result comes from where.

A field is a dotted path. Its value is a literal, or a text that begins with `$`: a dotted path into the event's body
and the envelope around it, with functions behind bars: `$process.start_time|epoch_ms`. What is missing is left out.
`every` holds for all kinds, and a kind that the table does not have gets `other`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import yaml

from lictor import __version__

Values = dict[str, Any]
_Source = Callable[[Values], Any]
_encode = msgspec.json.Encoder().encode
_ENVELOPE = ("time", "node_name", "cluster_name", "lictor")


def flatten(native: bytes) -> Values:
    """The body of an event, and what is around it, in one; `kind` is its name, `version` ours."""
    event = msgspec.json.decode(native)
    kind = next(iter(event))
    around = {name: event[name] for name in _ENVELOPE if name in event}
    return {**around, **event[kind], "kind": kind, "version": __version__}


class Table:
    """A compiled table. `apply` gives dotted paths and their values, in the order of the table."""

    def __init__(self, name: str) -> None:
        raw = yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text())
        every = raw["every"]
        self._kinds = {kind: _compile({**every, **fields}) for kind, fields in raw["kinds"].items()}
        self._other = _compile({**every, **raw["other"]})

    def apply(self, native: bytes) -> Values:
        values = flatten(native)
        found = {}
        for field, source in self._kinds.get(values["kind"], self._other):
            value = source(values)
            if value is not None and value != "":
                found[field] = value
        return found


def json_converter(name: str) -> Callable[[bytes], bytes]:
    table = Table(name)
    return lambda native: _encode(nest(table.apply(native)))


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


def _compile(fields: Mapping[str, Any]) -> list[tuple[str, _Source]]:
    return [(field, _source(value)) for field, value in fields.items()]


def _source(value: Any) -> _Source:
    if not isinstance(value, str) or not value.startswith("$"):
        return lambda _values: value
    path, *names = value[1:].split("|")
    return partial(_look, path.split("."), [FUNCTIONS[name] for name in names])


def _look(path: list[str], functions: list[Callable[[Any], Any]], values: Values) -> Any:
    found: Any = values
    for name in path:
        if name == "":  # `$|function`: of everything
            continue
        found = found.get(name) if isinstance(found, dict) else None
        if found is None:
            return None
    for function in functions:
        found = function(found)
        if found is None:
            return None
    return found


# Functions of tables


def argv(process: Values) -> list[str]:
    """Program and arguments; what cannot be split as a shell would is one argument."""
    return [process.get("binary", ""), *_split(process.get("arguments", ""))]


@lru_cache(4096)
def _split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return (text,)


def command_line(process: Values) -> str:
    return " ".join(filter(None, (process.get("binary", ""), process.get("arguments", ""))))


def basename(path: str) -> str:
    return PurePosixPath(path).name


def epoch_ms(stamp: str) -> int:
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * 1000 + int(fraction.ljust(3, "0")[:3] or 0)


def milliseconds(stamp: str) -> str:
    """The same time with three digits at most, which is what Elasticsearch's `date` takes everywhere."""
    return re.sub(r"(\.\d{3})\d+", r"\1", stamp)


def details(values: Values) -> Values:
    """What a hook saw: the body without the processes."""
    around = ("process", "parent", "ancestors", "kind", "version", *_ENVELOPE)
    return {name: value for name, value in values.items() if name not in around}


def hook(values: Values) -> str:
    """What a hook is called: function, tracepoint or symbol."""
    if "subsys" in values:
        return f"{values['subsys']}/{values.get('event', '')}"
    named = (values.get("function_name"), values.get("symbol"), values.get("name"), values.get("path"))
    return next(filter(None, named), "unknown")


def enforced(action: str) -> str | None:
    """The action in lower case where it did something to the process."""
    word = action.removeprefix("KPROBE_ACTION_").lower()
    return word if word in ("sigkill", "signal", "override", "notifyenforcer") else None


def image_uid(image: Values) -> str | None:
    """OCSF wants one; a name is one where the runtime told no id."""
    return image.get("id") or image.get("name")


def regular_file(_path: str) -> int:
    """OCSF's number for what an executable is."""
    return 1


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "argv": argv,
    "command_line": command_line,
    "basename": basename,
    "epoch_ms": epoch_ms,
    "milliseconds": milliseconds,
    "details": details,
    "hook": hook,
    "enforced": enforced,
    "image_uid": image_uid,
    "regular_file": regular_file,
    "text": str,
    "count": len,
    "json": lambda value: _encode(value).decode(),
}
