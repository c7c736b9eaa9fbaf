#!/usr/bin/env python3
"""Proof: receivers that are dead for a minute under load miss nothing. Root, rsyslogd, nats-server.

python tools/outage.py [SECONDS]    how long the receivers are dead; 60 without

An agent exports to its file and to three receivers at once; 200 processes a second are started; the receivers are
killed in the middle. At the end each must have every event of those processes that is in the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import nats

LICTOR = Path(sys.executable).parent / "lictor"
NATS = shutil.which("nats-server") or str(Path(sys.executable).parent / "nats-server")
BEFORE_S, AFTER_S, PATIENCE_S = 5.0, 5.0, 120.0
HOOK = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[2], "ab") as file:
            file.write(body)
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
RSYSLOG = """
global(maxMessageSize="256k" workDirectory="{place}")
module(load="imtcp")
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="t" type="string" string="%msg%\\n")
action(type="omfile" file="{place}/syslog" template="t")
"""
LOAD = """
import os, sys, time
end, step = time.monotonic() + float(sys.argv[1]), time.monotonic()
while time.monotonic() < end:
    os.waitpid(os.posix_spawn("/bin/true", ["/bin/true", sys.argv[2]], {}), 0)
    step += 0.005
    time.sleep(max(0, step - time.monotonic()))
"""


class Receivers:
    """rsyslog, NATS with a stream, and a web hook, on ports of their own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.syslog, self.nats, self.hook = (_free_port() for _ in range(3))
        (place / "rsyslog.conf").write_text(RSYSLOG.format(place=place, port=self.syslog))
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        commands = (
            ["rsyslogd", "-n", "-f", f"{self.place}/rsyslog.conf", "-i", f"{self.place}/pid"],
            [NATS, "-a", "127.0.0.1", "-p", str(self.nats), "-js", "-sd", f"{self.place}/nats"],
            [sys.executable, "-c", HOOK, str(self.hook), f"{self.place}/hook"],
        )
        self._running = [
            subprocess.Popen(one, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for one in commands
        ]
        for port in (self.syslog, self.nats, self.hook):
            _until(partial(_listens, port), "the receivers")

    def kill(self) -> None:
        for one in self._running:
            one.kill()
            one.wait()

    async def stream(self) -> None:
        client = await nats.connect(f"nats://127.0.0.1:{self.nats}")
        await client.jetstream().add_stream(name="events", subjects=["events"])
        await client.close()

    async def stored(self) -> list[bytes]:
        """Every message of the stream."""
        client = await nats.connect(f"nats://127.0.0.1:{self.nats}")
        stream = client.jetstream()
        count = (await stream.stream_info("events")).state.messages
        reading = await stream.subscribe("events", ordered_consumer=True)
        found = [(await reading.next_msg(timeout=10)).data for _ in range(count)]
        await client.close()
        return found


def ids(lines: list[bytes], marker: str) -> set[str]:
    """Kind and exec_id of every event of the marked processes."""
    found = set()
    for line in lines:
        if marker.encode() in line:
            kind, body = next(iter(json.loads(line).items()))
            if body["process"].get("arguments") == marker:
                found.add(f"{kind} {body['process']['exec_id']}")
    return found


def main() -> None:
    dead = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    marker = secrets.token_hex(8)
    with tempfile.TemporaryDirectory() as name, _agent(Path(name)) as receivers:
        place = receivers.place
        load = subprocess.Popen([sys.executable, "-c", LOAD, str(BEFORE_S + dead + AFTER_S), marker])
        time.sleep(BEFORE_S)
        receivers.kill()
        time.sleep(dead)
        receivers.start()
        load.wait()

        def missing() -> dict[str, int]:
            wanted = ids((place / "events.json").read_bytes().splitlines(), marker)
            got = {
                "syslog": (place / "syslog").read_bytes().splitlines(),
                "web hook": (place / "hook").read_bytes().splitlines(),
                "NATS": asyncio.run(receivers.stored()),
            }
            return {name: len(wanted - ids(lines, marker)) for name, lines in got.items()}

        end = time.monotonic() + PATIENCE_S
        while any(missing().values()) and time.monotonic() < end:
            time.sleep(2)
        count = len(ids((place / "events.json").read_bytes().splitlines(), marker))
        left = missing()
        print(f"{count} events, receivers dead for {dead:g} s; missing at the end: {left}")
        receivers.kill()
        sys.exit(1 if any(left.values()) or not count else 0)


@contextlib.contextmanager
def _agent(place: Path) -> Iterator[Receivers]:
    receivers = Receivers(place)
    receivers.start()
    asyncio.run(receivers.stream())
    targets = (
        f"syslog+tcp://127.0.0.1:{receivers.syslog}",
        f"nats+js://127.0.0.1:{receivers.nats}/events",
        f"http://127.0.0.1:{receivers.hook}/",
    )
    command = [str(LICTOR), "agent", "--pid-file", "", "--info-file", "", "--server-address", ""]
    command += ["--export-filename", f"{place}/events.json", "--export-file-max-size-mb", "4096"]
    command += ["--export-spool-dir", f"{place}/spool", *(word for one in targets for word in ("--export-to", one))]
    with (place / "log").open("w") as log:
        agent = subprocess.Popen(command, stderr=log)
    try:
        _until(lambda: " is ready" in (place / "log").read_text(), "the agent")
        yield receivers
    finally:
        agent.terminate()
        agent.wait()


def _until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"waited in vain for {what}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("needs root to load BPF programs")
    main()
