"""Policies for pods, containers or the host, on processes in cgroups that are named as runtimes name them."""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine import Bench
from live import compiled

from lictor.errors import LictorError
from lictor.host.cgroups import find_hierarchy
from lictor.policy.machine import Machine

pytestmark = pytest.mark.kernel
ID, UID = secrets.token_hex(32), str(uuid.uuid4())
POD, CONTAINER, BOTH, HOST = "pod", "container", "container of a pod", "host"
# What processes in a cgroup are, whatever lies above and below what names it.
CGROUPS = {
    "plain": HOST,
    "system.slice/some.service": HOST,
    f"docker/{ID}": CONTAINER,
    f"docker/{ID}/inside/deeper": CONTAINER,
    f"system.slice/docker-{ID}.scope": CONTAINER,
    f"libpod_parent/libpod-{ID}": CONTAINER,
    f"libpod_parent/libpod-conmon-{ID}": HOST,
    f"libpod_parent/libpod-conmon-{ID}.scope": HOST,
    f"docker/{ID[:-1]}": HOST,
    f"docker/{ID}0": HOST,
    f"docker/{ID[:-1]}g": HOST,
    f"docker/x{ID[:-1]}": HOST,
    f"docker/{ID}.slice": HOST,
    f"docker/{ID.replace(ID[7], 'A')}": HOST,
    f"kubepods/burstable/pod{UID}": POD,
    f"kubepods/besteffort/pod{UID}/{ID}": BOTH,
    f"kubepods/pod{UID}/{ID}/init.scope": BOTH,
    f"kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope": BOTH,
    f"kubepods-burstable-pod{UID.replace('-', '_')}.slice:cri-containerd:{ID}": CONTAINER,
    f"kubepods/pod{ID[:32]}": POD,
    f"kubepods/tripod{UID}": HOST,
    f"kubepods/pod{UID[:-1]}": HOST,
    f"kubepods/pod{UID.replace('-', '.')}": HOST,
    "a" * 255: HOST,
    "a-" * 95 + ID: CONTAINER,
    "/".join(["deep"] * 60) + f"/{ID}/" + "/".join(["deep"] * 200): CONTAINER,
}
SELECTORS = {
    "hostSelector: {}": {HOST},
    "podSelector: {}": {POD, BOTH},
    "containerSelector: {}": {CONTAINER, BOTH},
    "podSelector: {}\n  containerSelector: {}": {BOTH},
    "hostSelector: {}\n  podSelector: {}": {HOST, POD, BOTH},
    "hostSelector: {}\n  containerSelector: {}": {HOST, CONTAINER, BOTH},
}
OFFSET = 4343
SEEK = f"""
import os, sys
os.lseek(os.open("/dev/null", os.O_RDONLY), {OFFSET}, 0)
"""
# Moves itself through the cgroups given, and seeks in each.
TOUR = f"""
import os, sys
fd = os.open("/dev/null", os.O_RDONLY)
for number, cgroup in enumerate(sys.argv[1:]):
    with open(cgroup + "/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))
    os.lseek(fd, {OFFSET} + number, 0)
"""


def policy(scope: str = "", workloads: str = "") -> str:
    return f"""
  {scope}
  kprobes:
  - call: sys_lseek
    args: [{{index: 1, type: int64}}]
    selectors:
    - matchArgs: [{{index: 1, operator: InRange, values: ["{OFFSET}:{OFFSET + 9999}"]}}]
      {workloads}
"""


class Cgroups:
    """Cgroups below one of our own, in the hierarchy that names workloads."""

    def __init__(self) -> None:
        self.hierarchy = find_hierarchy()
        self.root = Path(self.hierarchy.root) / f"lictor-test-{secrets.token_hex(4)}"
        self._made: list[Path] = []
        self.make("")

    def make(self, name: str) -> Path:
        """One with all above it."""
        path = self.root
        for part in ["", *name.split("/")]:
            path = path / part
            if not path.exists():
                path.mkdir()
                self._made.append(path)
        return path

    def close(self) -> None:
        for path in reversed(self._made):
            path.rmdir()


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    made = Cgroups()
    yield made
    made.close()


