"""What `lictor facts` says of this kernel is what the kernel does."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import LICTOR

from lictor.host import preflight
from lictor.host.facts import HostFacts

pytestmark = pytest.mark.kernel

KPROBE_EVENTS = Path("/sys/kernel/tracing/kprobe_events")
RELEASE = preflight.kernel_version(os.uname().release)
_OF_A_KIND = 20  # functions tried of each kind


@pytest.fixture(scope="module")
def facts() -> HostFacts:
    if os.geteuid() != 0:
        pytest.skip("needs root to try what the kernel can do")
    done = subprocess.run([LICTOR, "facts"], capture_output=True, check=True)
    found = HostFacts.from_json(done.stdout)
    assert [line for line in done.stderr.decode().splitlines() if "left out" in line] == [
        f"lictor: left out: {name}: {why}" for name, why in found.missing.items()
    ]
    return found


def test_abilities_are_those_of_probe(facts: HostFacts) -> None:
    probed = json.loads(subprocess.run([LICTOR, "probe", "--json"], capture_output=True, check=True).stdout)
    assert facts.abilities == {one["name"]: one["reason"] for one in probed["features"]}


@pytest.fixture
def events() -> Iterator[Path]:
    if not KPROBE_EVENTS.exists():
        pytest.skip("this kernel has no kprobes")
    yield KPROBE_EVENTS
    for line in KPROBE_EVENTS.read_text().splitlines():
        if ":lictor_test/" in line:
            assert _write(KPROBE_EVENTS, f"-:{line.split()[0].partition(':')[2]}")


def test_kprobes_can_be_put_where_facts_say_so(facts: HostFacts, events: Path) -> None:
    """A probe is set (and not enabled) on functions of every kind."""
    kinds: dict[str, list[str]] = {}
    for name in facts.function_names()[::7]:
        found = facts.function(name)
        # A kernel before 6.7 puts a probe on any one of several functions; facts say no on every kernel.
        if found is not None and not found.module and not (found.symbol.ambiguous and RELEASE < (6, 7)):
            kinds.setdefault(found.kprobe, []).append(name)
    assert "" in kinds
    wrong = []
    for reason, names in kinds.items():
        for number, name in enumerate(names[:: max(1, len(names) // _OF_A_KIND)]):
            if _write(events, f"p:lictor_test/e{number}_{len(reason)} {name}") == bool(reason):
                wrong.append((name, reason))
    assert wrong == []


def _write(events: Path, command: str) -> bool:
    """Whether the kernel takes a line. The file cannot be sought in, as `open(…, "a")` does."""
    try:
        fd = os.open(events, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, command.encode() + b"\n")
        finally:
            os.close(fd)
    except OSError:
        return False
    return True
