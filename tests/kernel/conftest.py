"""What the live tables of hooks share: the engine in this process, and what the machine can do."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from engine import Bench

from lictor.host import features
from lictor.host.gather import gather
from lictor.policy.machine import Machine


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    if os.geteuid() != 0:
        pytest.skip("needs root to load BPF programs")
    made = Bench()
    yield made
    made.close()


@pytest.fixture(scope="session")
def machine() -> Machine:
    return Machine(gather(features.abilities))
