"""The agent's side of the export process: starts it, feeds it, and starts it anew when it dies."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lictor import log
from lictor.errors import LictorError
from lictor.export.counters import Row, SharedCounters
from lictor.export.outlet import Line, Outlet
from lictor.export.targets import SCHEMES, Target
from lictor.export.worker import DONE, FRAME, Plan
from lictor.export.writer import QUEUE_BYTES

_log = log.get("export")
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.1, 10.0


class Feed(Outlet):
    """Hands blocks to the export process, one at a time, each until the process has it on disk.

    `plan` is without descriptors. Raises LictorError when the spool directory or a library is not there.
    """

    def __init__(self, line: Line, targets: Sequence[Target], plan: Plan, room: int = QUEUE_BYTES) -> None:
        _check(targets, plan)
        self._plan = plan
        self._accounts = tuple(targets), SharedCounters(len(targets))
        self._former: list[SharedCounters] = []  # a scrape may still read them
        self._next: tuple[tuple[Target, ...], Plan] | None = None
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self.restarts = -1
        self._start()
        super().__init__("export process", "it was too slow", line, self._hand_over, room)

    @property
    def targets(self) -> tuple[Target, ...]:
        return self._accounts[0]

    def rows(self) -> list[tuple[str, Row]]:
        targets, counters = self._accounts
        return [(target.name, row) for target, row in zip(targets, counters.rows, strict=True)]

    def follow(self, targets: Sequence[Target]) -> None:
        """Send to these from now on, by a new process. What waits for others stays in their spools, until they are
        targets again. Raises LictorError, and changes nothing then.
        """
        plan = msgspec.structs.replace(self._plan, urls=tuple(one.url for one in targets))
        _check(targets, plan)
        self._next = tuple(targets), plan
        self._writer.put([], 0)  # the thread that feeds the process changes it

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def close(self) -> None:
        """Hand over what is queued; the process has a short while to deliver, the rest stays in its spools."""
        await super().close()
        self._closing.set()
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self._end_process()
        for one in (*self._former, self._accounts[1]):
            one.close()

    def _end_process(self) -> None:
        """It has a short while to deliver."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            try:
                self._process.wait(self._plan.drain_s + 3)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._socket = self._process = None

    def _change(self, targets: tuple[Target, ...], plan: Plan) -> None:
        """Two processes must not have one spool: the old one ends before the new one begins."""
        self._end_process()
        self._former.append(self._accounts[1])
        self._plan, self._accounts = plan, (targets, SharedCounters(len(targets)))
        if targets:
            self.restarts -= 1
            self._start()

    def _hand_over(self, block: bytes, events: int) -> int:
        if self._next is not None:
            following, self._next = self._next, None
            self._change(*following)
        if not self.targets:
            return 0
        delay = _FIRST_DELAY_S
        while True:
            try:
                self._send(block)
            except OSError:
                if self._closing.wait(delay):
                    return events
                delay = min(delay * 2, _LONGEST_DELAY_S)
                _log.error("the export process ended; it is started anew")
                self._start()
            else:
                return 0

    def _send(self, block: bytes) -> None:
        """Raises OSError when the process is not there, or ends before it has the block."""
        assert self._socket is not None
        self._socket.sendall(FRAME.pack(len(block)) + block)
        if self._socket.recv(1) != DONE:
            raise ConnectionResetError

    def _start(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._socket is not None:
            self._socket.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            plan = msgspec.structs.replace(self._plan, socket_fd=theirs.fileno(), counters_fd=self._accounts[1].fd)
            # In a session of its own: Ctrl-C is for the agent, which tells it when to end.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lictor.export.worker", msgspec.json.encode(plan).decode()],
                pass_fds=(theirs.fileno(), self._accounts[1].fd),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket = ours
        self.restarts += 1


def _check(targets: Sequence[Target], plan: Plan) -> None:
    from importlib.util import find_spec

    modules = {"nats": "nats", "otlp": "opentelemetry.proto", "kafka": "aiokafka"}
    for target in targets:
        extra = SCHEMES[target.scheme].library
        if extra and find_spec(modules[extra].partition(".")[0]) is None:
            raise LictorError(f"{target.name} needs a library that is not installed", f"pip install 'lictor[{extra}]'")
    try:
        Path(plan.spool_dir).mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LictorError(
            f"the spool directory {plan.spool_dir} cannot be made: {error.strerror}", "set export-spool-dir"
        ) from error
    if not os.access(plan.spool_dir, os.W_OK | os.X_OK):
        raise LictorError(f"the spool directory {plan.spool_dir} cannot be written", "set export-spool-dir")
