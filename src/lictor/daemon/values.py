"""From what people write to a setting's value: `10s`, `8M`, `yes`."""

from __future__ import annotations

import re
from typing import Any

from lictor.errors import LictorError

_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0", ""})
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_BYTES = re.compile(r"(\d+)\s*([kmg]?)(?:i?b)?", re.IGNORECASE)
_SHIFT = {"": 0, "k": 10, "m": 20, "g": 30}
_MUST_BE = {
    "flag": "true or false",
    "number": "a whole number",
    "bytes": "a whole number, or one with K, M or G",
    "seconds": "a number of seconds, or a time such as 30s, 15m or 24h",
    "text": "a text",
    "list": "a list of texts, or a text with blanks or commas between them",
}


def convert(kind: str, raw: Any, what: str) -> Any:
    """The value of `raw`, as YAML, a file, the environment or a flag gave it. Raises LictorError; `what` names it."""
    try:
        return _READ[kind](raw)
    except (TypeError, ValueError) as error:
        raise LictorError(f"{what} is {raw!r}", f"it must be {_MUST_BE[kind]}") from error


def _flag(raw: Any) -> bool:
    word = str(raw).strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(word)
    return word in _TRUE


def _number(raw: Any) -> int:
    if isinstance(raw, bool | float):
        raise TypeError
    return int(raw)


def _bytes(raw: Any) -> int:
    found = _BYTES.fullmatch(str(raw).strip())
    if found is None:
        raise ValueError(raw)
    return int(found[1]) << _SHIFT[found[2].lower()]


def _seconds(raw: Any) -> float:
    if isinstance(raw, bool):
        raise TypeError
    text = str(raw).strip()
    if _PART.sub("", text) == "" and text:
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    seconds = float(text)
    if not 0 <= seconds < 1e9:
        raise ValueError(raw)
    return seconds


def _text(raw: Any) -> str:
    if raw is None:
        return ""
    if isinstance(raw, dict | list):
        raise TypeError
    return ("true" if raw else "false") if isinstance(raw, bool) else str(raw)


def _list(raw: Any) -> tuple[str, ...]:
    if raw is None:
        return ()
    if isinstance(raw, dict):
        raise TypeError
    return tuple(raw.replace(",", " ").split()) if isinstance(raw, str) else tuple(_text(item) for item in raw)


_READ: dict[str, Any] = {
    "flag": _flag,
    "number": _number,
    "bytes": _bytes,
    "seconds": _seconds,
    "text": _text,
    "list": _list,
}
