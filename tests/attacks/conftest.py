"""Where attacks happen. Everything is attacked in VMs only, where `make prove` runs this folder with
$ATTACKED_KERNEL set; here, what stays in a network namespace and a cgroup of its own. Programs of the attacks
are built beforehand for VMs, where compiling takes long.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from attacks import arena
from attacks.table import ATTACKS
from lictor.host.cgroups import find_hierarchy

HERE = os.environ.get("ATTACKED_KERNEL", "")
DONE = frozenset(json.loads(os.environ.get("ATTACKS_DONE", "[]")))  # in a run before this one


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "attack" in metafunc.fixturenames:
        rows = [one for one in ATTACKS if (HERE in one.kernels if HERE else one.host) and one.name not in DONE]
        metafunc.parametrize("attack", rows, ids=[one.name for one in rows])


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Telling(config))


class _Telling:
    """Tells what was measured in enforce mode as soon as it is known: `make prove` keeps it."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for key, value in report.user_properties:
            if key == "measured" and report.when == "call" and report.passed:
                terminal = self._config.pluginmanager.get_plugin("terminalreporter")
                terminal.ensure_newline()  # type: ignore[union-attr]
                terminal.write_line(f"attack: {json.dumps(value)}")  # type: ignore[union-attr]


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
