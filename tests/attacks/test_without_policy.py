"""Every attack succeeds as long as no policy forbids it: only then does it prove something that it fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from attacks import arena
from attacks.row import Attack
from attacks.table import ATTACKS

KERNEL = os.environ["LICTOR_ATTACKED_KERNEL"]
REPETITIONS = int(os.environ.get("LICTOR_ATTACKS", "50"))


@pytest.mark.parametrize("attack", [pytest.param(one, id=one.name) for one in ATTACKS if KERNEL in one.kernels])
def test_it_succeeds(attack: Attack, programs: Path) -> None:
    report = arena.attacker(attack, programs, REPETITIONS).strike()
    assert report.effects == report.attempts
