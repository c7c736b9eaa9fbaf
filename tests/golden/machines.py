"""The machines that golden tests compile for: facts saved by `tools/save_facts.py`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from lictor.host.facts import HostFacts
from lictor.policy.machine import Machine

SAVED = Path(__file__).parent / "facts"
# The first one's plans are written out; of the others, what is different.
NAMES = ("6.12-debian", "6.1-debian", "7.3-debian", "6.12-lictor", "6.18-lockdown")


@cache
def machine(name: str) -> Machine:
    return Machine(HostFacts.from_json((SAVED / f"{name}.xz").read_bytes()))
