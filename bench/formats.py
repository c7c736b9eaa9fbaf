"""What it costs to turn an event's JSON line into what a receiver gets. One core, this machine.

    python bench/formats.py [COUNT]

Events of hooks come from ten processes; each exec and exit is of a process that was not there before. The raw results
go to bench/results/DATE-formats.json.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import events as made
import measure

from lictor.clock import WallClock
from lictor.export import targets
from lictor.export.formats import convert_to
from lictor.export.senders.base import Message
from lictor.export.senders.otlp import OtlpSender
from lictor.model.event import ExecEvent, ExitEvent
from lictor.model.json import JsonWriter

ROUNDS = 5
BATCH = 200


def lines(count: int) -> dict[str, list[bytes]]:
    """Events of two sorts as the agent writes them."""
    writer, parent = JsonWriter(WallClock(), "node-1"), made.process(227, "")
    images = [made.process(300 + number, f"-x {number}") for number in range(10)]
    hooks = [made.event(number * 7919, images[number % 10], parent, 300 + number % 10) for number in range(count)]
    shells = [made.process(1000 + number, f"-c 'echo {number}'") for number in range(count // 2)]
    pairs = [
        pair for n, one in enumerate(shells) for pair in (ExecEvent(n, one, parent), ExitEvent(n, one, parent, "", 0))
    ]
    return {
        "hooks": [writer.line(one).rstrip().encode() for one in hooks],
        "exec_and_exit": [writer.line(one).rstrip().encode() for one in pairs],
    }


def cost(natives: Sequence[bytes], make: Callable[[], Callable[[bytes], object]]) -> float:
    """µs of CPU per event; the best of some rounds, each of which begins with nothing kept."""
    found = []
    for _ in range(ROUNDS):
        convert = make()
        began = time.process_time()
        for native in natives:
            convert(native)
        found.append((time.process_time() - began) / len(natives) * 1e6)
    return round(min(found), 2)


def otlp(natives: Sequence[bytes]) -> float:
    """The same for OTLP, whose request holds many events."""
    sender = OtlpSender(targets.parse_all(["otlp://localhost:4318"])[0])
    messages = [Message(native, native) for native in natives]
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for start in range(0, len(messages), BATCH):
            sender.body(messages[start : start + BATCH])
        found.append((time.process_time() - began) / len(messages) * 1e6)
    return round(min(found), 2)


def converter(form: str) -> Callable[[bytes], bytes]:
    found = convert_to(form)
    assert found is not None
    return found


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    result: dict[str, object] = {"python": platform.python_version(), "count": count}
    for sort, natives in lines(count).items():
        costs = {form: cost(natives, lambda form=form: converter(form)) for form in ("ecs", "ocsf", "cef")}  # type: ignore[misc]
        result[f"{sort}_us"] = costs | {"otlp": otlp(natives)}
    path = measure.ROOT / "bench" / "results" / f"{datetime.now(UTC):%Y-%m-%d}-formats.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
