"""One call of the API: its request within limits, its caller's rights, and what its failures become.

A mistake of the caller is told to the caller; a failure of ours is told to both, with the reason in our log alone.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import h2.exceptions
from google.protobuf.message import DecodeError, Message
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from lictor import log
from lictor.api.access import Access, Right, caller
from lictor.api.ports import NoSuchPolicyError, PolicyExistsError
from lictor.errors import LictorError

_log = log.get("api")
MAX_REQUEST = 4 << 20  # gRPC's usual limit
Run = Callable[[Any], Awaitable[None]]
Answer = Callable[[Any], Awaitable[Message]]
_Request = TypeVar("_Request", bound=Message)


async def request(stream: Stream[Any, Any], kind: type[_Request]) -> _Request:
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


def unary(kind: type[Message], answer: Answer) -> Run:
    """A method that answers one request with one message."""

    async def run(stream: Stream[Any, Any]) -> None:
        await stream.send_message(await answer(await request(stream, kind)))

    return run


def unimplemented(name: str, why: str = "is not part of this version") -> Run:
    async def run(_stream: Stream[Any, Any]) -> None:
        raise GRPCError(Status.UNIMPLEMENTED, f"{name} {why}")

    return run


def guarded(name: str, run: Run, access: Access, right: Right) -> Run:
    """A method with its rights checked and its failures told."""

    async def call(stream: Stream[Any, Any]) -> None:
        try:
            if right is not Right.NOTHING:
                _check(name, caller(stream), access, right)
            await run(stream)
        except (GRPCError, asyncio.CancelledError):
            raise
        except LictorError as error:
            raise GRPCError(_status(error), str(error)) from error
        except h2.exceptions.ProtocolError as error:
            raise GRPCError(Status.CANCELLED, "the stream is closed") from error
        except Exception as error:
            _log.exception("%s failed", name)
            raise GRPCError(Status.INTERNAL, f"{name} failed; the agent's log says why") from error

    return call


def _check(name: str, who: Any, access: Access, right: Right) -> None:
    if not access.permits(who, right):
        _log.warning("%s was refused to %s", name, who)
        option = "server-writers" if right is Right.WRITE else "server-readers"
        raise GRPCError(Status.PERMISSION_DENIED, f"{who} may not {right.value}: the agent's {option} says who may")


def _status(error: LictorError) -> Status:
    if isinstance(error, NoSuchPolicyError):
        return Status.NOT_FOUND
    return Status.ALREADY_EXISTS if isinstance(error, PolicyExistsError) else Status.INVALID_ARGUMENT
