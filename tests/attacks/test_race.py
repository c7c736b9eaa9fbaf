"""How often a path that flips gets past a rule on system calls. On the running kernel, where time is real: the rule
holds for children of this test alone."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from engine import Bench

from attacks.conftest import HERE
from lictor.host import features
from lictor.host.gather import gather
from lictor.policy.compile import compile_policy
from lictor.policy.machine import Machine
from lictor.policy.plan import Guarantee

pytestmark = pytest.mark.skipif(bool(HERE), reason="emulated CPUs seldom win a race")
_POLICY = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {{name: race}}
spec:
  kprobes:
  - call: sys_openat
    syscall: true
    args: [{{index: 1, type: string}}]
    selectors:
    - matchPIDs: [{{operator: In, followForks: true, values: [{pid}]}}]
      matchArgs: [{{index: 1, operator: Prefix, values: ["{directory}/bad"]}}]
      matchActions: [{{action: Sigkill}}]
"""
_RUNS_OF, _SECRET = "200", "secret!"


def test_path_that_flips_gets_past_a_rule_on_system_calls(
    own_cgroup: str,
    programs: Path,
    repetitions: int,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    good, bad = tmp_path / "bag", tmp_path / "bad"
    good.write_text("nothing")
    bad.write_text(_SECRET)
    text = _POLICY.format(pid=os.getpid(), directory=tmp_path)
    found = compile_policy(text.encode(), "race", Machine(gather(features.abilities)))
    assert found.plan is not None, found.diagnostics
    promises = {hook.enforcement.guarantee for hook in found.plan.hooks if hook.enforcement}
    assert promises == {Guarantee.KILLED_MAY_HAVE_HAPPENED}
    command = [str(programs / "flip"), str(good), str(bad), _SECRET, _RUNS_OF]
    bench = Bench(own_cgroup)
    try:
        with bench.policy(found.plan):
            ends = Counter(_ended(command) for _ in range(repetitions))
    finally:
        bench.close()
    assert set(ends) <= {0, 42, -signal.SIGKILL}
    assert ends[-signal.SIGKILL]
    record_property("measured", (repetitions, ends[42], "RACE", "path that flips, system call, this kernel"))


def _ended(command: list[str]) -> int:
    child = os.posix_spawn(command[0], command, {})
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
