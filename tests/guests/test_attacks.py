"""The attacks under stock Debian kernels, under those in $LICTOR_TEST_KERNELS, and on one CPU with full preemption: 50
attempts each. `make prove` has a thousand, on busy CPUs."""

from __future__ import annotations

import pytest

from guests.pool import KERNELS, PROGRAMS, PYTEST, Guest

PREEMPTED = ("--smp", "1", "--append", "preempt=full")


def attacked(kernel: str, *options: str) -> Guest:
    inside = ("env", f"ATTACKED_KERNEL={kernel}", f"ATTACK_PROGRAMS={PROGRAMS}")
    return Guest(kernel, (*inside, *PYTEST, "tests/attacks"), options)


@pytest.mark.parametrize("guest", [*map(attacked, KERNELS), attacked("6.12", *PREEMPTED)], ids=str)
def test_attacks(output: str) -> None:
    assert " passed" in output
