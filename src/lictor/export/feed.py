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
        self.targets = tuple(targets)
        self._plan = plan
        self._counters = SharedCounters(len(targets))
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self.restarts = -1
        self._start()
        super().__init__("export process", "it was too slow", line, self._hand_over, room)

    def rows(self) -> list[tuple[str, Row]]:
        return [(target.name, row) for target, row in zip(self.targets, self._counters.rows, strict=True)]

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
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            try:
                self._process.wait(self._plan.drain_s + 3)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._counters.close()

    def _hand_over(self, block: bytes, events: int) -> int:
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
            plan = msgspec.structs.replace(self._plan, socket_fd=theirs.fileno(), counters_fd=self._counters.fd)
            # In a session of its own: Ctrl-C is for the agent, which tells it when to end.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lictor.export.worker", msgspec.json.encode(plan).decode()],
                pass_fds=(theirs.fileno(), self._counters.fd),
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
