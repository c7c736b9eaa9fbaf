"""The attacks under stock Debian kernels, under those in $LICTOR_TEST_KERNELS, and on one CPU with full preemption: 50
attempts each. `make prove` has a thousand, on busy CPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attacks import arena

ROOT = Path(__file__).parents[2]
OWN = sorted(path.name for path in Path(os.environ.get("LICTOR_TEST_KERNELS", "/nonexistent")).glob("*/"))
PREEMPTED = ("--smp", "1", "--append", "preempt=full")
PLACES = [*((kernel, ()) for kernel in ("6.1", "6.12", *OWN)), ("6.12", PREEMPTED)]


def command(kernel: str, words: tuple[str, ...]) -> list[str]:
    """What runs the attacks in a VM. Their programs are built here: compiling takes long there."""
    programs = arena.build(ROOT / "build" / "attacks")
    inside = ["env", f"ATTACKED_KERNEL={kernel}", f"ATTACK_PROGRAMS={programs}"]
    suite = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/attacks"]
    return [
        sys.executable,
        "tools/vm.py",
        "run",
        "--kernel",
        kernel,
        "--timeout",
        "1800",
        *words,
        "--",
        *inside,
        *suite,
    ]


@pytest.mark.parametrize(("kernel", "words"), PLACES, ids=[" ".join((name, *words)) for name, words in PLACES])
def test_attacks(kernel: str, words: tuple[str, ...]) -> None:
    done = subprocess.run(command(kernel, words), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"under {kernel} {' '.join(words)}:\n{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
    assert " passed" in done.stdout
    print(done.stdout)
