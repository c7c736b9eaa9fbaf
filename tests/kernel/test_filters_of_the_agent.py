"""Filters, redaction and field filters of the settings, on what really runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import RunningAgent

pytestmark = pytest.mark.kernel
SECRET = "hunter2hunter2"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    running = RunningAgent(
        tmp_path_factory.mktemp("agent"),
        "--export-allowlist", '{"arguments_regex": ["of-this-test"], "event_set": ["PROCESS_EXEC"]}',
        "--export-denylist", '{"cel_expression": ["process_exec.process.arguments.contains(\'unwanted\')"]}',
        "--redaction-filters", r'{"redact": ["--password=(\\S*)", "TOKEN=(.*)"]}',
        "--filter-environment-variables", "LICTOR_TEST_TOKEN,LICTOR_TEST_OTHER",
        "--field-filters", '{"fields": "parent,process.cwd", "action": "EXCLUDE"}',
        "--enable-process-environment-variables",
    )  # fmt: skip
    yield running
    running.stop()


def test_what_is_exported(agent: RunningAgent) -> None:
    env = {**os.environ, "LICTOR_TEST_TOKEN": SECRET, "LICTOR_TEST_OTHER": "x", "LICTOR_TEST_THIRD": SECRET}
    for word in ("unwanted", "plain", "last"):
        subprocess.run(["/bin/true", "of-this-test", word, f"--password={SECRET}", 'quo"te'], env=env, check=True)
    agent.wait(lambda: any(" last " in arguments(one) for one in agent.events()), "the last command")
    events = agent.events()
    assert [arguments(one) for one in events] == [
        f'of-this-test {word} --password=***** quo"te' for word in ("plain", "last")
    ]
    for event in events:
        assert set(event["process_exec"]) == {"process"}
        assert "cwd" not in event["process_exec"]["process"]
        shown = {one["Key"]: one["Value"] for one in event["process_exec"]["process"]["environment_variables"]}
        assert shown == {"LICTOR_TEST_OTHER": "x", "LICTOR_TEST_TOKEN": "*****"}
        assert SECRET not in str(event)


def arguments(event: dict[str, Any]) -> str:
    found: str = event.get("process_exec", {}).get("process", {}).get("arguments", "")
    return found
