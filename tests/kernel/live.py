"""Live tables: a policy, what is done under it, and the events that must come of it."""

from __future__ import annotations

import os
import subprocess
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
POST = "KPROBE_ACTION_POST"


@dataclass(frozen=True)
class Row:
    """`spec` is the policy's. `expected` is what each event of this process must contain; a callable in it is asked.

    `needs` are abilities of the kernel, `without` those that the compiler shall do without, `function` one that the
    kernel must have. `everyone`: events of other processes count too. `given`: whether what the trigger needs is here.
    """

    name: str
    spec: str
    action: Callable[[Path], object]
    expected: Callable[[Path], list[Expected]]
    needs: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    function: str = ""
    everyone: bool = False
    given: Callable[[], bool] = lambda: True


def learned(
    name: str,
    spec: str,
    action: Callable[[Path], Any],
    expected: Callable[[Any], list[Expected]],
    needs: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
) -> Row:
    """A row whose `expected` is of what the action gave: the port it got, the inode it made."""
    truth: list[Any] = []

    def act(directory: Path) -> None:
        truth[:] = [action(directory)]

    return Row(name, spec, act, lambda _: expected(truth[0]), needs, without)


def rows(table: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", table, ids=[row.name for row in table])


def compiled(spec: str, machine: Machine, name: str = "row") -> Plan:
    text = f"apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {{name: {name}}}\nspec:\n{spec}"
    found = compile_policy(text.encode(), name, machine)
    assert found.plan is not None, [f"{one.message} {one.hint}" for one in found.diagnostics]
    return found.plan


def check(row: Row, bench: Bench, machine: Machine, directory: Path) -> None:
    """Run a row."""
    lacking = [one for one in row.needs if machine.lacks(one)]
    if lacking:
        pytest.skip(f"{lacking[0]}: {machine.lacks(lacking[0])}")
    if not row.given():
        pytest.skip("what the trigger needs is not here")
    if row.function and machine.function(row.function) is None:
        pytest.skip(f"this kernel has no {row.function}")
    for name in ("wanted", "other"):
        (directory / name).write_text("x" * 100)
        (directory / name).chmod(0o644)
    if row.without:
        missing = dict.fromkeys(row.without, "left out by the test")
        machine = Machine(msgspec.structs.replace(machine.facts, abilities=machine.facts.abilities | missing))
    spec = row.spec.replace("DIR", str(directory)).replace("SELF", str(os.getpid()))
    found = bench.during(compiled(spec, machine), lambda: row.action(directory))
    mine = [event for event in found if row.everyone or event["tid"] == os.getpid()]
    expected = row.expected(directory)
    assert len(mine) == len(expected), mine
    for event, wanted in zip(mine, expected, strict=True):
        for key, value in wanted.items():
            assert _fits(event.get(key), value), (key, event)


def _fits(found: Any, wanted: Any) -> bool:
    if callable(wanted):
        return bool(wanted(found))
    if isinstance(wanted, (list, tuple)):
        return len(found) == len(wanted) and all(map(_fits, found, wanted))
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_fits(found.get(key), value) for key, value in wanted.items())
    return bool(found == wanted)


def file_arg(path: Path | str) -> Expected:
    return {"file_arg": {"path": str(path), "permission": "-rw-r--r--"}}


def run(*command: str) -> None:
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def far_below(directory: Path, levels: int) -> int:
    """A descriptor of a directory so many levels down, each with the longest possible name."""
    here = os.open(directory, os.O_PATH)
    for _ in range(levels):
        os.mkdir("d" * 255, dir_fd=here)
        above, here = here, os.open("d" * 255, os.O_PATH, dir_fd=here)
        os.close(above)
    return here


def copy_of(program: str, directory: int) -> int:
    """A descriptor of `program` in the directory, a copy."""
    with os.fdopen(os.open("program", os.O_CREAT | os.O_WRONLY, 0o755, dir_fd=directory), "wb") as file:
        file.write(Path(program).read_bytes())
    return os.open("program", os.O_RDONLY, dir_fd=directory)
