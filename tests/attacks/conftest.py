"""The programs of the attacks: built beforehand for VMs, where compiling takes long. Only there is everything attacked:
`tests/vm/test_attacks.py` runs this folder in them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from attacks import arena

if "LICTOR_ATTACKED_KERNEL" not in os.environ:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("LICTOR_ATTACK_PROGRAMS")
    return arena.build(Path(given) if given else tmp_path_factory.mktemp("programs"))
