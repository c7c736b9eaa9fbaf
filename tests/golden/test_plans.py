"""Every example, compiled for every saved machine, gives the plan that is kept in `plans/`.

`pytest tests/golden --update` rewrites what is kept; look at the difference before it is committed.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from machines import NAMES, machine
from show import compiled, difference

from lictor.policy.compile import compile_policy

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "policies" / "examples").rglob("*.yaml"))
PLANS = Path(__file__).parent / "plans"


def kept_for(path: Path) -> Path:
    return PLANS / path.relative_to(ROOT / "policies" / "examples").with_suffix(".txt")


def result(path: Path) -> str:
    """The first machine's result; then every other's, as far as it is another one."""
    data = path.read_bytes()
    first = compiled(compile_policy(data, path.name, machine(NAMES[0])))
    lines = [f"== {NAMES[0]}", *first]
    for name in NAMES[1:]:
        other = compiled(compile_policy(data, path.name, machine(name)))
        lines += [f"== {name}", *difference(first, other)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_plan(path: Path, update: bool) -> None:
    kept, found = kept_for(path), result(path)
    if update:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(found)
    assert kept.exists(), "a new example: run pytest tests/golden --update and look at its plan"
    assert found == kept.read_text()


def test_nothing_is_kept_of_examples_that_are_gone(update: bool) -> None:
    wanted = {kept_for(path) for path in EXAMPLES}
    gone = [path for path in PLANS.rglob("*.txt") if path not in wanted]
    if update:
        for path in gone:
            path.unlink()
        gone = []
    assert not gone


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_example_compiles_somewhere(path: Path) -> None:
    data = path.read_bytes()
    results = [compile_policy(data, path.name, machine(name)) for name in NAMES]
    assert any(one.plan for one in results), results[0].diagnostics


def test_the_same_input_gives_the_same_plan() -> None:
    for path in EXAMPLES[:20]:
        data = path.read_bytes()
        plans = [compile_policy(data, path.name, machine(NAMES[0])).plan for _ in range(2)]
        assert plans[0] == plans[1]
