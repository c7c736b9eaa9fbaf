"""Opens the surfaces that the settings ask for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lictor.daemon.agent import Agent
from lictor.daemon.settings import Settings, node_name
from lictor.errors import LictorError
from lictor.export.exports import Exports
from lictor.export.file import FileOutlet, Rotation
from lictor.export.limit import RateLimit
from lictor.model.event import LossEvent
from lictor.model.sink import EventSink

if TYPE_CHECKING:
    from lictor.api.server import ApiServer


def loss_here(where: str, dropped: int) -> LossEvent:
    """The event that admits what a surface had to drop."""
    return LossEvent(time.clock_gettime_ns(time.CLOCK_BOOTTIME), dropped, where, "the reader was too slow")


async def open_surfaces(agent: Agent) -> list[EventSink]:
    """The surfaces of `settings`, open and ready. Raises LictorError for what cannot be opened."""
    settings = agent.settings
    if settings.policy:
        raise LictorError("this version does not execute policies yet", "leave out --policy")
    exports = _exports(agent) if settings.export_filename else None
    addresses = [one for one in settings.server_address if one]
    api = await _api(agent, addresses) if addresses else None
    metrics = _metrics(agent, exports, api) if settings.metrics_server else None
    return [one for one in (exports, api, metrics) if one is not None]


def _exports(agent: Agent) -> Exports:
    settings = agent.settings
    file = FileOutlet(settings.export_filename, agent.json.line, _rotation(settings))
    limit = RateLimit(settings.export_rate_limit)

    def reload(found: Settings) -> None:
        file.rotate_by(_rotation(found))
        limit.per_minute = found.export_rate_limit

    agent.on_reload.append(reload)
    return Exports(agent.json.line, [file], limit=limit)


def _rotation(settings: Settings) -> Rotation:
    return Rotation(
        max_bytes=settings.export_file_max_size_mb << 20,
        interval=settings.export_file_rotation_interval,
        backups=settings.export_file_max_backups,
        compress=settings.export_file_compress,
        mode=int(settings.export_file_perm, 8),
    )


async def _api(agent: Agent, addresses: list[str]) -> ApiServer:
    # Imported here: without the API, protobuf and HTTP/2 cost neither time nor memory. So with metrics below.
    from lictor.api.protobuf import EventEncoder
    from lictor.api.server import ApiServer

    settings = agent.settings
    encoder = EventEncoder(agent.clock, node_name(settings), settings.cluster_name)
    server = ApiServer(encoder.encode, lambda dropped: loss_here("gRPC client", dropped))
    await server.start(addresses)
    return server


def _metrics(agent: Agent, exports: Exports | None, api: ApiServer | None) -> EventSink:
    from lictor.daemon.measure import Measures

    return Measures(agent, exports, api)
