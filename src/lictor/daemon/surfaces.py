"""Opens the surfaces that the settings ask for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lictor.daemon.agent import Agent
from lictor.daemon.outlets import open_exports
from lictor.daemon.settings import node_name
from lictor.export.aggregated import Aggregated
from lictor.export.exports import Exports
from lictor.export.file import FileOutlet
from lictor.model.event import Event, LossEvent, with_ancestors
from lictor.model.sink import EventSink
from lictor.pipeline.filters import ExpressionCompiler, Predicate
from lictor.pipeline.view import Aggregation, View

if TYPE_CHECKING:
    from lictor.api.protobuf import EventEncoder
    from lictor.api.server import ApiServer


def loss_here(where: str, dropped: int) -> LossEvent:
    """The event that admits what a surface had to drop."""
    return LossEvent(time.clock_gettime_ns(time.CLOCK_BOOTTIME), dropped, where, "the reader was too slow")


async def open_surfaces(agent: Agent) -> list[EventSink]:
    """The surfaces of `settings`, open and ready. Raises LictorError for what cannot be opened."""
    settings = agent.settings
    view = export_view(agent)
    exports = open_exports(agent, _line(agent, view), view.wanted)
    addresses = [one for one in settings.server_address if one]
    api = await _api(agent, addresses, exports) if addresses else None
    metrics = _metrics(agent, exports, api) if settings.metrics_server else None
    outlet = Aggregated(exports, view.aggregation) if view.aggregation is not None else exports
    return [one for one in (outlet, api, metrics) if one is not None]


def export_view(agent: Agent) -> View:
    """Filters of the exports. Raises LictorError for a setting that is wrong."""
    settings = agent.settings
    aggregation = None
    if settings.enable_export_aggregation:
        aggregation = Aggregation(settings.export_aggregation_window_size, settings.export_aggregation_buffer_size)
    if not (settings.export_allowlist or settings.export_denylist or settings.field_filters):
        return View(aggregation=aggregation)
    from lictor.api import filters

    return filters.compile_export(
        settings.export_allowlist, settings.export_denylist, settings.field_filters, aggregation, expressions(agent)
    )


def expressions(agent: Agent) -> ExpressionCompiler:
    """A compiler of CEL that is imported when an expression comes."""

    def compile_expression(text: str) -> Predicate:
        from lictor.api.cel import Expressions

        return Expressions(_encoder(agent).encode).compile(text)

    return compile_expression


def _encoder(agent: Agent) -> EventEncoder:
    from lictor.api.protobuf import EventEncoder

    settings = agent.settings
    above = with_ancestors(settings.enable_ancestors)
    return EventEncoder(agent.clock, node_name(settings), settings.cluster_name, above)


def _line(agent: Agent, view: View) -> Callable[[Event], str]:
    whole, fields = agent.json.line, view.fields
    return whole if fields is None else lambda event: fields.line(event.kind, whole(event))


async def _api(agent: Agent, addresses: list[str], exports: Exports) -> ApiServer:
    # Imported here: without the API, protobuf and HTTP/2 cost neither time nor memory. So with metrics below.
    from lictor.api.access import Access, Allowed
    from lictor.api.ports import Ports
    from lictor.api.server import ApiServer
    from lictor.api.tls import Tls, TlsFiles
    from lictor.daemon.about import About, EventLog

    settings = agent.settings
    files = TlsFiles(
        settings.server_tls_cert_file,
        settings.server_tls_key_file,
        settings.server_tls_client_ca_files,
        settings.server_tls_require_client_cert,
    )
    files.check()
    file = next((one for one in exports.outlets if isinstance(one, FileOutlet)), None)
    server = ApiServer(
        _encoder(agent).encode,
        lambda dropped: loss_here("gRPC client", dropped),
        Ports(
            policies=agent.parts.policies.manager,
            event_log=EventLog(agent, file) if file is not None else None,
            about=About(agent, agent.parts.tracker),
            announce=agent.parts.tracker.announce,
        ),
        Access(Allowed(settings.server_readers, "server-readers"), Allowed(settings.server_writers, "server-writers")),
        Tls(files) if files.cert else None,
    )
    agent.squeeze.append(server.listeners.squeeze)
    await server.start(addresses, settings.server_socket_group)
    return server


def _metrics(agent: Agent, exports: Exports, api: ApiServer | None) -> EventSink:
    from lictor.daemon.measure import Measures

    return Measures(agent, exports, api)
