"""The command line: mistakes are one sentence and exit code 2, and a compact line stays one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.cli.compact import Compact
from lictor.cli.render import safe
from lictor.errors import LictorError
from lictor.host import preflight
from lictor.model.event import LossEvent
from lictor.pipeline.filters import EventFilter, compile_filters

LICTOR = str(Path(sys.executable).parent / "lictor")


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LICTOR, *arguments], capture_output=True, text=True, timeout=30, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--rb-size", "1000"], "power of two"),
        (["run", "--export-file-perm", "999"], "octal"),
        (["run", "-e", "nonsense"], "no event type"),
        (["run", "--binary-regex", "("], "not valid"),
        (["run", "--export-filename", "/nowhere/at/all"], "create its directory"),
        (["agent", "--config-dir", "/nowhere"], "does not exist"),
        (["nonsense"], "No such command"),
        (["evnts"], "Did you mean 'events'?"),
        (["policy", "exlain"], "Did you mean 'explain'?"),
    ],
)
def test_mistakes_are_sentences(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_preflight_names_the_remedy() -> None:
    every = (1 << 41) - 1
    with pytest.raises(LictorError, match="needs root"):
        preflight.check("6.12.0", 1000, every)
    with pytest.raises(LictorError, match=r"needs 6\.1 or newer"):
        preflight.check("5.10.0-9-amd64", 0, every)
    with pytest.raises(LictorError, match="CAP_BPF"):
        preflight.check("6.12.0", 0, 0)
    preflight.check("6.1.0-56-amd64", 0, every)


@given(st.text())
def test_nothing_from_outside_controls_the_terminal(text: str) -> None:
    event = {"process_exec": {"process": {"pid": 1, "binary": text, "arguments": text, "docker": text}}}
    assert safe(text).isprintable()
    assert Compact().line(event).replace("\ufe0f", "").isprintable()


def test_losses_pass_every_filter() -> None:
    wanted = compile_filters([EventFilter(pid=(1,))], [])
    assert wanted(LossEvent(0, 1, "ring", "full"))
