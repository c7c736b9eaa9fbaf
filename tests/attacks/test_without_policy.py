"""Every attack succeeds as long as no policy forbids it: only then does it prove something that it fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from attacks import arena
from attacks.row import Attack

pytestmark = pytest.mark.usefixtures("own_cgroup")


def test_it_succeeds(attack: Attack, programs: Path, repetitions: int) -> None:
    with arena.attacker(attack, programs) as attacker:
        report = attacker.strike(arena.successful(attack, repetitions))
    assert report.effects == report.attempts
