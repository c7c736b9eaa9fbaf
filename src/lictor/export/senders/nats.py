"""NATS: `nats` believes the server's answer to a ping behind the messages, `nats+js` that a stream has stored them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from lictor.export.senders import secrets
from lictor.export.senders.base import Message, UnreachableError
from lictor.export.targets import Target

_TIMEOUT_S = 10.0
_LOOK_S = 0.001


class NatsSender:
    """Messages longer than the server takes are refused."""

    lag: float | None = None

    def __init__(self, target: Target) -> None:
        self.target = target
        self.sent = 0
        self._stored = target.scheme.startswith("nats+js")
        self._client: Client | None = None
        self._gone = asyncio.Event()

    async def connect(self) -> None:
        self._gone = asyncio.Event()
        login: dict[str, Any] = {}
        if self.target.scheme.endswith("+tls"):
            login |= {"tls": secrets.tls(self.target), "tls_hostname": self.target.host}
        if "user" in self.target.options:
            login |= {"user": self.target.options["user"], "password": secrets.read(self.target, "password-file")}

        async def closed() -> None:
            self._gone.set()

        async def heard(_error: Exception) -> None:
            """What goes wrong is told by the calls themselves."""

        try:
            self._client = await nats.connect(
                f"nats://{self.target.host}:{self.target.port}",
                allow_reconnect=False,
                connect_timeout=int(_TIMEOUT_S),
                closed_cb=closed,
                disconnected_cb=closed,
                error_cb=heard,
                **login,
            )
        except nats.errors.Error as error:
            raise UnreachableError(f"NATS: {error}") from error

    async def send(self, messages: Sequence[Message]) -> int:
        client = self._client
        assert client is not None
        fitting = [message.text for message in messages if len(message.text) <= client.max_payload]
        try:
            if self._stored:
                stream = client.jetstream(timeout=_TIMEOUT_S)
                await asyncio.gather(*(stream.publish(self.target.path, text) for text in fitting))
            else:
                for text in fitting:
                    await client.publish(self.target.path, text)
                await self._answered(client)
        except (nats.errors.Error, nats.js.errors.Error) as error:
            raise UnreachableError(f"NATS: {error or type(error).__name__}") from error
        return len(messages) - len(fitting)

    async def _answered(self, client: Client) -> None:
        """Return when the server has answered a ping behind the messages. The library writes a ping past messages that
        it still holds, and takes a connection that has ended for an answer: so both are looked at here.
        """
        async with asyncio.timeout(_TIMEOUT_S):
            while client.pending_data_size and client.is_connected:
                await asyncio.sleep(_LOOK_S)
        await client.flush(int(_TIMEOUT_S))
        if not client.is_connected:
            raise UnreachableError("NATS: the server closed the connection")

    def acknowledged(self) -> int:
        return self.sent

    async def lost_contact(self) -> None:
        await self._gone.wait()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
