"""Virtual machines, as many at a time as there are CPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ROOT / "build" / "attacks"
_OWN = sorted(path.name for path in Path(os.environ.get("LICTOR_TEST_KERNELS", "/nonexistent")).glob("*/"))
PYTEST = (sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider")
STOCK = ("6.1", "6.12")
KERNELS = (*STOCK, *_OWN)


@dataclass(frozen=True)
class Guest:
    """A kernel, options of `tools/vm.py run`, and what to run in it."""

    kernel: str
    command: tuple[str, ...]
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((self.kernel, *self.options))


class Guests:
    """Runs guests beside each other. An emulated CPU keeps one real one busy."""

    def __init__(self, guests: list[Guest]) -> None:
        self._pool = ThreadPoolExecutor(max(1, os.cpu_count() or 1))
        self._runs: dict[Guest, Future[subprocess.CompletedProcess[str]]] = {
            guest: self._pool.submit(_run, guest) for guest in dict.fromkeys(guests)
        }

    def result(self, guest: Guest) -> subprocess.CompletedProcess[str]:
        return self._runs[guest].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _run(guest: Guest) -> subprocess.CompletedProcess[str]:
    vm = [sys.executable, "tools/vm.py", "run", "--kernel", guest.kernel, "--timeout", "2400", *guest.options]
    return subprocess.run([*vm, "--", *guest.command], cwd=ROOT, capture_output=True, text=True, check=False)
