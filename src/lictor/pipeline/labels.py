"""Label selectors as Kubernetes writes them: `app=web,tier in (a, b),!canary`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from lictor.errors import LictorError

Labels = Mapping[str, str]
Selector = Callable[[Labels], bool]

_KEY = r"(?P<key>[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?)"
_VALUE = r"(?P<value>([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?)"
_SET = re.compile(rf"{_KEY}\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_EQUAL = re.compile(rf"{_KEY}\s*(?P<operator>==|=|!=)\s*{_VALUE}")
_EXISTS = re.compile(rf"(?P<not>!?)\s*{_KEY}")
_COMMA = re.compile(r",(?![^(]*\))")


def compile_selector(text: str) -> Selector:
    """All requirements of a selector must hold. Raises LictorError for one that cannot be read."""
    requirements = [_requirement(part.strip(), text) for part in _COMMA.split(text)] if text.strip() else []
    return lambda labels: all(holds(labels) for holds in requirements)


def _requirement(part: str, whole: str) -> Selector:
    if found := _SET.fullmatch(part):
        key, values = found["key"], frozenset(one.strip() for one in found["values"].split(","))
        return _one_of(key, values, found["operator"] == "notin")
    if found := _EQUAL.fullmatch(part):
        return _one_of(found["key"], frozenset((found["value"],)), found["operator"] == "!=")
    if found := _EXISTS.fullmatch(part):
        key, absent = found["key"], bool(found["not"])
        return lambda labels: (key in labels) != absent
    raise LictorError(
        f"{part!r} of the label selector {whole!r} cannot be read",
        "write key=value, key!=value, key in (a,b), key notin (a,b), key or !key, with commas between",
    )


def _one_of(key: str, values: frozenset[str], negated: bool) -> Selector:
    # A label that is not there is none of the values: `!=` and `notin` hold then.
    return lambda labels: (labels.get(key) in values) != negated
