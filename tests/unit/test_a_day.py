"""A day of events, one a second, replayed to a client and to a file: all are there, in order, at their times."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h2.events
import pytest
from serving import SERVICE, Serving
from test_conformance import Stranger, _messages, asked, framed

from lictor.api.protobuf import EventEncoder
from lictor.clock import WallClock
from lictor.model.event import Event, ExecEvent, ExitEvent
from lictor.model.forms import WholeForms
from lictor.model.hook import HookEvent, KprobeAction, KprobeBody
from lictor.model.json import JsonWriter
from lictor.model.process import Process

DAY = 86_400
BEGAN = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
STEP = 1_000_000_007  # not a whole second: nanoseconds of all lengths come by
CLOCK = WallClock(int(BEGAN.timestamp()) * 1_000_000_000)
PROCESSES = [
    WholeForms(
        Process(exec_id=f"id-{number}", pid=number, tid=number, binary="/bin/true", start_time="2026-11-25T12:00:00Z")
    )
    for number in range(1, 98)
]


def event(number: int) -> Event:
    process, parent = PROCESSES[number % 97], PROCESSES[number % 89]
    match number % 3:
        case 0:
            return ExitEvent(number * STEP, process, parent, "", number % 256)
        case 1:
            body = KprobeBody(function_name=f"f{number % 7}", policy_name="p", action=KprobeAction.POST)
            return HookEvent(number * STEP, process, parent, 1 + number % 97 + number % 2, body)
    return ExecEvent(number * STEP, process, parent)


def when(number: int) -> tuple[int, int]:
    """Seconds and nanoseconds of an event."""
    return divmod(number * STEP + CLOCK.offset, 1_000_000_000)


def test_a_client_gets_the_whole_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.EventEncoder", lambda _clock, node: EventEncoder(CLOCK, node))
    serving = Serving(str(tmp_path / "api.sock"))
    client = Stranger.settled(serving.path, 1 << 22)
    client.connection.increment_flow_control_window(1 << 24)
    stream = client.open(asked(f"{SERVICE}GetEvents"))
    client.send(stream, framed(b""))

    def replay() -> None:
        while not len(serving.server.listeners):
            serving.accept()
        for first in range(0, DAY, 400):
            # No more than the queue holds: whoever keeps up loses nothing.
            while any(len(one._frames) > 4000 for one in serving.server.listeners._all):
                serving.accept()
            serving.accept(*map(event, range(first, first + 400)))

    feeding = threading.Thread(target=replay)
    feeding.start()
    received, buffer = 0, b""
    while received < DAY:
        for got in client.connection.receive_data(client.socket.recv(1 << 18)):
            if isinstance(got, h2.events.DataReceived):
                buffer += got.data or b""
                client.connection.acknowledge_received_data(got.flow_controlled_length or 0, stream)
        client.flush()
        messages, buffer = _messages(buffer)
        for message in messages:
            assert (message.time.seconds, message.time.nanos) == when(received)
            assert message.WhichOneof("event") == ("process_exit", "process_kprobe", "process_exec")[received % 3]
            received += 1
    feeding.join()
    assert serving.server.listeners.dropped == 0
    client.close()
    serving.stop()


def test_a_file_has_the_whole_day() -> None:
    line = JsonWriter(CLOCK, "node").line
    for number in range(0, DAY, 7):
        found = json.loads(line(event(number)))
        kind = ("process_exit", "process_kprobe", "process_exec")[number % 3]
        assert found[kind]["process"]["exec_id"] == PROCESSES[number % 97].exec_id
        if kind != "process_exec":  # an exec is shown at the time at which its image began
            stamp = datetime.fromisoformat(found["time"][:19] + "+00:00")
            assert stamp == BEGAN + timedelta(seconds=when(number)[0] - int(BEGAN.timestamp()))
            fraction = found["time"][20:-1]
            assert int(fraction.ljust(9, "0") if fraction else 0) == when(number)[1]