def enter(cgroup: Path) -> Callable[[], None]:
    def move() -> None:
        (cgroup / "cgroup.procs").write_text(str(os.getpid()))

    return move


def seek_in(cgroup: Path) -> int:
    """A process that begins in a cgroup and execs there, as containers do; gives its number."""
    seek = ["dd", "if=/dev/null", "of=/dev/null", "bs=1", "count=0", f"skip={OFFSET}"]
    child = subprocess.Popen(seek, stderr=subprocess.DEVNULL, preexec_fn=enter(cgroup))
    assert child.wait() == 0
    return child.pid


@pytest.mark.parametrize(
    ("scope", "in_selector"), [*((scope, False) for scope in SELECTORS), ("hostSelector: {}\n  podSelector: {}", True)]
)
def test_workloads(scope: str, in_selector: bool, bench: Bench, machine: Machine, cgroups: Cgroups) -> None:
    """The policy is there first: a cgroup counts from its first process on."""
    fields = ", ".join(scope.split("\n  "))
    spec = policy(workloads=f"matchWorkloads: {{{fields}}}") if in_selector else policy(scope)
    found: dict[int, str] = {}

    def act() -> None:
        for name in CGROUPS:
            found[seek_in(cgroups.make(name))] = name

    events = bench.during(compiled(spec, machine), act)
    told = sorted(found[event["tid"]] for event in events if event["tid"] in found)
    assert told == sorted(name for name, kind in CGROUPS.items() if kind in SELECTORS[scope])


def test_a_process_that_moves_is_what_it_is_now(bench: Bench, machine: Machine, cgroups: Cgroups) -> None:
    inside, outside = cgroups.make(f"docker/{ID}"), cgroups.make("outside")
    tour = [str(outside), str(inside)] * 200
    pids: list[int] = []

    def act() -> None:
        child = subprocess.Popen([sys.executable, "-S", "-c", TOUR, *tour])
        pids.append(child.pid)
        assert child.wait() == 0

    events = bench.during(compiled(policy("containerSelector: {}"), machine), act)
    told = [int(event["args"][0]["long_arg"]) - OFFSET for event in events if event["tid"] == pids[0]]
    assert told == list(range(1, 400, 2))


