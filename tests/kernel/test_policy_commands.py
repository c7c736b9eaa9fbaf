"""Policies of a running agent: given to it, shown, switched, taken away, and what they see in the stream."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import LICTOR, RunningAgent

pytestmark = pytest.mark.kernel
# A tracepoint: a hook that every kernel lets us have. Only processes that this test starts are looked at.
POLICY = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: {name}}}
spec:
  tracepoints:
  - subsystem: syscalls
    event: sys_enter_getcwd
    message: somebody asks where they are
    tags: [place]
    args: [{{index: 6}}]
    selectors:
    - label: by-name
      matchBinaries: [{{operator: In, values: [{binary}]}}]
"""


class Directory:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.policies = path / "policy.d"
        self.policies.mkdir(mode=0o755)
        self.kept = path / "kept"
        # A program of our own, so that no other process of this machine is meant.
        self.binary = path / "where"
        self.binary.write_bytes(Path("/bin/pwd").read_bytes())
        self.binary.chmod(0o755)

    def text(self, name: str) -> str:
        return POLICY.format(name=name, binary=self.binary)

    def options(self) -> list[str]:
        return [
            "--policy-dir", str(self.policies), "--persist-grpc-policies",
            "--persist-grpc-policies-dir", str(self.kept),
        ]  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Directory:
    return Directory(tmp_path_factory.mktemp("policies"))


@pytest.fixture(scope="module")
def agent(directory: Directory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    running = RunningAgent(tmp_path_factory.mktemp("agent"), *directory.options())
    yield running
    running.stop()


def lictor(agent: RunningAgent, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [LICTOR, *arguments, "--server-address", f"unix://{agent.socket}"]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)


def listed(agent: RunningAgent) -> dict[str, Any]:
    done = lictor(agent, "policy", "list", "-o", "json")
    assert done.returncode == 0, done.stderr
    return {one["name"]: one for one in json.loads(done.stdout).get("policies", [])}


def seen(agent: RunningAgent, directory: Directory, policy: str) -> list[dict[str, Any]]:
    """The policy's events of one run of our program."""
    child = subprocess.Popen([str(directory.binary)], stdout=subprocess.DEVNULL)
    child.wait()
    agent.until_exit(child.pid)
    found = [one["process_tracepoint"] for one in agent.of(child.pid) if "process_tracepoint" in one]
    return [one for one in found if one["policy_name"] == policy]


def test_the_life_of_a_policy(agent: RunningAgent, directory: Directory) -> None:
    assert listed(agent) == {}
    done = lictor(agent, "policy", "add", "-", text=directory.text("where"))
    assert done.returncode == 0, done.stderr
    one = listed(agent)["where"]
    assert (one["state"], one["domain"], one["mode"]) == ("TP_STATE_ENABLED", "grpc", "TP_MODE_MONITOR_ONLY")
    assert one["hook_statuses"][0]["state"] == "STATUS_LOADED"

    (event,) = seen(agent, directory, "where")
    assert (event["subsys"], event["event"]) == ("syscalls", "sys_enter_getcwd")
    assert (event["message"], event["tags"]) == ("somebody asks where they are", ["place"])
    assert event["process"]["binary"] == str(directory.binary)
    assert list(event["args"][0]) == ["size_arg"]

    counted = json.loads(lictor(agent, "policy", "stats", "where", "-o", "json").stdout)
    assert [(row["label"], row["counters"]["post"]) for row in counted] == [("by-name", 1)]
    assert "1 enabled" in lictor(agent, "status").stdout

    assert lictor(agent, "policy", "disable", "where").returncode == 0
    assert seen(agent, directory, "where") == []
    assert listed(agent)["where"]["state"] == "TP_STATE_DISABLED"
    assert lictor(agent, "policy", "enable", "where").returncode == 0
    assert len(seen(agent, directory, "where")) == 1

    assert lictor(agent, "policy", "delete", "where").returncode == 0
    assert seen(agent, directory, "where") == []
    assert listed(agent) == {}


def test_mistakes_are_told_with_their_place(agent: RunningAgent, directory: Directory) -> None:
    wrong = directory.text("wrong").replace("sys_enter_getcwd", "sys_enter_nonsense")
    done = lictor(agent, "policy", "add", "-", text=wrong)
    assert done.returncode == 2
    assert "policy:8:12: error" in done.stderr
    assert "sys_enter_nonsense" in done.stderr
    assert "Traceback" not in done.stderr
    assert listed(agent)["wrong"]["state"] == "TP_STATE_LOAD_ERROR"
    assert lictor(agent, "status").returncode == 1
    assert lictor(agent, "policy", "delete", "wrong").returncode == 0
    twice = lictor(agent, "policy", "delete", "wrong")
    assert (twice.returncode, "there is no policy wrong" in twice.stderr) == (2, True)


def test_the_directory_is_followed(agent: RunningAgent, directory: Directory) -> None:
    file = directory.policies / "one.yaml"
    file.write_text(directory.text("from-file"))
    agent.wait(lambda: "from-file" in listed(agent), "the policy of the file")
    assert listed(agent)["from-file"]["domain"] == "static"
    assert len(seen(agent, directory, "from-file")) == 1
    file.unlink()
    agent.wait(lambda: not listed(agent), "the policy to go")


def test_policies_outlive_the_agent(directory: Directory, tmp_path: Path) -> None:
    first = RunningAgent(tmp_path, *directory.options())
    assert lictor(first, "policy", "add", "-", text=directory.text("kept")).returncode == 0
    assert first.stop() == 0
    second = RunningAgent(tmp_path, *directory.options())
    assert listed(second)["kept"]["state"] == "TP_STATE_ENABLED"
    assert len(seen(second, directory, "kept")) == 1
    assert lictor(second, "policy", "delete", "kept").returncode == 0
    assert second.stop() == 0
    assert not list(directory.kept.iterdir())


def test_a_wrong_policy_at_the_start_is_one_message(directory: Directory, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(directory.text("wrong").replace("sys_enter_getcwd", "sys_enter_nonsense"))
    command = [LICTOR, "agent", "--server-address", f"unix://{tmp_path}/s", "--pid-file", "", "--policy", str(wrong)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ})
    assert done.returncode == 2
    assert "wrong.yaml:8:12: error" in done.stderr
    assert "Traceback" not in done.stderr
