"""Live tables: a policy, what is done under it, and what its events must hold. The truth comes from the action itself:
the port it was given, the inode it made."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine import Bench

from lictor.policy.compile import compile_policy
from lictor.policy.machine import Machine
from lictor.policy.plan import Plan

Expected = dict[str, Any]
HEAD = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: row}\nspec:\n"


@dataclass(frozen=True)
class Row:
    """`spec` is the policy's, with DIR for the test's directory. `action` gives the truth, `expected` makes of it what
    each event of this process must hold, in order. `needs` are abilities of the kernel, `functions` what it must have;
    `without`: abilities that the compiler shall do without. `of`: whose events, if not this thread's."""

    name: str
    spec: str
    action: Callable[[Path], Any]
    expected: Callable[[Any], list[Expected]]
    needs: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    of: Callable[[Any], int] = lambda _: os.getpid()


def compiled(spec: str, machine: Machine, without: tuple[str, ...] = ()) -> Plan:
    """The plan of a policy that must compile."""
    if without:
        missing = dict.fromkeys(without, "left out by the test")
        machine = Machine(msgspec.structs.replace(machine.facts, abilities=machine.facts.abilities | missing))
    done = compile_policy((HEAD + spec).encode(), "row", machine)
    assert done.plan is not None, list(done.diagnostics)
    return done.plan


def run(row: Row, bench: Bench, machine: Machine, directory: Path) -> None:
    lacking = [one for one in row.needs if machine.lacks(one)]
    if lacking:
        pytest.skip(f"{lacking[0]}: {machine.lacks(lacking[0])}")
    plan = compiled(row.spec.replace("DIR", str(directory)), machine, row.without)
    truth: list[Any] = []
    found = bench.during(plan, lambda: truth.append(row.action(directory)))
    mine = [event for event in found if event["tid"] == row.of(truth[0])]
    expected = row.expected(truth[0])
    assert len(mine) == len(expected), mine
    for event, wanted in zip(mine, expected, strict=True):
        differs = difference(event, wanted)
        assert not differs, f"{differs} in {event}"


def difference(found: Any, wanted: Any, at: str = "") -> str:
    """Where `found` does not hold what is wanted; empty if it does. A callable is asked."""
    if callable(wanted):
        return "" if wanted(found) else f"{at}: {found!r} is not as wanted"
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return f"{at}: {found!r} has no members"
        places = (difference(found.get(key), one, f"{at}.{key}") for key, one in wanted.items())
        return next(filter(None, places), "")
    if isinstance(wanted, list):
        if not isinstance(found, list | tuple) or len(found) != len(wanted):
            return f"{at}: {found!r} are not {len(wanted)}"
        places = (difference(*pair, f"{at}[{n}]") for n, pair in enumerate(zip(found, wanted, strict=True)))
        return next(filter(None, places), "")
    return "" if found == wanted else f"{at}: {found!r} is not {wanted!r}"
