"""A client of the API, for the command line. Every failure is a LictorError that says what to do."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.json_format import MessageToDict
from grpclib.client import Channel, UnaryStreamMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from lictor.api import address
from lictor.api.pb.tetragon import events_pb2
from lictor.errors import LictorError


@contextlib.asynccontextmanager
async def connect(text: str) -> AsyncIterator[Channel]:
    """A channel to the agent at an address such as `unix:///var/run/lictor/lictor.sock`."""
    where = address.parse(text)
    channel = Channel(path=where.path) if where.path else Channel(where.host, where.port)
    try:
        with _explained(where):
            yield channel
    finally:
        channel.close()


async def events(channel: Channel, request: events_pb2.GetEventsRequest) -> AsyncIterator[dict[str, Any]]:
    """Follow the agent: each event as its JSON object, until the agent ends. `filters.to_request` makes requests."""
    method = UnaryStreamMethod(
        channel,
        "/tetragon.FineGuidanceSensors/GetEvents",
        events_pb2.GetEventsRequest,
        events_pb2.GetEventsResponse,
    )
    async with method.open() as stream:
        await stream.send_message(request, end=True)
        async for message in stream:
            yield MessageToDict(message, preserving_proto_field_name=True)


@contextlib.contextmanager
def _explained(where: address.Address) -> Any:
    try:
        yield
    except GRPCError as error:
        if error.status is Status.INVALID_ARGUMENT and error.message:
            raise LictorError(error.message) from error
        raise LictorError(f"the agent at {where} says {error.status.name}: {error.message}") from error
    except StreamTerminatedError as error:
        raise LictorError(f"the connection to the agent at {where} broke", "look at the agent's log") from error
    except PermissionError as error:
        raise LictorError(
            f"you may not open {where}", "run this as root or as a member of the socket's group"
        ) from error
    except (ConnectionError, FileNotFoundError, OSError) as error:
        reason = error.strerror or str(error)
        raise LictorError(
            f"no agent answers at {where} ({reason})", "start one with `lictor agent`, or name its --server-address"
        ) from error
