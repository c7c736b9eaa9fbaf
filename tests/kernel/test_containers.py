"""Processes of a real container, made by runc."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from conftest import LICTOR, Event, RunningAgent

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


def run(bundle: Path, container: str, *arguments: str, cgroup: str = "") -> int:
    """Run a container, under the cgroup path that docker would choose if none is given; gives its exit code."""
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": list(arguments), "cwd": "/"}
    config["linux"]["cgroupsPath"] = cgroup or f"/docker/{container}"
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


def hooked(bundle: Path, socket: Path, *more: str) -> None:
    """Have runc tell the agent at `socket` of the bundle's container, which is of a pod."""
    config = json.loads((bundle / "config.json").read_text())
    words = ["lictor", "rthooks", "oci", "--server-address", f"unix://{socket}", *more]
    config["hooks"] = {"createRuntime": [{"path": LICTOR, "args": words}]}
    config["annotations"] = {
        "io.kubernetes.cri.container-name": "web",
        "io.kubernetes.cri.image-name": "busybox:1",
        "io.kubernetes.cri.sandbox-name": "web-0",
        "io.kubernetes.cri.sandbox-namespace": "shop",
        "io.kubernetes.cri.sandbox-uid": "u-1",
    }
    (bundle / "config.json").write_text(json.dumps(config))


def test_a_runtime_tells_of_a_container_before_its_first_process(agent: RunningAgent, bundle: Path) -> None:
    container, marker = secrets.token_hex(32), secrets.token_hex(8)
    hooked(bundle, agent.socket, "--fail-closed", "--within", "60")  # an emulated machine takes its time
    # No id is in the path of the cgroup: what is known, the hook said.
    assert run(bundle, container, "/bin/sh", "-c", f": {marker}", cgroup=f"/lictor-test-{marker}/web") == 0

    def first() -> list[Event]:
        execs = [event["process_exec"]["process"] for event in agent.events() if "process_exec" in event]
        return [one for one in execs if marker in one.get("arguments", "") and one["binary"] == "/bin/sh"]

    agent.wait(lambda: bool(first()), "the first process of the container")
    (process,) = first()
    assert process["docker"] == f"lictor-{container[:12]}"
    assert (process["pod"]["namespace"], process["pod"]["name"], process["pod"]["uid"]) == ("shop", "web-0", "u-1")
    assert process["pod"]["container"]["name"] == "web"
    assert process["pod"]["container"]["image"]["name"] == "busybox:1"


@pytest.mark.parametrize(("more", "status"), [((), 3), (("--fail-closed",), 1)], ids=["open", "closed"])
def test_an_agent_that_does_not_answer_holds_no_container_up(
    bundle: Path, tmp_path: Path, more: tuple[str, ...], status: int
) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent.sock"))
        silent.listen()
        hooked(bundle, tmp_path / "silent.sock", "--within", "1", *more)
        assert run(bundle, secrets.token_hex(32), "/bin/sh", "-c", "exit 3") == status
