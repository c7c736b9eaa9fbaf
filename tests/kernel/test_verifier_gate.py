"""Every object loads on this kernel, within the budget of verified instructions and near the figures that are kept."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import verifier

from lictor.kernel.libbpf import KernelError

pytestmark = pytest.mark.kernel
BUDGET = 100_000
KEPT = json.loads((Path(__file__).parents[2] / "bpf" / "verified-instructions.json").read_text())


def under_lockdown() -> bool:
    """Lockdown is on, or cannot be told: only then may fentry be refused with EPERM."""
    state = Path("/sys/kernel/security/lockdown")
    return not state.exists() or "[none]" not in state.read_text()


# Those that a kernel under lockdown refuses.
TRACED = ("creds", "fentry", "lsm", "fmod_ret")


@pytest.mark.parametrize("name", list(verifier.OBJECTS))
def test_object_loads_within_the_budget(name: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to load BPF programs")
    try:
        counts = verifier.measure([*verifier.OBJECTS[name], name])[name]
    except KernelError as error:
        if name in TRACED and error.errno == errno.EPERM and under_lockdown():
            pytest.skip(f"{name}: refused by lockdown")
        if name == "kprobe_multi" and error.errno == errno.EINVAL and not verifier.has_kprobe_multi():
            pytest.skip("the kernel has no kprobe.multi")
        if name == "override" and error.errno == errno.EINVAL and not verifier.has_error_injection():
            pytest.skip("the kernel has no error injection")
        raise AssertionError(f"{error}\n{error.detail}") from error
    assert all(0 < count <= BUDGET for count in counts.values()), counts
    kept = next((figures for kernel, figures in KEPT.items() if os.uname().release.startswith(f"{kernel}.")), None)
    if kept is None or name not in kept:
        return  # nobody has looked under this kernel yet: the budget is all there is
    assert counts.keys() == kept[name].keys()
    for program, count in counts.items():
        # A jump is worth a look before it is accepted: python tools/verifier.py --update
        assert count <= kept[name][program] * 1.25, f"{program}: {count}, it was {kept[name][program]}"
