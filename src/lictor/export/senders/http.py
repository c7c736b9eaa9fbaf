"""POST of JSON lines to a web hook, and the base of OTLP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import ssl
from collections.abc import Sequence

from lictor import __version__
from lictor.export.senders import secrets
from lictor.export.senders.base import Message, UnreachableError
from lictor.export.targets import Target

_TIMEOUT_S = 15.0
_ANSWER = 64 << 10  # bytes of an answer that are read
_REFUSED = (400, 413, 422)  # this request, now and for ever; everything else may be mended on the other side


class HttpSender:
    """Answers of 2xx are receipts. A request that is refused is halved until the one bad event is alone."""

    lag: float | None = None
    content_type = "application/x-ndjson"

    def __init__(self, target: Target) -> None:
        self.target = target
        self.sent = 0
        self._connection: http.client.HTTPConnection | None = None
        self._headers: dict[str, str] = {}

    async def connect(self) -> None:
        await asyncio.to_thread(self._connect)

    async def send(self, messages: Sequence[Message]) -> int:
        return await asyncio.to_thread(self._send, messages)

    def acknowledged(self) -> int:
        return self.sent

    async def lost_contact(self) -> None:
        # A connection that was closed while nothing was sent is opened anew by the next request.
        await asyncio.Event().wait()

    async def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()

    def body(self, messages: Sequence[Message]) -> bytes:
        return b"".join(message.text + b"\n" for message in messages)

    def refused(self, answer: bytes, messages: Sequence[Message]) -> int:  # noqa: ARG002 (subclasses read it)
        """How many messages an answer of 2xx refuses all the same."""
        return 0

    def _connect(self) -> None:
        target = self.target
        self._headers = {"Content-Type": self.content_type, "User-Agent": f"lictor/{__version__}"}
        if token := secrets.read(target, "token-file"):
            self._headers["Authorization"] = f"Bearer {token}"
        if "user" in target.options:
            pair = f"{target.options['user']}:{secrets.read(target, 'password-file')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        context: ssl.SSLContext | None = secrets.tls(target) if target.scheme in ("https", "otlp+tls") else None
        if context is not None:
            self._connection = http.client.HTTPSConnection(
                target.host, target.port, timeout=_TIMEOUT_S, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(target.host, target.port, timeout=_TIMEOUT_S)
        self._connection.connect()

    def _send(self, messages: Sequence[Message]) -> int:
        status, answer, after = self._post(self.body(messages))
        if 200 <= status < 300:
            return self.refused(answer, messages)
        if status not in _REFUSED:
            raise UnreachableError(f"the receiver answers {status}", after)
        if len(messages) == 1:
            return 1
        half = len(messages) // 2
        return self._send(messages[:half]) + self._send(messages[half:])

    def _post(self, body: bytes) -> tuple[int, bytes, float]:
        assert self._connection is not None
        try:
            self._connection.request("POST", f"/{self.target.path}", body, self._headers)
            response = self._connection.getresponse()
            answer = response.read(_ANSWER)
            if not response.isclosed():
                self._connection.close()  # a longer answer than we care for
        except http.client.HTTPException as error:
            raise UnreachableError(f"the receiver speaks no HTTP: {error!r}") from error
        after = response.getheader("Retry-After", "")
        return response.status, answer, float(after) if after.isdigit() else 0.0
