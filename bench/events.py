"""What it costs to make the bytes of a hook event: process known, three arguments. One core, this machine.

    python bench/events.py [COUNT]

The raw results go to bench/results/DATE-events.json.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import measure

from lictor.api.protobuf import EventEncoder
from lictor.clock import WallClock
from lictor.model.arguments import FileArg, IntArg, Path, StringArg
from lictor.model.forms import ProcessForms, Template, TemplateForms
from lictor.model.hook import HookEvent, KprobeAction, KprobeBody
from lictor.model.json import JsonWriter
from lictor.model.process import Process, ProcessExtra

ROUNDS = 7
_POST = KprobeAction.POST


def process(pid: int, arguments: str) -> ProcessForms:
    template = Template(
        Process(uid=0, cwd="/root", binary="/usr/bin/cat", flags="execve clone", auid=4294967295, in_init_tree=False),
        ProcessExtra(cgroup="/user.slice/session-1.scope", cgroup_id="12345", session_id=88),
    )
    stamp = "2026-11-25T07:10:15.735186076Z"
    return TemplateForms(template, "bm9kZTo1ODg4NDEzNTI2ODoyMjA=", pid, stamp, "bm9kZTo3NDAwMDoxMzM=", arguments, None)


def event(number: int, image: ProcessForms, parent: ProcessForms, tid: int) -> HookEvent:
    """Made anew for each one, as from a record."""
    body = KprobeBody(
        function_name="security_file_permission",
        args=(
            FileArg(Path("", f"/etc/shadow{number % 1000}", "", "-rw-r-----")),
            IntArg(number % 8),
            StringArg("user.attribute"),
        ),
        return_=IntArg(0),
        action=_POST,
        policy_name="file-monitoring-filtered",
        return_action=_POST,
    )
    return HookEvent(number * 1000 + 1, image, parent, tid, body)


def rates(count: int, make: Callable[[HookEvent], object]) -> list[int]:
    """Events per second of CPU time, in `ROUNDS` rounds. Every second event comes from a second thread."""
    image, parent = process(228, "/etc/shadow"), process(227, '-c "cat /etc/shadow >/dev/null"')
    found = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for number in range(count):
            make(event(number, image, parent, 228 + number % 2))
        found.append(round(count / (time.process_time() - began)))
    return found


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    clock = WallClock()
    result = {
        "python": platform.python_version(),
        "kernel": os.uname().release,
        "count": count,
        "value_only_per_s": rates(count, lambda one: one),
        "json_per_s": rates(count, JsonWriter(clock, "node-1").line),
        "json_bytes": len(JsonWriter(clock, "node-1").line(event(0, process(1, "x"), process(2, "y"), 1))),
        "protobuf_per_s": rates(count, EventEncoder(clock, "node-1").encode),
    }
    path = measure.ROOT / "bench" / "results" / f"{datetime.now(UTC):%Y-%m-%d}-events.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
