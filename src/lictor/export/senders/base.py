"""What a sender is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from lictor.export.targets import Target


class Message(NamedTuple):
    """One event: its JSON line as the agent made it, and the text that the receiver gets."""

    native: bytes
    text: bytes


class UnreachableError(Exception):
    """Not now: try again, after `after` seconds if the receiver said so. OSError and TimeoutError mean the same."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


class Sender(Protocol):
    """Connects, sends, and says what the receiver has.

    `send` returns how many of the messages the receiver refused for good. With `lag` None the receiver has the others
    then. Else it has them when `acknowledged` has reached what `sent` is after the call and `lag` seconds have passed.
    """

    lag: float | None
    sent: int

    async def connect(self) -> None: ...

    async def send(self, messages: Sequence[Message]) -> int: ...

    def acknowledged(self) -> int: ...

    async def lost_contact(self) -> None:
        """Return when the connection is gone."""

    async def close(self) -> None: ...


Factory = Callable[[Target], Sender]


class Envelope(msgspec.Struct):
    """What every event has around its body. `time` is RFC 3339."""

    time: str = ""
    node_name: str = ""


_envelope = msgspec.json.Decoder(Envelope)


def envelope(native: bytes) -> tuple[str, Envelope]:
    """The kind of an event, such as `process_exec`, and what is around its body."""
    return native[2 : native.index(b'"', 2)].decode(), _envelope.decode(native)
