"""The export process: takes blocks of JSON lines from the agent and delivers them to every target.

It is a process of its own, so that neither the memory of client libraries nor a dead receiver is the agent's. A block
is answered with one byte when it is in the spools; the agent sends what was not answered to the next process.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from lictor import log
from lictor.clock import WallClock
from lictor.export import targets
from lictor.export.confine import confine
from lictor.export.counters import SharedCounters
from lictor.export.delivery import Delivery
from lictor.export.formats import convert_to
from lictor.export.senders.base import Factory
from lictor.export.spool import Spool
from lictor.model.event import LossEvent
from lictor.model.json import JsonWriter

_log = log.get("export")
FRAME = struct.Struct("<I")  # bytes of the block that follows
DONE = b"\x01"
_LIMIT = 1 << 20

_SENDERS = {
    "unix": ("stream", "StreamSender"),
    "fifo": ("stream", "FifoSender"),
    "syslog+tcp": ("syslog", "SyslogSender"),
    "syslog+tls": ("syslog", "SyslogSender"),
    "http": ("http", "HttpSender"),
    "https": ("http", "HttpSender"),
    "otlp": ("otlp", "OtlpSender"),
    "otlp+tls": ("otlp", "OtlpSender"),
    "otlp+grpc": ("otlp_grpc", "OtlpGrpcSender"),
    "otlp+grpc+tls": ("otlp_grpc", "OtlpGrpcSender"),
    "nats": ("nats", "NatsSender"),
    "nats+js": ("nats", "NatsSender"),
    "nats+tls": ("nats", "NatsSender"),
    "nats+js+tls": ("nats", "NatsSender"),
    "kafka": ("kafka", "KafkaSender"),
    "kafka+tls": ("kafka", "KafkaSender"),
}


class Plan(msgspec.Struct, frozen=True):
    """What the agent tells its export process, as JSON in the first argument."""

    urls: tuple[str, ...]
    spool_dir: str
    spool_bytes: int
    node_name: str
    cluster_name: str
    extras: bool
    log_level: str
    log_format: str
    drain_s: float = 3.0  # what is not delivered so long after the end waits for the next process
    socket_fd: int = -1
    counters_fd: int = -1


def sender_of(target: targets.Target) -> Factory:
    """The class that sends to it; its module is imported here and not before."""
    module, name = _SENDERS[target.scheme]
    factory: Factory = getattr(importlib.import_module(f"lictor.export.senders.{module}"), name)
    return factory


class Worker:
    """All deliveries of a plan."""

    def __init__(self, plan: Plan) -> None:
        found = targets.parse_all(plan.urls)
        self._plan = plan
        self._counters = SharedCounters(len(found), plan.counters_fd)
        self._writer = JsonWriter(WallClock(), plan.node_name, plan.cluster_name, plan.extras)
        self.deliveries = [
            Delivery(
                target.name,
                Spool(Path(plan.spool_dir, target.directory), target.spool_bytes or plan.spool_bytes),
                sender_of(target)(target),
                convert_to(target.format),
                row,
                self._gap_of(target.name),
            )
            for target, row in zip(found, self._counters.rows, strict=True)
        ]

    async def run(self) -> None:
        """Until the agent closes the socket; then for a short while, until all is delivered."""
        tasks = [asyncio.create_task(one.run(), name=one.name) for one in self.deliveries]
        taking = asyncio.create_task(self._take(), name="take")
        await asyncio.wait((taking, *tasks), return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                await task  # a defect: end with its traceback, the agent starts a new process
        await taking
        waiting = [asyncio.create_task(one.until_empty()) for one in self.deliveries]
        await asyncio.wait(waiting, timeout=self._plan.drain_s)
        for task in (*waiting, *tasks):
            task.cancel()
        await asyncio.wait(tasks, timeout=1)
        for one in self.deliveries:
            one.close()

    async def _take(self) -> None:
        connection = socket.socket(fileno=self._plan.socket_fd)
        reader, writer = await asyncio.open_connection(sock=connection, limit=_LIMIT)
        try:
            while True:
                (length,) = FRAME.unpack(await reader.readexactly(FRAME.size))
                block = await reader.readexactly(length)
                for one in self.deliveries:
                    one.take(block)
                writer.write(DONE)
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    def _gap_of(self, name: str) -> Callable[[int, str], bytes]:
        def gap(dropped: int, why: str) -> bytes:
            now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            return self._writer.line(LossEvent(now, dropped, name, why)).encode()

        return gap


def main() -> None:
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    log.setup(plan.log_level, plan.log_format)
    confine()
    # What the libraries have to say, the deliveries say once.
    for library in ("aiokafka", "nats", "grpclib"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    asyncio.run(Worker(plan).run())
    # A thread may still wait for a receiver that does not answer; everything that counts is on disk.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
