"""The two services that every gRPC tool knows: health (`grpc.health.v1`) and reflection."""

from __future__ import annotations

import asyncio
from typing import Any

from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.health.v1 import health_pb2
from grpclib.reflection.service import ServerReflection
from grpclib.server import Stream

from lictor.api.calls import MAX_REQUEST, Run, request

_HEALTH = "grpc.health.v1.Health"


class Health:
    """Serving from the start to `stop`; `liveness` is the name that the reference's probes ask for."""

    def __init__(self, services: tuple[str, ...]) -> None:
        self._services = frozenset(("", "liveness", *services))
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    def handlers(self) -> dict[str, Handler]:
        kinds = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        return {
            f"/{_HEALTH}/Check": Handler(self._check, Cardinality.UNARY_UNARY, *kinds),
            f"/{_HEALTH}/Watch": Handler(self._watch, Cardinality.UNARY_STREAM, *kinds),
        }

    def _answer(self) -> health_pb2.HealthCheckResponse:
        kinds = health_pb2.HealthCheckResponse
        return kinds(status=kinds.NOT_SERVING if self._stopping.is_set() else kinds.SERVING)

    async def _check(self, stream: Stream[Any, Any]) -> None:
        asked = await request(stream, health_pb2.HealthCheckRequest)
        if asked.service not in self._services:
            raise GRPCError(Status.NOT_FOUND, f"there is no service {asked.service}")
        await stream.send_message(self._answer())

    async def _watch(self, stream: Stream[Any, Any]) -> None:
        asked = await request(stream, health_pb2.HealthCheckRequest)
        if asked.service not in self._services:
            await stream.send_message(
                health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
            )
        else:
            await stream.send_message(self._answer())
        await self._stopping.wait()
        if asked.service in self._services:
            await stream.send_message(self._answer())


def reflection(services: list[Any]) -> dict[str, Handler]:
    """Reflection over services, in the library's implementation, with our limit on what it reads."""
    found = {}
    for service in ServerReflection.extend(services)[len(services) :]:
        for path, handler in service.__mapping__().items():
            found[path] = handler._replace(func=_limited(handler.func))
    return found


def _limited(run: Run) -> Run:
    async def call(stream: Stream[Any, Any]) -> None:
        raw: Any = stream._stream
        read = raw.recv_data

        async def recv_data(size: int) -> bytes:
            if size > MAX_REQUEST:
                raise GRPCError(Status.RESOURCE_EXHAUSTED, f"the request has {size} bytes; the most is {MAX_REQUEST}")
            data: bytes = await read(size)
            return data

        raw.recv_data = recv_data
        await run(stream)

    return call
