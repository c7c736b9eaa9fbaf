"""OTLP logs over gRPC: the same requests as over HTTP, on one connection that is opened anew when it broke."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from lictor.export.senders import secrets
from lictor.export.senders.base import Message, UnreachableError
from lictor.export.senders.otlp import logs_request, refused_of
from lictor.export.targets import Target

_METHOD = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
_TIMEOUT_S = 15.0


class OtlpGrpcSender:
    """An answer is a receipt. A request that is refused is halved until the one bad event is alone."""

    lag: float | None = None

    def __init__(self, target: Target) -> None:
        self.target = target
        self.sent = 0
        self._channel: Channel | None = None
        self._metadata: dict[str, str] = {}

    async def connect(self) -> None:
        token = secrets.read(self.target, "token-file")
        self._metadata = {"authorization": f"Bearer {token}"} if token else {}
        context = secrets.tls(self.target) if self.target.scheme.endswith("+tls") else None
        self._channel = Channel(self.target.host, self.target.port, ssl=context)
        await self._channel.__connect__()

    async def send(self, messages: Sequence[Message]) -> int:
        assert self._channel is not None
        export = UnaryUnaryMethod(self._channel, _METHOD, ExportLogsServiceRequest, ExportLogsServiceResponse)
        try:
            answer = await export(logs_request(messages), timeout=_TIMEOUT_S, metadata=self._metadata)
        except GRPCError as error:
            if error.status is not Status.INVALID_ARGUMENT:
                raise UnreachableError(f"the receiver answers {error.status.name}: {error.message}") from error
        except StreamTerminatedError as error:
            raise UnreachableError("the receiver closed the connection") from error
        else:
            return refused_of(answer, self.target, messages)
        if len(messages) == 1:
            return 1
        half = len(messages) // 2
        return await self.send(messages[:half]) + await self.send(messages[half:])

    def acknowledged(self) -> int:
        return self.sent

    async def lost_contact(self) -> None:
        # A connection that was closed while nothing was sent is opened anew by the next request.
        await asyncio.Event().wait()

    async def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
