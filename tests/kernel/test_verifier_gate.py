"""Every object loads on this kernel, within the budget of verified instructions."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lictor.kernel.libbpf import KernelError
from lictor.kernel.objects import Object, object_path

pytestmark = pytest.mark.kernel
BUDGET = 100_000


def under_lockdown() -> bool:
    """Lockdown is on, or cannot be told: only then may fentry be refused with EPERM."""
    state = Path("/sys/kernel/security/lockdown")
    return not state.exists() or "[none]" not in state.read_text()


@pytest.mark.parametrize("name", ["process", "creds"])
def test_object_loads_within_the_budget(name: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to load BPF programs")
    with Object(object_path(name)) as loaded:
        try:
            loaded.load()
        except KernelError as error:
            if name == "creds" and error.errno == errno.EPERM and under_lockdown():
                pytest.skip("fentry: refused by lockdown")
            raise AssertionError(f"{error}\n{error.detail}") from error
        counts = {program: loaded.verified_instructions(program) for program in loaded.programs}
    print(os.uname().release, counts)
    assert all(0 < count <= BUDGET for count in counts.values()), counts
