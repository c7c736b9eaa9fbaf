"""What was perhaps meant by a name that does not exist. Pure; a search among 60,000 names takes some milliseconds."""

from __future__ import annotations

from collections.abc import Iterable

_LEAST = 0.7  # of one: how alike names must be to be shown


def nearest(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """At most `count` names like `name`, the most alike first. Swapped letters count as one mistake."""
    from rapidfuzz import process
    from rapidfuzz.distance import OSA

    found = process.extract(
        name, list(names), scorer=OSA.normalized_similarity, processor=None, limit=count, score_cutoff=_LEAST
    )
    return [text for text, _, _ in found]
