"""What came of single attacks, kept in a file, so that a proof that was cut is continued."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

_SAID = "attack: "
_WITHIN = "ATTACKED_KERNEL="


class Row(NamedTuple):
    """As the attacks tell it (tests/attacks/conftest.py): `outcome` is what was expected."""

    attempts: int
    effects: int
    outcome: str
    name: str


class Kept:
    """The rows of a proof, by the name of the attack."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows = {row.name: row for row in (Row(*json.loads(line)) for line in lines)}

    def take(self, output: Path) -> None:
        """What a run said, one that was cut too."""
        lines = output.read_text().splitlines() if output.exists() else []
        said = [line.partition(_SAID)[2] for line in lines]  # dots may stand before it
        found = [Row(*json.loads(rest)) for rest in said if rest.startswith("[")]
        self.rows |= {row.name: row for row in found}
        if self.rows:
            self._path.write_text("".join(f"{json.dumps(row)}\n" for row in self.rows.values()))

    def summary(self) -> str:
        """In one line: all that must never succeed, and the rates of those that may."""
        stopped = [row for row in self.rows.values() if row.outcome == "STOPPED"]
        races = [f"{row.name}: {row.effects} of {row.attempts}" for row in self.rows.values() if row.outcome == "RACE"]
        attempts, effects = sum(row.attempts for row in stopped), sum(row.effects for row in stopped)
        return "; ".join([f"{len(stopped)} attacks, {attempts} attempts, {effects} effects", *races])


def remaining(command: tuple[str, ...], kept: Kept) -> tuple[str, ...]:
    """The command of a proof, for the attacks that are not kept."""
    done = f"ATTACKS_DONE={json.dumps(sorted(kept.rows))}"
    found = next((place for place, word in enumerate(command) if word.startswith(_WITHIN)), None)
    return command if found is None else (*command[:found], done, *command[found:])
