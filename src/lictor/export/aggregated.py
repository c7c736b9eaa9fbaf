"""Aggregation before the exports: see pipeline/aggregate.py."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lictor.export.exports import Exports
from lictor.model.event import Event
from lictor.pipeline.aggregate import Aggregator
from lictor.pipeline.view import Aggregation


class Aggregated:
    """Collects what the exports want for a window, then hands it on."""

    def __init__(self, exports: Exports, how: Aggregation) -> None:
        self._exports = exports
        self._aggregator = Aggregator(how.window, how.room, asyncio.get_running_loop().call_later, exports.accept)

    def accept(self, events: Sequence[Event]) -> None:
        for event in events:
            if self._exports.wants(event):
                self._aggregator.put(event)

    async def close(self) -> None:
        self._aggregator.flush()
        await self._exports.close()
