"""What tests look for in policies, as YAML has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key of a document, at any depth, with what it holds; lists one entry at a time."""
    if isinstance(value, list):
        for one in value:
            yield from pairs(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            for item in one if isinstance(one, list) else [one]:
                yield key, item if isinstance(item, str | int | bool) else None
            yield from pairs(one)
