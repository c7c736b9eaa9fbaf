"""Syslog as RFC 5424 has it, octet-counted over TCP (RFC 6587) or TLS (RFC 5425).

Syslog has no receipts. What the receiver's kernel took is believed after two quiet seconds; when the connection
breaks, all that is younger is sent again.
"""

from __future__ import annotations

import asyncio

from lictor.export.senders import secrets
from lictor.export.senders.base import Message, envelope
from lictor.export.senders.stream import StreamSender
from lictor.export.targets import Target

_INFO, _WARNING = 6, 4
_LOSS = "rate_limit_info"


class SyslogSender(StreamSender):
    """MSGID is the kind of event, HOSTNAME the node, APP-NAME `lictor`; MSG is the event."""

    lag = 2.0

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._facility = int(target.options.get("facility", "13"))

    def frame(self, message: Message) -> bytes:
        kind, around = envelope(message.native)
        priority = self._facility * 8 + (_WARNING if kind == _LOSS else _INFO)
        # The header is ASCII, its time has six digits at most, and the name of a host no blanks.
        host = "".join(c if "!" <= c <= "~" else "-" for c in around.node_name)[:255] or "-"
        head = f"<{priority}>1 {_microseconds(around.time) or '-'} {host} lictor - {kind} - "
        text = head.encode() + message.text
        return b"%d %b" % (len(text), text)

    async def _open(self) -> tuple[asyncio.StreamReader | None, asyncio.StreamWriter, int]:
        encrypted = secrets.tls(self.target) if self.target.scheme == "syslog+tls" else None
        reader, writer = await asyncio.open_connection(self.target.host, self.target.port, ssl=encrypted)
        return reader, writer, writer.get_extra_info("socket").fileno()


def _microseconds(stamp: str) -> str:
    whole, dot, fraction = stamp.removesuffix("Z").partition(".")
    return f"{whole}{dot}{fraction[:6]}Z" if stamp else ""
