"""What tables can do with a value on its way: `$process.start_time|epoch_ms`; and with all of an event: `$|hook`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import msgspec

Values = dict[str, Any]
Members = dict[str, msgspec.Raw]
"""Of an event, as they stand in its line."""
_AROUND = frozenset({"process", "parent", "ancestors", "time", "node_name", "cluster_name", "lictor"})
_QUOTING = frozenset("'\"\\")
_WORD = re.compile(r"[^ \t\r\n]+")
encode = msgspec.json.Encoder().encode


def argv(process: Values) -> list[str]:
    """Program and arguments; what cannot be split as a shell would is one argument."""
    return [process.get("binary", ""), *_split(process.get("arguments", ""))]


@lru_cache(4096)
def _split(text: str) -> tuple[str, ...]:
    if _QUOTING.isdisjoint(text):
        return tuple(_WORD.findall(text))
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return (text,)


def command_line(process: Values) -> str:
    return " ".join(filter(None, (process.get("binary", ""), process.get("arguments", ""))))


@lru_cache(1024)
def basename(path: str) -> str:
    return PurePosixPath(path).name


def epoch_ms(stamp: str) -> int:
    return _unix(stamp[:19]) * 1000 + int(stamp[20:-1].ljust(3, "0")[:3])


@lru_cache(256)
def _unix(whole: str) -> int:
    return int(datetime.fromisoformat(whole + "+00:00").timestamp())


def milliseconds(stamp: str) -> str:
    """The same time with three digits at most, which is what Elasticsearch's `date` takes everywhere."""
    return stamp if len(stamp) <= 24 else stamp[:23] + "Z"


def details(members: Members) -> Members:
    """What a hook saw: the body without the processes."""
    return {name: raw for name, raw in members.items() if name not in _AROUND}


def hook(members: Members) -> str:
    """What a hook is called: function, tracepoint or symbol."""
    if "subsys" in members:
        return f"{_text(members, 'subsys')}/{_text(members, 'event')}"
    for name in ("function_name", "symbol", "name", "path"):
        if found := _text(members, name):
            return found
    return "unknown"


def _text(members: Members, name: str) -> str:
    return msgspec.json.decode(members[name], type=str) if name in members else ""


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
    "json": lambda value: encode(value).decode(),
}
