"""Ids and formats of tracepoints, whether tracefs is mounted or not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lictor.errors import LictorError
from lictor.host import tracefs
from lictor.host.features import abilities
from lictor.host.gather import gather

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to open tracefs")


def test_a_mount_of_our_own_has_what_the_mounted_one_has() -> None:
    before = Path("/proc/self/mountinfo").read_text()
    number = tracefs.open_detached()
    try:
        own = Path(f"/proc/self/fd/{number}/events/sched/sched_switch/id").read_text()
    finally:
        os.close(number)
    assert int(own) == tracefs.tracepoint_id("sched", "sched_switch") > 0
    assert Path("/proc/self/mountinfo").read_text() == before


def test_formats_and_the_ability_are_found() -> None:
    facts = gather(abilities)
    assert "tracepoint formats" not in facts.missing
    assert facts.tracepoint("sched", "sched_process_exit") is not None
    assert facts.abilities["tracepoint"] == ""


@pytest.mark.parametrize("event", ["no_such_event", "../sched/sched_switch", ""])
def test_what_there_is_not_is_said(event: str) -> None:
    with pytest.raises(LictorError, match="tracepoint"):
        tracefs.tracepoint_id("sched", event)
