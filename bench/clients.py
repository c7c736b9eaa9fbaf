"""What a client of the event stream costs the agent: CPU of the server per message and client, on this machine.

    python bench/clients.py [EVENTS]

A server in a process of its own hands hook events (process known, three arguments) to one client as fast as it takes
them, then 5,000 a second to ten. The clients are processes that read and count. The raw results go to
bench/results/DATE-clients.json.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import platform
import socket
import struct
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import events as made
import h2.config
import h2.connection
import h2.events
import measure
import uvloop

from lictor.api.protobuf import EventEncoder
from lictor.api.server import ApiServer
from lictor.clock import WallClock
from lictor.model.event import LossEvent
from lictor.model.hook import HookEvent

BATCH = 500
PATH = "/tetragon.FineGuidanceSensors/GetEvents"
WINDOW = 1 << 24


def client(path: str, wanted: int, done: Any) -> None:
    """Read until so many messages came; puts (received, dropped) into the queue."""
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)
    connection = h2.connection.H2Connection(h2.config.H2Configuration())
    connection.initiate_connection()
    connection.increment_flow_control_window(WINDOW)
    headers = [
        (":method", "POST"), (":scheme", "http"), (":path", PATH), (":authority", "x"), ("te", "trailers"),
        ("content-type", "application/grpc"),
    ]  # fmt: skip
    connection.send_headers(1, headers)
    connection.send_data(1, struct.pack(">BI", 0, 0), end_stream=True)
    connection.increment_flow_control_window(WINDOW, 1)
    peer.sendall(connection.data_to_send())
    done.put("ready")
    received = 0
    buffer = b""
    while received < wanted:
        data = peer.recv(1 << 20)
        if not data:
            break
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                buffer += event.data or b""
                connection.acknowledge_received_data(event.flow_controlled_length or 0, 1)
        with contextlib.suppress(BrokenPipeError):  # the server has sent everything and is gone
            peer.sendall(connection.data_to_send())
        at = 0
        while len(buffer) - at >= 5:
            (size,) = struct.unpack_from(">I", buffer, at + 1)
            if len(buffer) - at < 5 + size:
                break
            at += 5 + size
            received += 1
        buffer = buffer[at:]
    done.put(received)


async def serve(path: str, count: int, clients: int, rate: int, found: Any) -> None:
    """`rate` 0: as fast as the clients take them."""
    encoder = EventEncoder(WallClock(), "node-1")
    server = ApiServer(encoder.encode, lambda dropped: LossEvent(1, dropped, "gRPC client", "slow"))
    await server.start([f"unix://{path}"])
    found.put("serving")
    while len(server.listeners) < clients:
        await asyncio.sleep(0.01)
    image, parent = made.process(228, "/etc/shadow"), made.process(227, '-c "cat /etc/shadow >/dev/null"')
    batches = [[made.event(n, image, parent, 228) for n in range(BATCH)] for _ in range(4)]
    idle = await _idle(batches, count)
    began, wall = time.process_time(), time.monotonic()
    for number in range(count // BATCH):
        server.accept(batches[number % 4])
        await _paced(server, number, rate, wall)
    while any(one._frames for one in server.listeners._all):
        await asyncio.sleep(0.001)
    spent, wall = time.process_time() - began - idle, time.monotonic() - wall
    found.put({"cpu_s": spent, "wall_s": wall, "dropped": server.listeners.dropped})
    await server.close()


async def _paced(server: ApiServer, number: int, rate: int, began: float) -> None:
    if rate:
        due = began + (number + 1) * BATCH / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        return
    await asyncio.sleep(0)
    while any(len(one._frames) > 4 * BATCH for one in server.listeners._all):
        await asyncio.sleep(0)


async def _idle(batches: list[list[HookEvent]], count: int) -> float:
    """CPU of the loop around it all, without a server."""
    began = time.process_time()
    for number in range(count // BATCH):
        len(batches[number % 4])
        await asyncio.sleep(0)
    return time.process_time() - began


def run_server(*arguments: Any) -> None:
    uvloop.run(serve(*arguments))


def measured(count: int, clients: int, rate: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        path = str(Path(directory) / "api.sock")
        context = multiprocessing.get_context("spawn")
        found, done = context.Queue(), context.Queue()
        server = context.Process(target=run_server, args=(path, count, clients, rate, found))
        server.start()
        assert found.get(timeout=60) == "serving"
        readers = [context.Process(target=client, args=(path, count, done)) for _ in range(clients)]
        for one in readers:
            one.start()
        result: dict[str, Any] = found.get(timeout=600)
        received = [one for _ in range(2 * clients) if (one := done.get(timeout=60)) != "ready"]
        for process in (server, *readers):
            process.join()
    result |= {
        "events": count,
        "clients": clients,
        "rate": rate,
        "received": received,
        "events_per_s": round(count / result["wall_s"]),
        "us_per_message_and_client": round(result["cpu_s"] / count / clients * 1e6, 2),
    }
    return result


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    result = {
        "python": platform.python_version(),
        "one_client": [measured(count, 1, 0) for _ in range(3)],
        "ten_clients": [measured(50_000, 10, 5000)],
    }
    path = measure.ROOT / "bench" / "results" / f"{datetime.now(UTC):%Y-%m-%d}-clients.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
