"""`http://ADDRESS/metrics`, on a thread of its own."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from lictor import log
from lictor.errors import LictorError
from lictor.metrics.collector import AgentCollector, Source

_log = log.get("metrics")


class MetricsServer:
    """Serves until `close`. Raises LictorError when the address is wrong or taken."""

    def __init__(self, address: str, sources: Iterable[Source]) -> None:
        host, port = parse(address)
        registry = CollectorRegistry()
        registry.register(AgentCollector(sources))
        ProcessCollector(registry=registry)
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise LictorError(
                f"metrics cannot be served on {address}: {error.strerror}", "choose another metrics-server"
            ) from error
        self.port = self._server.server_port
        _log.info("serving metrics on http://%s:%d/metrics", host, self.port)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def parse(address: str) -> tuple[str, int]:
    """`host:port`, `[::1]:port` or `:port`, which is every address of the machine. Raises LictorError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise LictorError(f"metrics-server is {address!r}", "it must be host:port, or :port")
    return host.strip("[]") or "0.0.0.0", int(port)
