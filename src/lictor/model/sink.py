"""Where events go. The pipeline knows nothing more of the surfaces than this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lictor.model.event import Event


class EventSink(Protocol):
    """Takes batches on the event loop. `accept` must not block; what a sink cannot take, it counts and tells."""

    def accept(self, events: Sequence[Event]) -> None: ...

    async def close(self) -> None: ...
