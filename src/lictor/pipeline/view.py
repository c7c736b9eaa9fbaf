"""What one reader wants of the stream, compiled: which events, which fields of them, and whether to aggregate."""

from __future__ import annotations

from dataclasses import dataclass

from lictor.pipeline.aggregate import ROOM, WINDOW_S
from lictor.pipeline.fields import FieldFilters
from lictor.pipeline.filters import Predicate, everything


@dataclass(frozen=True, slots=True)
class Aggregation:
    """`window` in seconds; `room` events that wait at most."""

    window: float = WINDOW_S
    room: int = ROOM


@dataclass(frozen=True, slots=True)
class View:
    wanted: Predicate = everything
    fields: FieldFilters | None = None
    aggregation: Aggregation | None = None