def test_a_process_that_is_moved_keeps_what_else_is_known_of_it(
    bench: Bench, machine: Machine, cgroups: Cgroups
) -> None:
    """Being below a program is handed down at fork: where the process is moved later does not change it."""
    inside = cgroups.make(f"docker/{ID}")
    # The shell, which matches, is gone when its grandchild seeks.
    waits = f'import sys; sys.stdin.readline(); exec("""{SEEK}""")'
    spec = policy(
        "containerSelector: {}",
        "matchBinaries: [{operator: In, values: [SHELL], followChildren: true}]".replace(
            "SHELL", os.path.realpath("/bin/sh")
        ),
    )
    read, write = os.pipe()
    pids: list[int] = []

    def act() -> None:
        shell = subprocess.run(
            ["/bin/sh", "-c", f"exec 3<&0; {sys.executable} -S -c '{waits}' <&3 >/dev/null & echo $!"],
            stdin=read, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        pids.append(int(shell.stdout))
        (inside / "cgroup.procs").write_text(shell.stdout)
        os.write(write, b"go\n")
        bench.wait(lambda: not Path(f"/proc/{pids[0]}").exists() or "Z" in _state(pids[0]), "the grandchild")

    events = bench.during(compiled(spec, machine), act)
    os.close(read)
    os.close(write)
    assert [event["tid"] for event in events] == pids


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
    except OSError:
        return "Z"


def test_a_process_that_was_there_before_the_policy(bench: Bench, machine: Machine, cgroups: Cgroups) -> None:
    waits = f"import sys; sys.stdin.readline(); exec({SEEK!r})"
    children = [
        subprocess.Popen(
            [sys.executable, "-S", "-c", waits], stdin=subprocess.PIPE, text=True, preexec_fn=enter(cgroups.make(name))
        )
        for name in (f"docker/{ID}", "outside")
    ]
    events = bench.during(
        compiled(policy("containerSelector: {}"), machine), lambda: [child.communicate("go\n") for child in children]
    )
    assert [event["tid"] for event in events] == [children[0].pid]


BUSY = f"""
import os, sys, threading
fd, other = (os.open("/dev/null", os.O_RDONLY) for _ in range(2))
def seek():
    while True:
        os.lseek(other, 1, 0)
threading.Thread(target=seek, daemon=True).start()
for line in sys.stdin:
    os.lseek(fd, {OFFSET} + int(line), 0)
    print(flush=True)
"""


def test_a_process_that_is_moved_while_it_runs_through_the_hook(
    bench: Bench, machine: Machine, cgroups: Cgroups
) -> None:
    """What another thread of it found out just before the move must not stay."""
    places = [cgroups.make("outside"), cgroups.make(f"docker/{ID}")]
    pids: list[int] = []

    def act() -> None:
        with subprocess.Popen(
            [sys.executable, "-S", "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdin
            assert child.stdout
            pids.append(child.pid)
            for number in range(400):
                (places[number % 2] / "cgroup.procs").write_text(str(child.pid))
                print(number, file=child.stdin, flush=True)
                child.stdout.readline()
            child.stdin.close()

    events = bench.during(compiled(policy("containerSelector: {}"), machine), act)
    told = [int(event["args"][0]["long_arg"]) - OFFSET for event in events if event["tid"] == pids[0]]
    assert told == list(range(1, 400, 2))


class CloneArguments(ctypes.Structure):
    """struct clone_args of clone3."""

    _fields_ = [(name, ctypes.c_uint64) for name in (
        "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid",
        "set_tid_size", "cgroup",
    )]  # fmt: skip


def clone_into(cgroup: Path) -> int:
    """A process that is born in a cgroup, seeks there without an exec, and ends."""
    directory = os.open(cgroup, os.O_RDONLY)
    null = os.open("/dev/null", os.O_RDONLY)
    arguments = CloneArguments(flags=0x200000000, exit_signal=signal.SIGCHLD, cgroup=directory)
    child: int = ctypes.CDLL(None, use_errno=True).syscall(435, ctypes.byref(arguments), ctypes.sizeof(arguments))
    if not child:
        os.lseek(null, OFFSET, 0)
        os._exit(0)
    assert child > 0, os.strerror(ctypes.get_errno())
    os.close(directory)
    os.close(null)
    os.waitpid(child, 0)
    return child


def test_a_process_is_born_elsewhere(bench: Bench, machine: Machine, cgroups: Cgroups) -> None:
    if cgroups.hierarchy.controller:
        pytest.skip("clone3 knows cgroups of version 2 only, and workloads of this machine are in another hierarchy")
    inside, outside = cgroups.make(f"docker/{ID}"), cgroups.make("outside")
    children: list[int] = []

    def act() -> None:
        for _ in range(20):
            children.extend((clone_into(inside), clone_into(outside)))

    events = bench.during(compiled(policy("containerSelector: {}"), machine), act)
    assert [event["tid"] for event in events if event["tid"] in children] == children[::2]


@pytest.mark.parametrize(
    ("scope", "says"),
    [
        ("podSelector: {matchLabels: {app: cart}}", "labels of pods"),
        ("containerSelector: {matchLabels: {name: main}}", "names and images of containers"),
    ],
)
def test_what_only_a_cluster_knows_is_refused(scope: str, says: str, bench: Bench, machine: Machine) -> None:
    with pytest.raises(LictorError, match=says) as refused:
        bench.engine.load(compiled(policy(scope), machine))
    assert "API server" in refused.value.message
    assert "Selector: {}" in refused.value.remedy
    assert bench.engine.names() == []
