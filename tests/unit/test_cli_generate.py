"""Policies that are generated: what is in them, and that `lictor policy check` has nothing against them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from lictor.cli.main import cli
from lictor.errors import LictorError
from lictor.host import elf

LICTOR = str(Path(sys.executable).parent / "lictor")
SOURCE = """
int wanted(int a) { return a + 1; }
int main(void) {
  __asm__(".pushsection .note.stapsdt,\\"\\",@note\\n.balign 4\\n.4byte 992f-991f, 994f-993f, 3\\n"
          "991: .asciz \\"stapsdt\\"\\n992: .balign 4\\n993: .quad 0, 0, 0\\n"
          ".asciz \\"shop\\"\\n.asciz \\"sold\\"\\n.asciz \\"-4@%edi\\"\\n994: .balign 4\\n.popsection");
  return wanted(0);
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("program")
    (directory / "p.c").write_text(SOURCE)
    subprocess.run(["gcc", "-O0", "-o", str(directory / "p"), str(directory / "p.c")], check=True)
    return str(directory / "p")


def generated(*arguments: str) -> tuple[str, Any]:
    done = CliRunner().invoke(cli, ["policy", "generate", *arguments], catch_exceptions=False)
    return done.output, yaml.safe_load(done.output)


def test_functions_and_probes_of_a_program(program: str) -> None:
    _, policy = generated("uprobes", "-b", program, "--name", "mine")
    (hook,) = policy["spec"]["uprobes"]
    assert policy["metadata"]["name"] == "mine"
    assert hook["path"] == program
    assert {"wanted", "main"} <= set(hook["symbols"])
    _, policy = generated("usdts", "-b", program, "-m", "/bin/a", "-m", "/bin/b")
    (probe,) = policy["spec"]["usdts"]
    assert (probe["provider"], probe["name"]) == ("shop", "sold")
    assert probe["selectors"] == [{"matchBinaries": [{"operator": "In", "values": ["/bin/a", "/bin/b"]}]}]


def test_a_list_is_limited_at_its_hook() -> None:
    _, policy = generated("ftrace-list", "-r", "^tcp_", "-m", "/bin/a")
    (values,), (hook,) = policy["spec"]["lists"], policy["spec"]["kprobes"]
    assert values == {"name": "generated", "type": "generated_ftrace", "pattern": "^tcp_"}
    assert (hook["call"], hook["syscall"]) == ("list:generated", False)
    assert hook["selectors"][0]["matchBinaries"][0]["values"] == ["/bin/a"]


@pytest.mark.parametrize("kind", ["all-syscalls", "all-syscalls-list"])
def test_the_compiler_takes_it(kind: str) -> None:
    text, _ = generated(kind)
    done = subprocess.run(
        [LICTOR, "policy", "check", "--json", "-"], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert not [one for one in json.loads(done.stdout) if one["severity"] == "error"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["uprobes", "-b", "/etc/passwd"], "is no program"),
        (["uprobes", "-b", "/nowhere"], "cannot read /nowhere"),
        (["usdts", "-b", sys.executable], "no static probes"),
        (["ftrace-list", "-r", "("], "("),
        (["empty", "-m", "/bin/a"], "nothing to match"),
    ],
)
def test_mistakes_are_sentences(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(cli, ["policy", "generate", *arguments])
    assert isinstance(done.exception, LictorError)
    assert says in str(done.exception)


def test_a_stripped_program(program: str, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run(["strip", "-o", str(bare), program], check=True)
    with pytest.raises(LictorError, match="stripped"):
        elf.functions_of(str(bare))
