"""Opens the surfaces that the settings ask for."""

from __future__ import annotations

import time

from lictor.daemon.agent import Agent
from lictor.errors import LictorError
from lictor.export.file import FileSink, Rotation
from lictor.model.event import LossEvent
from lictor.model.sink import EventSink


def loss_here(where: str, dropped: int) -> LossEvent:
    """The event that admits what a surface had to drop."""
    return LossEvent(time.clock_gettime_ns(time.CLOCK_BOOTTIME), dropped, where, "the reader was too slow")


async def open_surfaces(agent: Agent) -> list[EventSink]:
    """The surfaces of `settings`, open and ready. Raises LictorError for what cannot be opened."""
    settings = agent.settings
    if settings.policy:
        raise LictorError("this version does not execute policies yet", "leave out --policy")
    sinks: list[EventSink] = []
    if settings.export_filename:
        rotation = Rotation(
            max_bytes=settings.export_file_max_size_mb << 20,
            interval=settings.export_file_rotation_interval,
            backups=settings.export_file_max_backups,
            compress=settings.export_file_compress,
            mode=int(settings.export_file_perm, 8),
        )
        sinks.append(FileSink(settings.export_filename, agent.json.line, rotation))
    return sinks
