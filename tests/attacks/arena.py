"""What an attack needs around it: programs, places, busy CPUs."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attacks.attacker import Attacker
from attacks.row import Attack, Ground

THREADS = 4
ENOUGH = 50  # attempts that show that an attack has its effect; that it has none takes more
_NICE = 5
_NATIVE = Path(__file__).parent / "native"
_FLAGS = {
    "first": ["-static-pie", "-nostdlib"],
    "flip": ["-static", "-pthread"],
    "own": ["-static"],
    "uring": ["-static"],
    "strange": ["-pie", "-Wl,--dynamic-linker=/var/tmp/loader-NNNN"],
}
_numbers = itertools.count()


def build(directory: Path) -> Path:
    """Compile `native/` into the directory; what is there is taken as it is."""
    directory.mkdir(parents=True, exist_ok=True)
    for source in sorted(_NATIVE.glob("*.c")):
        target = directory / source.stem
        if not target.exists():
            command = ["gcc", "-O1", "-Wall", *_FLAGS.get(source.stem, []), "-o", str(target), str(source)]
            subprocess.run(command, check=True)
    return directory


@contextmanager
def attacker(attack: Attack, programs: Path) -> Iterator[Attacker]:
    """One that has prepared."""
    made = Attacker(attack, [Ground(next(_numbers), programs) for _ in range(THREADS)])
    try:
        yield made
    finally:
        made.close()


def successful(attack: Attack, repetitions: int) -> int:
    """How many attempts show that an attack succeeds: fewer of those that cost much then."""
    return -(-min(repetitions, ENOUGH) // attack.cost)


@contextmanager
def busy() -> Iterator[None]:
    """A process on each CPU that never stops computing."""
    burners = [_burner() for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for burner in burners:
            os.kill(burner, signal.SIGKILL)
            os.waitpid(burner, 0)


def _burner() -> int:
    """It takes what others leave, and a quarter of what they do not."""
    child = os.fork()
    if not child:
        os.nice(_NICE)
    while not child:
        pass
    return child
