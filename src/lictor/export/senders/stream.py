"""Receivers that take a stream of bytes and say nothing: unix sockets, named pipes, and the base of syslog.

The kernel tells how many bytes the other side has not taken yet; what it has taken counts as received.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import stat
import struct
import termios
from collections.abc import Sequence

from lictor.export.senders.base import Message, UnreachableError
from lictor.export.targets import Target


class StreamSender:
    """Lines to a unix socket. Subclasses open other things, and frame otherwise."""

    lag: float | None = 0.0
    _not_taken = termios.TIOCOUTQ

    def __init__(self, target: Target) -> None:
        self.target = target
        self.sent = 0
        self._writer: asyncio.StreamWriter | None = None
        self._gone: asyncio.Task[None] | None = None
        self._fd = -1

    async def connect(self) -> None:
        self.sent = 0
        reader, self._writer, self._fd = await self._open()
        self._gone = asyncio.create_task(self._until_gone(reader))

    async def send(self, messages: Sequence[Message]) -> int:
        assert self._writer is not None
        self._must_be_there()
        data = b"".join(map(self.frame, messages))
        self._writer.write(data)
        self.sent += len(data)
        await self._writer.drain()
        return 0

    def frame(self, message: Message) -> bytes:
        return message.text + b"\n"

    def acknowledged(self) -> int:
        assert self._writer is not None
        self._must_be_there()
        (waiting,) = struct.unpack("i", fcntl.ioctl(self._fd, self._not_taken, bytes(4)))
        taken = self.sent - self._writer.transport.get_write_buffer_size() - int(waiting)
        # Looked at again: what a dead receiver had not read is no longer waiting either.
        self._must_be_there()
        return taken

    def _must_be_there(self) -> None:
        assert self._writer is not None
        # A transport that is closing takes data and drops it, and its descriptor may be another's soon.
        gone = self._writer.transport.is_closing()
        if not gone:
            look = select.poll()
            look.register(self._fd, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
            gone = bool(look.poll(0))
        if gone:
            raise UnreachableError("the receiver closed the connection")

    async def lost_contact(self) -> None:
        assert self._gone is not None
        await asyncio.shield(self._gone)

    async def close(self) -> None:
        if self._gone is not None:
            self._gone.cancel()
        # A pipe's transport that has closed itself must not be closed again.
        if self._writer is not None and not self._writer.transport.is_closing():
            self._writer.transport.abort()
        self._writer = self._gone = None

    async def _open(self) -> tuple[asyncio.StreamReader | None, asyncio.StreamWriter, int]:
        reader, writer = await asyncio.open_unix_connection(self.target.path)
        return reader, writer, writer.get_extra_info("socket").fileno()

    async def _until_gone(self, reader: asyncio.StreamReader | None) -> None:
        assert reader is not None
        try:
            while await reader.read(4096):
                pass
        except OSError:
            pass


class FifoSender(StreamSender):
    """Lines to a named pipe, whose reader may come and go."""

    _not_taken = termios.FIONREAD

    async def _open(self) -> tuple[asyncio.StreamReader | None, asyncio.StreamWriter, int]:
        fd = os.open(self.target.path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        if not stat.S_ISFIFO(os.fstat(fd).st_mode):
            os.close(fd)
            raise UnreachableError(f"{self.target.path} is no named pipe")
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(fd, "wb", 0)
        transport, protocol = await loop.connect_write_pipe(lambda: _PipeProtocol(loop), pipe)
        self._closed = protocol.closed
        return None, asyncio.StreamWriter(transport, protocol, None, loop), fd

    async def _until_gone(self, _reader: asyncio.StreamReader | None) -> None:
        await self._closed.wait()


class _PipeProtocol(asyncio.streams.FlowControlMixin):
    """Says when the last reader has closed the pipe."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.closed = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.closed.set()
