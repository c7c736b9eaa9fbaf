"""The gRPC server: where it listens, which methods it has, and the stream of events to its clients.

It is a sink of the pipeline. A method that is in the API and has nothing behind it answers UNIMPLEMENTED with its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf.message_factory import GetMessageClass
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from lictor import log
from lictor.api import access, address, agent, calls, filters, runtime, sending, standard
from lictor.api.access import Access, Right
from lictor.api.calls import Run
from lictor.api.listeners import Listener, Listeners
from lictor.api.pb.tetragon import eventlogservice_pb2, events_pb2, sensors_pb2
from lictor.api.policies import PolicyMethods
from lictor.api.ports import Ports
from lictor.api.tls import Tls
from lictor.errors import LictorError
from lictor.model.event import Event
from lictor.pipeline.filters import Predicate

if TYPE_CHECKING:
    from lictor.api.cel import Expressions

_log = log.get("api")
_SERVICES = (
    sensors_pb2.DESCRIPTOR.services_by_name["FineGuidanceSensors"],
    eventlogservice_pb2.DESCRIPTOR.services_by_name["EventLogService"],
)
MAX_STREAMS = 256
_DRAIN_S = 2.0
_FLUSH_S = 0.005
_TLS_LOOK_S = 5.0
_WRITING = frozenset(
    {
        "AddTracingPolicy", "DeleteTracingPolicy", "ConfigureTracingPolicy", "EnableTracingPolicy",
        "DisableTracingPolicy", "SetDebug", "SetEventLogParams", "RuntimeHook",
    }
)  # fmt: skip
_FREE = frozenset({"GetVersion", "GetHealth"})
_GONE = frozenset({"ListSensors", "EnableSensor", "DisableSensor", "RemoveSensor"})
_Events = Stream[events_pb2.GetEventsRequest, events_pb2.GetEventsResponse]


class ApiServer:
    """Serves on several addresses. `encode` makes the bytes of an event, `loss` the event that admits a gap."""

    def __init__(
        self,
        encode: Callable[[Event], bytes],
        loss: Callable[[int], Event],
        ports: Ports | None = None,
        rights: Access | None = None,
        tls: Tls | None = None,
    ) -> None:
        self.listeners = Listeners(encode, loss)
        self._encode = encode
        self._expressions: Expressions | None = None
        self._rights = rights or access.default()
        self._tls = tls
        self._tls_task: asyncio.Task[None] | None = None
        self._servers: list[Server] = []
        self._transports: dict[Listener, Any] = {}  # of the event streams; at the end they are seen through
        self._closing = False
        self._paths: list[tuple[str, int]] = []  # socket file, its inode
        self._health = standard.Health(tuple(service.full_name for service in _SERVICES))
        ports = ports or Ports()
        self._methods: dict[str, Run] = {"GetEvents": self._get_events, **agent.methods(ports)}
        if ports.policies is not None:
            self._methods |= PolicyMethods(ports.policies).methods()
        if ports.announce is not None:
            self._methods |= runtime.methods(ports.announce)

    async def start(self, addresses: Sequence[str], group: str = "") -> None:
        """Listen. `group` may use socket files. Raises LictorError when an address is wrong or taken; nothing is left
        open then.
        """
        gid = access.group_id(group, "server-socket-group") if group else -1
        try:
            for one in map(address.parse, addresses):
                for bound in address.listen(one, gid):
                    await self._serve(one, bound)
        except LictorError:
            await self.close()
            raise
        if self._tls is not None:
            self._tls_task = asyncio.create_task(self._follow_tls(self._tls), name="tls files")

    async def _serve(self, where: address.Address, bound: socket.socket) -> None:
        server = Server([self])
        local = bound.family == socket.AF_UNIX
        if local:
            self._paths.append((where.path, os.lstat(where.path).st_ino))
        context = self._tls.context if self._tls is not None and not local else None
        await server.start(sock=bound, ssl=context)
        self._servers.append(server)
        _log.info("serving the API on %s%s", where, " with TLS" if context is not None else "")

    def accept(self, events: Sequence[Event]) -> None:
        self.listeners.accept(events)

    async def close(self) -> None:
        """End every stream after what is queued for it, then stop serving."""
        self._closing = True
        self._health.stop()
        self.listeners.close()
        if self._tls_task is not None:
            self._tls_task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self.listeners.gone()
        for server in self._servers:
            server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await asyncio.gather(*(server.wait_closed() for server in self._servers))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self._sent()
        self._servers.clear()
        for path, inode in self._paths:
            with contextlib.suppress(OSError):
                if os.lstat(path).st_ino == inode:
                    os.unlink(path)
        self._paths.clear()

    async def _sent(self) -> None:
        """Return when the kernel has what was written to the event streams."""
        while any(one.get_write_buffer_size() for one in self._transports.values()):
            await asyncio.sleep(_FLUSH_S)

    def __mapping__(self) -> dict[str, Handler]:
        """Every method of the services, as grpclib wants them."""
        found = self._own()
        others = self._health.handlers() | standard.reflection([_Named(one.full_name, found) for one in _SERVICES])
        for path, handler in others.items():
            found[path] = handler._replace(func=calls.guarded(path, handler.func, self._rights, Right.NOTHING))
        return found

    def _own(self) -> dict[str, Handler]:
        found = {}
        for service in _SERVICES:
            for method in service.methods:
                found[f"/{service.full_name}/{method.name}"] = Handler(
                    calls.guarded(method.name, self._run(method.name), self._rights, _right(method.name)),
                    Cardinality.UNARY_STREAM if method.server_streaming else Cardinality.UNARY_UNARY,
                    GetMessageClass(method.input_type),
                    GetMessageClass(method.output_type),
                )
        return found

    def _run(self, name: str) -> Run:
        if name in _GONE:
            return calls.unimplemented(name, "is not served: sensors come and go with policies")
        return self._methods.get(name) or calls.unimplemented(name)

    async def _get_events(self, stream: _Events) -> None:
        request = await calls.request(stream, events_pb2.GetEventsRequest)
        view = filters.view(request, self._compile)
        if len(self.listeners) >= MAX_STREAMS:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"there are {MAX_STREAMS} streams of events already")
        listener = self.listeners.add(view)
        self._transports[listener] = stream._stream._transport
        try:
            await stream.send_initial_metadata()
            await _stream_frames(stream, listener)
        finally:
            self.listeners.remove(listener)
            if not self._closing:
                del self._transports[listener]

    def _compile(self, text: str) -> Predicate:
        if self._expressions is None:
            # Imported here: few filters are expressions, and their library costs memory.
            from lictor.api.cel import Expressions

            self._expressions = Expressions(self._encode)
        return self._expressions.compile(text)

    @property
    def refused(self) -> int:
        """Calls of those who may not."""
        return self._rights.refused

    @property
    def expressions_failed(self) -> int:
        """Times that an expression could not be judged on an event, which then did not match."""
        return self._expressions.failed if self._expressions is not None else 0

    async def _follow_tls(self, tls: Tls) -> None:
        while True:
            await asyncio.sleep(_TLS_LOOK_S)
            tls.refresh()


class _Named:
    """What reflection asks of a service: the paths of its methods."""

    def __init__(self, service: str, handlers: dict[str, Handler]) -> None:
        self._handlers = {path: one for path, one in handlers.items() if path.startswith(f"/{service}/")}

    def __mapping__(self) -> dict[str, Handler]:
        return self._handlers


def _right(name: str) -> Right:
    if name in _FREE:
        return Right.NOTHING
    return Right.WRITE if name in _WRITING else Right.READ


async def _stream_frames(stream: Stream[Any, Any], listener: Listener) -> None:
    while piece := await listener.take():
        await sending.send(stream, piece)
