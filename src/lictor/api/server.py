"""The gRPC server: `tetragon.FineGuidanceSensors`, and the stream of events to its clients.

It is a sink of the pipeline. A method that is in the API and not here yet answers UNIMPLEMENTED with its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import h2.exceptions
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from lictor import __version__, log
from lictor.api import address, filters
from lictor.api.listeners import Listener, Listeners
from lictor.api.pb.tetragon import eventlogservice_pb2, events_pb2, sensors_pb2, tetragon_pb2
from lictor.errors import LictorError
from lictor.model.event import Event
from lictor.pipeline.filters import Predicate

_log = log.get("api")
_SERVICES = (
    sensors_pb2.DESCRIPTOR.services_by_name["FineGuidanceSensors"],
    eventlogservice_pb2.DESCRIPTOR.services_by_name["EventLogService"],
)
MAX_STREAMS = 64
MAX_REQUEST = 4 << 20  # gRPC's usual limit
_DRAIN_S = 2.0

_Request = TypeVar("_Request", bound=Message)
_Events = Stream[events_pb2.GetEventsRequest, events_pb2.GetEventsResponse]
_Health = Stream[tetragon_pb2.GetHealthStatusRequest, tetragon_pb2.GetHealthStatusResponse]
_Version = Stream[sensors_pb2.GetVersionRequest, sensors_pb2.GetVersionResponse]


class ApiServer:
    """Serves on several addresses. `encode` makes the bytes of an event, `loss` the event that admits a gap."""

    def __init__(self, encode: Callable[[Event], bytes], loss: Callable[[int], Event]) -> None:
        self.listeners = Listeners(encode, loss)
        self._encode = encode
        self._servers: list[Server] = []
        self._paths: list[tuple[str, int]] = []  # socket file, its inode
        self._methods: dict[str, Callable[[Any], Awaitable[None]]] = {
            "GetEvents": self._get_events,
            "GetHealth": self._get_health,
            "GetVersion": self._get_version,
        }

    async def start(self, addresses: Sequence[str]) -> None:
        """Listen. Raises LictorError when an address is wrong or taken; nothing is left open then."""
        try:
            for one in map(address.parse, addresses):
                for bound in address.listen(one):
                    server = Server([self])
                    if bound.family == socket.AF_UNIX:
                        self._paths.append((one.path, os.lstat(one.path).st_ino))
                    await server.start(sock=bound)
                    self._servers.append(server)
                    _log.info("serving the API on %s", one)
        except LictorError:
            await self.close()
            raise

    def accept(self, events: Sequence[Event]) -> None:
        self.listeners.accept(events)

    async def close(self) -> None:
        """End every stream after what is queued for it, then stop serving."""
        self.listeners.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self.listeners.gone()
        for server in self._servers:
            server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await asyncio.gather(*(server.wait_closed() for server in self._servers))
        self._servers.clear()
        for path, inode in self._paths:
            with contextlib.suppress(OSError):
                if os.lstat(path).st_ino == inode:
                    os.unlink(path)
        self._paths.clear()

    def __mapping__(self) -> dict[str, Handler]:
        """Every method of the services, as grpclib wants them."""
        found = {}
        for service in _SERVICES:
            for method in service.methods:
                run = self._methods.get(method.name) or _unimplemented(method.name)
                found[f"/{service.full_name}/{method.name}"] = Handler(
                    _guarded(method.name, run),
                    Cardinality.UNARY_STREAM if method.server_streaming else Cardinality.UNARY_UNARY,
                    GetMessageClass(method.input_type),
                    GetMessageClass(method.output_type),
                )
        return found

    def _expressions(self, text: str) -> Predicate:
        # Imported here: few filters are expressions, and their library costs memory.
        from lictor.api.cel import Expressions

        return Expressions(self._encode).compile(text)

    async def _get_events(self, stream: _Events) -> None:
        request = await _request(stream, events_pb2.GetEventsRequest)
        try:
            view = filters.view(request, self._expressions)
        except LictorError as error:
            raise GRPCError(Status.INVALID_ARGUMENT, str(error)) from error
        if len(self.listeners) >= MAX_STREAMS:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"there are {MAX_STREAMS} streams of events already")
        listener = self.listeners.add(view)
        try:
            await stream.send_initial_metadata()
            await _stream_frames(stream, listener)
        finally:
            self.listeners.remove(listener)

    async def _get_health(self, stream: _Health) -> None:
        request = await _request(stream, tetragon_pb2.GetHealthStatusRequest)
        status = tetragon_pb2.HealthStatus(
            event=tetragon_pb2.HEALTH_STATUS_TYPE_STATUS,
            status=tetragon_pb2.HEALTH_STATUS_RUNNING,
            details="running",
        )
        asked = set(request.event_set)
        told = not asked or asked & {tetragon_pb2.HEALTH_STATUS_TYPE_UNDEF, tetragon_pb2.HEALTH_STATUS_TYPE_STATUS}
        await stream.send_message(tetragon_pb2.GetHealthStatusResponse(health_status=[status] if told else []))

    async def _get_version(self, stream: _Version) -> None:
        await _request(stream, sensors_pb2.GetVersionRequest)
        await stream.send_message(sensors_pb2.GetVersionResponse(version=__version__))


async def _request(stream: Stream[Any, Any], kind: type[_Request]) -> _Request:
    """The request of a call. Read here rather than by grpclib, which takes a message of any length into memory."""
    raw = stream._stream
    try:
        prefix = await raw.recv_data(5)
        if not prefix:
            raise GRPCError(Status.INVALID_ARGUMENT, "the request is empty")
        compressed, length = struct.unpack(">BI", prefix)
        if length > MAX_REQUEST:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"the request has {length} bytes; the most is {MAX_REQUEST}")
        if compressed:
            raise GRPCError(Status.UNIMPLEMENTED, "requests may not be compressed")
        return kind.FromString(await raw.recv_data(length))
    except (DecodeError, AssertionError, struct.error) as error:  # AssertionError: grpclib's word for a cut message
        raise GRPCError(Status.INVALID_ARGUMENT, "the request cannot be decoded") from error


async def _stream_frames(stream: _Events, listener: Listener) -> None:
    # Many messages go out in one write: below grpclib's message by message, which costs several times as much.
    raw = stream._stream
    while piece := await listener.take():
        await raw.send_data(piece)


def _unimplemented(name: str) -> Callable[[Any], Awaitable[None]]:
    async def answer(_stream: Stream[Any, Any]) -> None:
        raise GRPCError(Status.UNIMPLEMENTED, f"{name} is not part of this version")

    return answer


def _guarded(name: str, run: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    """What fails in us is an answer to its sender and a line in our log; a client that went away is neither."""

    async def guarded(stream: Stream[Any, Any]) -> None:
        try:
            await run(stream)
        except (GRPCError, asyncio.CancelledError):
            raise
        except h2.exceptions.ProtocolError as error:
            raise GRPCError(Status.CANCELLED, "the stream is closed") from error
        except Exception as error:
            _log.exception("%s failed", name)
            raise GRPCError(Status.INTERNAL, f"{name} failed; the agent's log says why") from error

    return guarded
