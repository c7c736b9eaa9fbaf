"""What happens to real processes, as the agent tells it."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import RunningAgent

from lictor.host.procfs import host_namespaces

pytestmark = pytest.mark.kernel


def test_exec_and_exit_of_a_child(agent: RunningAgent, tmp_path: Path) -> None:
    first, last = agent.run("/bin/true", "a b", "", "plain", cwd=tmp_path)
    process, parent = first["process_exec"]["process"], first["process_exec"]["parent"]
    assert process["binary"] == "/bin/true"
    assert process["arguments"] == '"a b" "" plain'
    assert process["cwd"] == str(tmp_path)
    assert process["flags"] == "execve clone"
    assert process["uid"] == 0
    assert process["in_init_tree"] is False
    assert process["tid"] == process["pid"]
    assert parent["pid"] == os.getpid()
    assert process["parent_exec_id"] == parent["exec_id"]
    node, ktime, pid = base64.b64decode(process["exec_id"]).decode().split(":")
    assert (node, int(pid)) == (first["node_name"], process["pid"])
    assert int(ktime) > 0
    assert last["process_exit"]["process"] == process
    assert "status" not in last["process_exit"]
    assert last["process_exit"]["time"] == last["time"]


def test_status_and_signal(agent: RunningAgent) -> None:
    assert agent.run("/bin/sh", "-c", "exit 7")[-1]["process_exit"]["status"] == 7
    killed = agent.run("/bin/sh", "-c", "kill -9 $$")[-1]["process_exit"]
    assert killed["signal"] == "SIGKILL"
    assert "status" not in killed


def test_exec_chain_has_the_old_image_as_parent(agent: RunningAgent) -> None:
    shell, true, _ = agent.run("/bin/sh", "-c", "exec /bin/true x")
    assert shell["process_exec"]["process"]["flags"] == "execve clone"
    second = true["process_exec"]
    assert second["process"]["flags"] == "execve"
    assert second["parent"]["exec_id"] == shell["process_exec"]["process"]["exec_id"]


def test_fork_without_exec_exits_with_its_creators_image(agent: RunningAgent) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(5)
    os.waitpid(pid, 0)
    (event,) = agent.until_exit(pid)
    assert event["process_exit"]["status"] == 5
    assert event["process_exit"]["process"]["binary"] == event["process_exit"]["parent"]["binary"]
    assert event["process_exit"]["parent"]["pid"] == os.getpid()


def test_script_names_the_script_and_tells_the_interpreter(agent: RunningAgent, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    first = agent.run(str(script), "arg")[0]
    assert first["process_exec"]["process"]["binary"] == str(script)
    assert first["process_exec"]["process"]["arguments"] == f"{script} arg"
    assert first["lictor"]["process"]["executable"] == os.path.realpath("/bin/sh")


def test_exec_of_a_descriptor_and_a_memfd(agent: RunningAgent) -> None:
    fd = os.memfd_create("ghost", 0)
    os.write(fd, Path("/bin/true").read_bytes())
    pid = os.fork()
    if pid == 0:
        os.execve(fd, ["ghost"], {})
    os.waitpid(pid, 0)
    process = agent.until_exit(pid)[0]["process_exec"]["process"]
    assert process["binary"] == "/memfd:ghost (deleted)"
    assert process["binary_properties"]["file"]["inode"]["links"] == 0


@pytest.mark.parametrize("length", [1000, 5000, 100_000])
def test_long_arguments_are_whole(agent: RunningAgent, length: int) -> None:
    text = "x" * length
    process = agent.run("/bin/true", text)[0]["process_exec"]["process"]
    assert process["arguments"] == text
    assert "truncArgs" not in process["flags"]


def test_arguments_beyond_the_limit_are_flagged(agent: RunningAgent) -> None:
    event = agent.run("/bin/true", "y" * 100_000, "z" * 100_000)[0]
    assert "truncArgs" in event["process_exec"]["process"]["flags"].split()
    total = len("/bin/true") + 1 + 100_001 + 100_001
    assert event["lictor"]["process"]["truncated_bytes"] == total - 131072


@pytest.mark.parametrize(("argv", "shown"), [(["x", ""], '""'), (["", ""], '""'), (["x"], None)])
def test_empty_arguments(argv: list[str], shown: str | None, agent: RunningAgent) -> None:
    child = subprocess.Popen(argv, executable="/bin/true")
    child.wait()
    assert agent.until_exit(child.pid)[0]["process_exec"]["process"].get("arguments") == shown


def test_odd_arguments(agent: RunningAgent) -> None:
    odd: list[str | bytes] = ["new\nline", 'quo"te', b"\xff\xfe", "tab\t"]
    event = agent.run("/bin/true", *odd)[0]
    assert event["process_exec"]["process"]["arguments"] == 'new\nline quo"te \ufffd\ufffd tab\t'
    assert event["lictor"]["process"]["argv"] == ["new\nline", 'quo"te', "\\xff\\xfe", "tab\t"]


def test_deep_working_directory(agent: RunningAgent, tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(14):
        deep = deep / ("d" * 200)
    deep.mkdir(parents=True)
    assert agent.run("/bin/true", cwd=deep)[0]["process_exec"]["process"]["cwd"] == str(deep)


def test_paths_are_relative_to_the_root_of_the_process(agent: RunningAgent) -> None:
    pid = os.fork()
    if pid == 0:
        os.chroot("/usr")
        os.chdir("/lib")
        os.execv("/bin/../bin/true", ["true"])
        os._exit(1)  # what the dynamic loader makes of the chroot is not the test's business
    os.waitpid(pid, 0)
    events = agent.until_exit(pid)
    assert events[0]["process_exec"]["process"]["cwd"] == "/lib"


def test_exec_from_a_thread_that_does_not_lead(agent: RunningAgent) -> None:
    code = (
        "import os,threading\nt=threading.Thread(target=lambda:os.execv('/bin/true',['true','t']));t.start();t.join()"
    )
    events = agent.run(sys.executable, "-c", code)
    assert [next(iter(e)) for e in events] == ["process_exec", "process_exec", "process_exit"]
    process = events[1]["process_exec"]["process"]
    assert process["tid"] == process["pid"] == events[0]["process_exec"]["process"]["pid"]
    assert process["arguments"] == "t"


def test_threads_end_in_one_exit(agent: RunningAgent) -> None:
    code = (
        "import threading\n"
        "e=threading.Event()\n"
        "ts=[threading.Thread(target=e.wait) for _ in range(300)]\n"
        "[t.start() for t in ts]\ne.set()\n[t.join() for t in ts]\n"
    )
    events = agent.run(sys.executable, "-c", code)
    assert [next(iter(e)) for e in events] == ["process_exec", "process_exit"]


def test_leader_that_ends_first(agent: RunningAgent) -> None:
    code = (
        "import ctypes,threading,time,os\n"
        "leader=threading.main_thread().native_id\n"
        "def last():\n"
        "  while open(f'/proc/self/task/{leader}/stat').read().rsplit(')',1)[1].split()[0] != 'Z': time.sleep(.01)\n"
        "  os._exit(9)\n"
        "threading.Thread(target=last).start()\n"
        "ctypes.CDLL(None).syscall(60, 0)\n"
    )
    events = agent.run(sys.executable, "-c", code)
    assert [next(iter(e)) for e in events] == ["process_exec", "process_exit"]
    assert events[-1]["process_exit"]["status"] == 9


def test_setuid_raise_is_told(agent: RunningAgent, tmp_path: Path) -> None:
    program = tmp_path / "raise"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o4755)
    for directory in (tmp_path, *tmp_path.parents):
        if directory.is_relative_to("/tmp") and directory != Path("/tmp"):
            directory.chmod(0o755)
    event = agent.run(str(program), user=65534)[0]
    process = event["process_exec"]["process"]
    assert process["uid"] == 0
    assert process["process_credentials"]["uid"] == 65534
    assert process["binary_properties"]["privileges_changed"] == ["PRIVILEGES_RAISED_EXEC_FILE_SETUID"]
    assert process["binary_properties"]["setuid"] == 0


def test_namespaces_are_told_and_compared_with_the_hosts(agent: RunningAgent) -> None:
    ns = agent.run("/bin/true")[0]["process_exec"]["process"]["ns"]
    hosts = host_namespaces()
    for name in ("uts", "ipc", "mnt", "pid", "net", "cgroup", "user"):
        mine = os.stat(f"/proc/self/ns/{name}").st_ino
        assert ns[name]["inum"] == mine
        assert ns[name].get("is_host", False) == (mine == hosts[name])
    foreign = agent.run("unshare", "--uts", "/bin/true")[1]["process_exec"]["process"]["ns"]
    assert "is_host" not in foreign["uts"]


def test_pid_namespace_makes_an_init_tree(agent: RunningAgent) -> None:
    marker = "init-tree-marker"
    child = subprocess.Popen(["unshare", "--pid", "--fork", "/bin/sh", "-c", f"/bin/true {marker}; :"])
    child.wait()
    agent.until_exit(child.pid)
    found = [e["process_exec"]["process"] for e in agent.events() if "process_exec" in e]
    inside = [p for p in found if p.get("arguments") == marker]
    assert [p["in_init_tree"] for p in inside] == [True]
    assert inside[0]["flags"].split()[-1] == "inInitTree"


def test_processes_that_lived_before(agent: RunningAgent) -> None:
    mine = agent.of(os.getpid())
    assert "process_exec" in mine[0]
    process = mine[0]["process_exec"]["process"]
    assert "procFS" in process["flags"].split()
    assert process["cwd"] == os.getcwd()
    assert mine[0]["process_exec"]["parent"]["pid"] == os.getppid()


def test_nothing_is_lost_in_a_burst(agent: RunningAgent) -> None:
    count = 500
    pids = []
    for _ in range(count):
        child = subprocess.Popen(["/bin/true"])
        child.wait()
        pids.append(child.pid)
    agent.until_exit(pids[-1])
    wanted = set(pids)
    events = [e for e in agent.events() if next(iter(e.values())).get("process", {}).get("pid") in wanted]
    assert sum("process_exec" in e for e in events) == count
    assert sum("process_exit" in e for e in events) == count
    assert not [e for e in agent.events() if "rate_limit_info" in e]
