"""Every object loads on this kernel, within the budget of verified instructions and near the figures that are kept."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from lictor.kernel.libbpf import KernelError
from lictor.kernel.objects import Object, object_path

pytestmark = pytest.mark.kernel
BUDGET = 100_000
KEPT = json.loads((Path(__file__).parents[2] / "bpf" / "verified-instructions.json").read_text())


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
    assert all(0 < count <= BUDGET for count in counts.values()), counts
    kept = next((figures for kernel, figures in KEPT.items() if os.uname().release.startswith(f"{kernel}.")), None)
    if kept is None:
        return
    assert counts.keys() == kept[name].keys()
    for program, count in counts.items():
        # A jump is worth a look before it is accepted: python tools/verifier.py --update
        assert count <= kept[name][program] * 1.25, f"{program}: {count}, it was {kept[name][program]}"
