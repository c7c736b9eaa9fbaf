"""What `lictor probe` says is what the kernel does."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from conftest import LICTOR

from lictor.sensors.process import ProcessSensor

pytestmark = pytest.mark.kernel

ALWAYS = {"tp_btf", "bpf_loop", "raw_tp", "iter/task", "task storage", "ring dynptr", "cgroup_skb", "cgroup/connect"}
STOCK = ALWAYS | {"fentry", "fexit", "kprobe", "kretprobe", "tracepoint", "lsm", "fmod_ret", "bpf_send_signal"}
# Debian's kernels, by the beginning of their release. Elsewhere only what every kernel must have is known.
KNOWN = {"6.1.": STOCK, "6.12.": STOCK | {"kprobe.multi"}}


def probe() -> dict[str, Any]:
    done = subprocess.run([LICTOR, "probe", "--json"], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_is_here() -> None:
    found = probe()
    here = {feature["name"] for feature in found["features"] if feature["available"]}
    release = os.uname().release
    debian = next((known for begin, known in KNOWN.items() if release.startswith(begin) and "amd64" in release), ALWAYS)
    assert here >= debian
    assert found["ready"] is True
    for feature in found["features"]:
        assert bool(feature["reason"]) == (not feature["available"])


def test_it_agrees_with_the_sensor() -> None:
    fentry = next(one for one in probe()["features"] if one["name"] == "fentry")
    sensor = ProcessSensor()
    try:
        sensor.start()
        assert sensor.exact_privileges == fentry["available"]
    finally:
        sensor.close()


def test_the_table_for_people_names_every_ability() -> None:
    shown = subprocess.run([LICTOR, "probe"], capture_output=True, text=True, check=True).stdout
    assert all(feature["name"] in shown for feature in probe()["features"])
    assert shown.splitlines()[-1] == "Ready."
    assert "\x1b" not in shown
