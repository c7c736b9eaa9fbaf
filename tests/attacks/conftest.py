"""Where attacks happen. Everything is attacked in VMs only, where `make prove` runs this folder with
$ATTACKED_KERNEL set; here, what stays in a network namespace and a cgroup of its own. Programs of the attacks
are built beforehand for VMs, where compiling takes long.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from attacks import arena
from attacks.row import Outcome
from attacks.table import ATTACKS
from lictor.host.cgroups import find_hierarchy

HERE = os.environ.get("ATTACKED_KERNEL", "")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "attack" in metafunc.fixturenames:
        rows = [one for one in ATTACKS if (HERE in one.kernels if HERE else one.host)]
        metafunc.parametrize("attack", rows, ids=[one.name for one in rows])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured in enforce mode, in one line: `make prove` keeps it."""
    passed = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    found = [value for one in passed for key, value in getattr(one, "user_properties", ()) if key == "measured"]
    stopped = [(attempts, effects) for attempts, effects, outcome, _ in found if outcome == Outcome.STOPPED.name]
    if stopped:
        attempts, effects = (sum(column) for column in zip(*stopped, strict=True))
        races = [f"{name}: {effects} of {tries}" for tries, effects, outcome, name in found if outcome == "RACE"]
        said = [f"{len(stopped)} attacks, {attempts} attempts, {effects} effects", *races]
        terminalreporter.write_line("measured: " + "; ".join(said))


@pytest.fixture(scope="session", autouse=True)
def load() -> Iterator[None]:
    """Busy CPUs, for proofs."""
    with arena.busy() if "ATTACK_UNDER_LOAD" in os.environ else contextlib.nullcontext():
        yield


@pytest.fixture(scope="session")
def repetitions() -> int:
    return int(os.environ.get("ATTACK_REPETITIONS", "50"))


@pytest.fixture(scope="session")
def own_cgroup() -> Iterator[str]:
    """A cgroup that this process is in, and all that it starts. In a VM the root will do."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root = Path(find_hierarchy().programs)
    if HERE:
        yield str(root)
        return
    before = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    own = root / f"lictor-attacks-{os.getpid()}"
    own.mkdir()
    (own / "cgroup.procs").write_text(str(os.getpid()))
    yield str(own)
    (root / before.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
    own.rmdir()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("ATTACK_PROGRAMS")
    return arena.build(Path(given) if given else tmp_path_factory.mktemp("programs"))
