"""A client of the API, for the command line. Every failure is a LictorError that says what to do."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.config import Configuration
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from lictor.api import address
from lictor.api.pb.tetragon import events_pb2
from lictor.api.tls import client_context
from lictor.errors import LictorError

SERVICE = "/tetragon.FineGuidanceSensors/"
EVENT_LOG = "/tetragon.EventLogService/"
_Answer = TypeVar("_Answer", bound=Message)
_PLAIN = frozenset({Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.ALREADY_EXISTS, Status.PERMISSION_DENIED})


class AgentAwayError(LictorError):
    """No agent is there just now: another attempt may find one."""


TlsClient = tuple[str, str, str, str, bool]
"""Authorities, certificate, key, name of the server, and whether to verify it."""


@contextlib.asynccontextmanager
async def connect(text: str, tls: TlsClient | None = None) -> AsyncIterator[Channel]:
    """A channel to the agent at an address such as `unix:///var/run/lictor/lictor.sock`."""
    where = address.parse(text)
    channel = Channel(path=where.path) if where.path else _tcp(where, tls)
    try:
        with _explained(where):
            yield channel
    finally:
        channel.close()


def _tcp(where: address.Address, tls: TlsClient | None) -> Channel:
    if tls is None:
        return Channel(where.host, where.port)
    ca, cert, key, name, verify = tls
    config = Configuration(ssl_target_name_override=name or None)
    return Channel(where.host, where.port, ssl=client_context(ca, cert, key, verify), config=config)


async def call(channel: Channel, method: str, request: Message, kind: type[_Answer]) -> _Answer:
    """One question and its answer. `method` without a service is one of FineGuidanceSensors."""
    name = method if method.startswith("/") else f"{SERVICE}{method}"
    return await UnaryUnaryMethod(channel, name, type(request), kind)(request)


async def events(
    channel: Channel, request: events_pb2.GetEventsRequest, opened: Callable[[], None] = lambda: None
) -> AsyncIterator[dict[str, Any]]:
    """Follow the agent: each event as its JSON object, until the agent ends. `filters.to_request` makes requests.

    `opened` is called when the agent has begun to follow: what happens from then on is told.
    """
    method = UnaryStreamMethod(
        channel,
        f"{SERVICE}GetEvents",
        events_pb2.GetEventsRequest,
        events_pb2.GetEventsResponse,
    )
    async with method.open() as stream:
        await stream.send_message(request, end=True)
        await stream.recv_initial_metadata()
        opened()
        async for message in stream:
            yield MessageToDict(message, preserving_proto_field_name=True)


@contextlib.contextmanager
def _explained(where: address.Address) -> Any:
    try:
        yield
    except GRPCError as error:
        if error.status in _PLAIN and error.message:
            raise LictorError(error.message) from error
        raise LictorError(f"the agent at {where} says {error.status.name}: {error.message}") from error
    except StreamTerminatedError as error:
        raise AgentAwayError(f"the connection to the agent at {where} broke", "look at the agent's log") from error
    except PermissionError as error:
        raise LictorError(
            f"you may not open {where}", "run this as root or as a member of the socket's group"
        ) from error
    except (ConnectionError, FileNotFoundError, OSError) as error:
        reason = error.strerror or str(error)
        raise AgentAwayError(
            f"no agent answers at {where} ({reason})", "start one with `lictor agent`, or name its --server-address"
        ) from error
