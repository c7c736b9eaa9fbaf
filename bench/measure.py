"""Runs workloads beside an agent, which sits in a cgroup of its own, and measures both. Used in the guest and here."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "build" / "bench"
LICTOR = Path(sys.executable).parent / "lictor"


def build() -> None:
    """Compile the workloads."""
    BUILT.mkdir(parents=True, exist_ok=True)
    sources = ROOT / "bench"
    subprocess.run(["gcc", "-O2", "-static", "-o", str(BUILT / "workload"), str(sources / "workload.c")], check=True)
    subprocess.run(
        ["gcc", "-O2", "-nostdlib", "-static", "-o", str(BUILT / "tiny"), str(sources / "tiny.c")], check=True
    )


def workload(kind: str, rounds: int, path: Path, rate: int = 0) -> dict[str, int]:
    """One run of a workload: rounds, wall_ns, cpu_ns."""
    command = [str(BUILT / "workload"), kind, str(rounds), str(rate), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


class Agent:
    """An agent in a cgroup (version 2, where `cgroup` is given), exporting JSON to `directory`."""

    def __init__(self, directory: Path, cgroup: Path | None = None) -> None:
        self.export = directory / "events.json"
        self._log = directory / "agent.log"
        self._cgroup = cgroup
        command = [
            str(LICTOR), "agent", "--export-filename", str(self.export), "--export-file-max-size-mb", "4096",
            "--pid-file", "", "--info-file", "", "--server-address", f"unix://{directory}/api.sock",
        ]  # fmt: skip
        self._started = time.monotonic_ns()
        if cgroup is not None:
            command = ["sh", "-c", f'echo $$ > {cgroup}/cgroup.procs; exec "$@"', "sh", *command]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log)
        self._until(lambda: "ready" in self._log.read_text())
        self.ready_ns = self.cpu_ns()

    def cpu_ns(self) -> int:
        """CPU time of the agent so far; what the kernel does for it in the workload's time is not in it."""
        if self._cgroup is None:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) * 10_000_000
        line = re.search(r"^usage_usec (\d+)", (self._cgroup / "cpu.stat").read_text(), re.MULTILINE)
        assert line is not None
        return int(line[1]) * 1000

    def memory_kb(self) -> dict[str, int]:
        """VmHWM and VmRSS."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return {name: int(value) for name, value in re.findall(r"^(VmHWM|VmRSS):\s+(\d+) kB", status, re.MULTILINE)}

    def maps_bytes(self) -> int:
        """What its BPF maps hold in the kernel (`memlock` of fdinfo), each counted once."""
        maps = {}
        for entry in Path(f"/proc/{self.process.pid}/fdinfo").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found = dict(re.findall(r"^(map_id|memlock):\s+(\d+)", entry.read_text(), re.MULTILINE))
                if "map_id" in found:
                    maps[found["map_id"]] = int(found["memlock"])
        return sum(maps.values())

    def counts(self, binary: Path) -> dict[str, int]:
        """Events of one binary in the export, and events that admit a loss."""
        found = {"process_exec": 0, "process_exit": 0, "rate_limit_info": 0}
        marker = f'"binary":"{binary}"'
        with self.export.open() as lines:
            for line in lines:
                kind = line[2:].partition('"')[0]
                # The process comes before its parent, so that the first binary of a line is its own.
                own = line.partition('"parent":')[0]
                if kind == "rate_limit_info" or marker in own:
                    found[kind] += 1
        return found

    def settle(self) -> None:
        """Wait until everything that happened is in the export file: its size and our CPU time stand still."""
        before: tuple[int, int] = (-1, -1)
        while (now := (self.export.stat().st_size, self.cpu_ns() // 30_000_000)) != before:
            before = now
            time.sleep(1)

    def stop(self) -> None:
        self.process.terminate()
        if self.process.wait(30):
            raise SystemExit(f"the agent failed: {self._log.read_text()}")

    def _until(self, condition: Any) -> None:
        while not condition():
            if self.process.poll() is not None:
                raise SystemExit(f"the agent ended: {self._log.read_text()}")
            time.sleep(0.05)


@contextlib.contextmanager
def running(directory: Path, cgroup: Path | None = None) -> Iterator[Agent]:
    agent = Agent(directory, cgroup)
    try:
        yield agent
    finally:
        agent.stop()
