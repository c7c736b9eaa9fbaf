"""Processes of a real container, made by runc."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import RunningAgent

pytestmark = pytest.mark.kernel
BUSYBOX = "/bin/busybox"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with busybox for a root file system."""
    (tmp_path / "rootfs/bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, tmp_path / "rootfs/bin/busybox")
    for name in ("sh", "true"):
        os.symlink("busybox", tmp_path / "rootfs/bin" / name)
    subprocess.run(["runc", "spec"], cwd=tmp_path, check=True)
    return tmp_path


def run(bundle: Path, container: str, *arguments: str) -> int:
    """Run a container under the cgroup path that docker would choose; gives its exit code."""
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": list(arguments), "cwd": "/"}
    config["linux"]["cgroupsPath"] = f"/docker/{container}"
    (bundle / "config.json").write_text(json.dumps(config))
    name = f"lictor-{container[:12]}"
    command = ["runc", "--root", str(bundle / "state"), "run", "--bundle", str(bundle), name]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


def test_a_container_is_told_with_its_processes(agent: RunningAgent, bundle: Path) -> None:
    container, marker = secrets.token_hex(32), secrets.token_hex(8)
    assert run(bundle, container, "/bin/sh", "-c", f"/bin/true {marker}; exit 3") == 3

    def told() -> bool:
        return any(
            event.get("process_exit", {}).get("process", {}).get("docker") == container[:31]
            and event["process_exit"].get("status") == 3
            for event in agent.events()
        )

    agent.wait(told, "the end of the container")
    inside = [e["process_exec"] for e in agent.events() if "process_exec" in e]
    inside = [body for body in inside if body["process"].get("docker") == container[:31]]
    shell = next(body["process"] for body in inside if body["process"]["binary"] == "/bin/sh")
    true = next(body for body in inside if marker == body["process"].get("arguments"))
    process = true["process"]
    assert process["binary"] == "/bin/true"
    assert true["parent"]["exec_id"] == shell["exec_id"]
    for one in (shell, process):
        assert one["in_init_tree"] is True
        assert "inInitTree" in one["flags"].split()
        assert one["cwd"] == "/"
        assert "is_host" not in one["ns"]["pid"]
        assert "is_host" not in one["ns"]["mnt"]
    extra = next(
        event["lictor"]["process"]
        for event in agent.events()
        if event.get("process_exec", {}).get("process", {}).get("exec_id") == process["exec_id"]
    )
    assert extra["container_id"] == container
    assert extra["cgroup"].endswith(f"/docker/{container}")
    assert extra["executable"] == "/bin/busybox"


def test_a_process_that_is_no_longer_in_a_container(agent: RunningAgent) -> None:
    process = agent.run("/bin/true")[0]["process_exec"]["process"]
    assert "docker" not in process
    assert process["in_init_tree"] is False
