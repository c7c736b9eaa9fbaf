"""The Kafka protocol. Messages are believed when all replicas in sync have them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from lictor.export.senders import secrets
from lictor.export.senders.base import Message, UnreachableError
from lictor.export.targets import Target

_TIMEOUT_MS = 15_000
_LARGEST = 1_000_000  # bytes; brokers take 1 MiB by default


class KafkaSender:
    """Messages larger than a broker takes are refused."""

    lag: float | None = None

    def __init__(self, target: Target) -> None:
        self.target = target
        self.sent = 0
        self._producer: AIOKafkaProducer | None = None

    async def connect(self) -> None:
        options = self.target.options
        security: dict[str, object] = {}
        if self.target.scheme == "kafka+tls":
            security = {"security_protocol": "SSL", "ssl_context": secrets.tls(self.target)}
            if "user" in options:
                security |= {
                    "security_protocol": "SASL_SSL",
                    "sasl_mechanism": "PLAIN",
                    "sasl_plain_username": options["user"],
                    "sasl_plain_password": secrets.read(self.target, "password-file"),
                }
        self._producer = AIOKafkaProducer(
            bootstrap_servers=[f"{host}:{port}" for host, port in self.target.hosts],
            acks="all",
            client_id="lictor",
            request_timeout_ms=_TIMEOUT_MS,
            max_request_size=_LARGEST,
            linger_ms=5,
            **security,
        )
        try:
            await self._producer.start()
        except KafkaError as error:
            raise UnreachableError(f"Kafka: {error}") from error

    async def send(self, messages: Sequence[Message]) -> int:
        assert self._producer is not None
        refused = 0
        sending = []
        try:
            for message in messages:
                try:
                    done = await self._producer.send(self.target.path, message.text)
                    done.add_done_callback(_seen)
                    sending.append(done)
                except MessageSizeTooLargeError:
                    refused += 1
            for one in asyncio.as_completed(sending):
                try:
                    await one
                except MessageSizeTooLargeError:
                    refused += 1
        except KafkaError as error:
            raise UnreachableError(f"Kafka: {error}") from error
        return refused

    def acknowledged(self) -> int:
        return self.sent

    async def lost_contact(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()


def _seen(done: asyncio.Future[Any]) -> None:
    """One failure stands for all of a batch; the library would complain of those that nobody asked about."""
    if not done.cancelled():
        done.exception()
