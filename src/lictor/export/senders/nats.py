"""NATS: `nats` believes the server's answer to a ping behind the messages, `nats+js` that a stream has stored them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from lictor.export.senders import secrets
from lictor.export.senders.base import Message, UnreachableError
from lictor.export.targets import Target

_TIMEOUT_S = 10.0


class NatsSender:
    """Messages longer than the server takes are refused."""

    lag: float | None = None

    def __init__(self, target: Target) -> None:
        self.target = target
        self.sent = 0
        self._stored = target.scheme == "nats+js"
        self._client: Client | None = None
        self._gone = asyncio.Event()

    async def connect(self) -> None:
        self._gone = asyncio.Event()
        login = {}
        if "user" in self.target.options:
            login = {"user": self.target.options["user"], "password": secrets.read(self.target, "password-file")}

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
                await client.flush(int(_TIMEOUT_S))
        except (nats.errors.Error, nats.js.errors.Error) as error:
            raise UnreachableError(f"NATS: {error or type(error).__name__}") from error
        return len(messages) - len(fitting)

    def acknowledged(self) -> int:
        return self.sent

    async def lost_contact(self) -> None:
        await self._gone.wait()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
