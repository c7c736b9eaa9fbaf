"""A real agent on the running kernel, and a way to wait for what it says; and how much Hypothesis tries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from engine import Bench
    from runs import Runs

    from lictor.policy.machine import Machine

Event = dict[str, Any]
LICTOR = str(Path(sys.executable).parent / "lictor")
DEADLINE_S = 240.0  # emulated kernels are slow, and nobody waits longer than it takes

settings.register_profile(
    "lictor",
    max_examples=int(os.environ.get("LICTOR_EXAMPLES", "100")),  # many in `make prove`
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("lictor")


_started: list[subprocess.Popen[bytes]] = []


def pytest_sessionfinish() -> None:
    """An agent that a failed test left behind would watch this machine for ever."""
    for process in _started:
        if process.poll() is None:
            process.kill()
            process.wait()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write what golden tests find, instead of comparing it")


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update"))


class RunningAgent:
    """An agent started for a test module; its events are read from its export file."""

    def __init__(self, directory: Path, *options: str) -> None:
        self._file = directory / "events.json"
        self._read = 0
        self._events: list[Event] = []
        self._log = directory / "agent.log"
        self.socket = directory / "api.sock"
        # Other programs of the machine are in the file too: it must not be rotated away under the test.
        export = ["--export-filename", str(self._file), "--export-file-max-size-mb", "4096"]
        surfaces = [*export, "--server-address", f"unix://{self.socket}"]
        # Agents of other tests run beside it.
        alone = ["--pid-file", "", "--info-file", ""]
        command = [LICTOR, "agent", *surfaces, *alone, *options]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log)
        _started.append(self.process)
        self.wait(lambda: " is ready" in self._log.read_text(), "the agent to be ready")

    def events(self) -> list[Event]:
        """Everything so far; only what is new is read."""
        with self._file.open() as file:
            file.seek(self._read)
            for line in iter(file.readline, ""):
                if not line.endswith("\n"):
                    break
                self._events.append(json.loads(line))
                self._read += len(line.encode())
        return self._events

    def log(self) -> str:
        return self._log.read_text()

    def of(self, pid: int) -> list[Event]:
        """The exec and exit events of a process, in order."""
        return [e for e in self.events() if next(iter(e.values())).get("process", {}).get("pid") == pid]

    def until_exit(self, pid: int) -> list[Event]:
        """Wait for the exit of a process; gives all its events."""
        self.wait(lambda: any("process_exit" in e for e in self.of(pid)), f"the exit of {pid}")
        return self.of(pid)

    def run(self, *command: str | bytes, **options: Any) -> list[Event]:
        """Run a command to its end and give its events."""
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
        child.wait()
        return self.until_exit(child.pid)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(DEADLINE_S)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + DEADLINE_S
        while not condition():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"waited in vain for {what}; the agent says: {self._log.read_text()}")
            time.sleep(0.02)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAgent]:
    if os.geteuid() != 0:
        pytest.skip("needs root to load BPF programs")
    running = RunningAgent(tmp_path_factory.mktemp("agent"), "--enable-process-cred", "--enable-process-ns")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """The policy engine without an agent around it (tests/kernel/engine.py)."""
    if os.geteuid() != 0:
        pytest.skip("needs root to load BPF programs")
    from engine import Bench

    made = Bench()
    yield made
    made.close()


@pytest.fixture(scope="module")
def runs(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Parts of the engine that are run alone (tests/kernel/runs.py)."""
    from runs import Runs

    made = Runs(bench, tmp_path_factory.mktemp("runs"))
    yield made
    made.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory on a tmpfs: an overlay, which VMs run on, does every operation twice."""
    with tempfile.TemporaryDirectory(prefix="lictor-", dir="/dev/shm") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def machine() -> Machine:
    """The facts of this machine, for the compiler."""
    from lictor.host import features
    from lictor.host.gather import gather
    from lictor.policy.machine import Machine

    return Machine(gather(features.abilities))
