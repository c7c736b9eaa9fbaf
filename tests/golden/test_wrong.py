"""Every wrong policy gives the diagnoses that its file ends with: place, gravity, code, message, and what helps.

`pytest tests/golden --update` rewrites those lines. Read them as the author of the policy would before you commit.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from machines import NAMES, machine

from lictor.cli.render import safe
from lictor.policy.codes import CODES
from lictor.policy.compile import Compiled, compile_policy
from lictor.policy.diagnostics import as_text

WRONG = sorted((Path(__file__).parent / "wrong").glob("*.yaml"))
_MARK = "#> "


def compiled(path: Path) -> tuple[str, Compiled]:
    """The policy's own text, and what compiling it gives, for the machine that its second line may name."""
    lines = path.read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith(_MARK.strip()))
    named = re.search(r"^# machine: (\S+)$", text, re.MULTILINE)
    return text, compile_policy(text.encode(), path.name, machine(named[1] if named else NAMES[0]))


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_diagnosis(path: Path, update: bool) -> None:
    text, found = compiled(path)
    expected = text + "".join(f"{_MARK}{line}\n" for line in map(safe, as_text(found.diagnostics)))
    if update:
        path.write_text(expected)
    assert found.diagnostics
    assert path.read_text() == expected


def test_every_diagnosis_has_a_wrong_policy() -> None:
    given = {one.code for path in WRONG for one in compiled(path)[1].diagnostics}
    # Made in unit tests: a file of megabytes, and facts without what every saved machine has.
    assert set(CODES) - given == {"too-large", "facts-missing"}
