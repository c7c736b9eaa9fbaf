"""Events have the shape of the reference implementation's: the same commands as in its recorded output."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import RunningAgent

pytestmark = pytest.mark.kernel
RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "contract" / "process-events.jsonl").read_text().splitlines()
]
FORMS = {
    "exec_id": re.compile(r"[A-Za-z0-9+/]+=*"),
    "parent_exec_id": re.compile(r"[A-Za-z0-9+/]+=*"),
    "time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}|\d{6}|\d{9}))?Z"),
    "start_time": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}|\d{6}|\d{9}))?Z"),
}


def shape(value: Any) -> Any:
    """Keys in order, and the types of what they hold."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items() if key != "lictor"]
    return type(value).__name__


def recorded(kind: str, binary: str) -> dict[str, Any]:
    return next(event for event in RECORDED if kind in event and event[kind]["process"]["binary"] == binary)


def check_forms(value: dict[str, Any]) -> None:
    for key, inner in value.items():
        if isinstance(inner, dict):
            check_forms(inner)
        elif key in FORMS:
            assert FORMS[key].fullmatch(inner), (key, inner)


def test_the_same_commands_give_the_same_events(tmp_path: Path) -> None:
    # Without the switches that add fields: the recording was made with the defaults.
    agent = RunningAgent(tmp_path, "--no-extras")
    command = recorded("process_exec", "/usr/bin/sh")["process_exec"]["process"]["arguments"]
    assert command == '-c "cat /etc/passwd; id"'
    path = {"PATH": "/usr/bin"}
    shell = subprocess.Popen(
        ["/usr/bin/sh", "-c", "cat /etc/passwd; id"], cwd="/root", env=path, stdout=subprocess.DEVNULL
    )
    shell.wait()
    mine = agent.until_exit(shell.pid)
    children = [e for e in agent.events() if next(iter(e.values())).get("parent", {}).get("pid") == shell.pid]
    for binary, events in (("/usr/bin/sh", mine), ("/usr/bin/cat", children)):
        for kind in ("process_exec", "process_exit"):
            wanted = recorded(kind, binary)
            got = next(e for e in events if kind in e and e[kind]["process"]["binary"] == binary)
            assert shape(got) == shape(wanted)
            check_forms(got)
            for field in ("binary", "arguments", "cwd", "flags", "uid", "in_init_tree"):
                assert got[kind]["process"][field] == wanted[kind]["process"][field], field
    assert agent.stop() == 0
