"""A server on a loop of its own, and clients of it from another implementation of gRPC (grpcio)."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc

from lictor.api.access import Access
from lictor.api.pb.tetragon import events_pb2
from lictor.api.ports import Ports
from lictor.api.protobuf import EventEncoder
from lictor.api.server import ApiServer
from lictor.api.tls import Tls
from lictor.clock import WallClock
from lictor.model.event import Event, LossEvent

SERVICE = "/tetragon.FineGuidanceSensors/"
EVENT_LOG = "/tetragon.EventLogService/"
DEADLINE_S = 20.0


class Serving:
    """A server on its own loop, and a channel to it."""

    def __init__(
        self,
        path: str,
        ports: Ports | None = None,
        rights: Access | None = None,
        tls: Tls | None = None,
        tcp: str = "",
    ) -> None:
        self.path = path
        self._parts = (ports, rights, tls)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        encoder = EventEncoder(WallClock(), "node")
        self.server = self.in_loop(self._make(encoder))
        self.in_loop(self.server.start([one for one in (f"unix://{path}", tcp) if one]))
        self.channel = grpc.insecure_channel(f"unix://{path}")

    async def _make(self, encoder: EventEncoder) -> ApiServer:
        return ApiServer(encoder.encode, lambda dropped: LossEvent(1, dropped, "gRPC client", "slow"), *self._parts)

    def in_loop(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE_S)

    def accept(self, *events: Event) -> None:
        async def give() -> None:
            self.server.accept(events)

        self.in_loop(give())

    def ask(self, method: str, request: Any, answer: Any, channel: Any = None) -> Any:
        name = method if method.startswith("/") else SERVICE + method
        call: Any = (channel or self.channel).unary_unary(
            name, lambda message: message.SerializeToString(), answer.FromString
        )
        return call(request, timeout=DEADLINE_S)

    def follow(self, request: events_pb2.GetEventsRequest) -> Any:
        """An open stream: the server knows of it when this returns."""
        call: Any = self.channel.unary_stream(
            SERVICE + "GetEvents",
            lambda message: message.SerializeToString(),
            events_pb2.GetEventsResponse.FromString,
        )
        stream = call(request, timeout=DEADLINE_S)
        stream.initial_metadata()
        return stream

    def close_server(self) -> None:
        self.in_loop(self.server.close())

    def stop(self) -> None:
        self.close_server()
        self.channel.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
