"""The how-to shows what the commands really print. `--update` writes it anew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from lictor.cli import policy_check, policy_explain

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "howto" / "policies.md"
FACTS = ROOT / "tests" / "golden" / "facts" / "6.12-debian.xz"
_BLOCK = re.compile(r"```(yaml|console)\n(.*?)```", re.DOTALL)
_COMMANDS = {"check": policy_check.command, "explain": policy_explain.command}


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: bool) -> None:
    monkeypatch.chdir(tmp_path)

    def shown(block: re.Match[str]) -> str:
        if block[1] == "yaml":
            Path("policy.yaml").write_text(block[2])
            return block[0]
        line = block[2].splitlines()[0]
        words = line.removeprefix("$ lictor policy ").split()
        printed = CliRunner().invoke(_COMMANDS[words[0]], [*words[1:], "--facts", str(FACTS)]).output
        return f"```console\n{line}\n{printed}```"

    text = PAGE.read_text()
    found = _BLOCK.sub(shown, text)
    if update:
        PAGE.write_text(found)
    assert PAGE.read_text() == found
