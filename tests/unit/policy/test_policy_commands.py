"""`lictor policy check` and `explain`: what they print and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lictor.cli import policy_check, policy_explain
from lictor.cli.policy import command as group
from lictor.errors import LictorError

FACTS = Path(__file__).parents[2] / "golden" / "facts" / "6.12-debian.xz"
HEAD = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: test}\nspec:\n"
GOOD = HEAD + "  lsmhooks: [{hook: file_open, args: [{index: 0, type: file}]}]\n"
WARNS = HEAD + "  kprobes: [{call: sys_dup, selectors: [{matchActions: [{action: Sigkill}]}]}]\n"
WRONG = HEAD + "  lsmhooks: [{hook: file_opne}]\n"


def check(directory: Path, text: str, *options: str) -> Result:
    file = directory / "policy.yaml"
    file.write_text(text)
    return CliRunner().invoke(policy_check.command, [str(file), "--facts", str(FACTS), *options])


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [(GOOD, (), 0), (GOOD, ("--strict",), 0), (WARNS, (), 0), (WARNS, ("--strict",), 1), (WRONG, (), 1)],
)
def test_how_check_ends(tmp_path: Path, text: str, options: tuple[str, ...], code: int) -> None:
    assert check(tmp_path, text, *options).exit_code == code


def test_findings_as_text_and_json(tmp_path: Path) -> None:
    printed = check(tmp_path, WRONG).output
    place = f"{tmp_path}/policy.yaml:5:21"
    assert printed.splitlines()[:2] == [
        f"{place}: error: LSM hook `file_opne` does not exist on 6.12.117+deb12-amd64 [unknown-hook]",
        "    hint: did you mean `file_open`?",
    ]
    (found,) = json.loads(check(tmp_path, WRONG, "--json").output)
    assert (found["code"], found["severity"], found["line"], found["column"]) == ("unknown-hook", "error", 5, 21)


def test_sarif_and_quiet(tmp_path: Path) -> None:
    log = json.loads(check(tmp_path, WRONG, "--sarif").output)
    assert log["runs"][0]["results"][0]["ruleId"] == "unknown-hook"
    assert "kill-without-deny" in check(tmp_path, WARNS).output
    assert "kill-without-deny" not in check(tmp_path, WARNS, "--quiet").output


def test_check_says_what_enforcement_promises(tmp_path: Path) -> None:
    denies = HEAD + "  lsmhooks: [{hook: file_open, selectors: [{matchActions: [{action: Override, argError: -1}]}]}]\n"
    said = "test: file_open: prevented by lsm; around it: descriptors that were open before"
    assert said in check(tmp_path, denies).output.splitlines()
    assert said not in check(tmp_path, denies, "--quiet").output
    assert "around it" not in check(tmp_path, GOOD).output


def test_standard_input(tmp_path: Path) -> None:
    done = CliRunner().invoke(policy_check.command, ["-", "--facts", str(FACTS)], input=WRONG)
    assert done.output.startswith("<stdin>:5:21: error")
    assert tmp_path.is_dir()


def test_what_cannot_run(tmp_path: Path) -> None:
    missing = CliRunner().invoke(policy_check.command, [str(tmp_path / "none"), "--facts", str(FACTS)])
    assert isinstance(missing.exception, LictorError)
    assert missing.exception.exit_code == 2
    (tmp_path / "policy.yaml").write_text(GOOD)
    broken = CliRunner().invoke(policy_check.command, [str(tmp_path / "policy.yaml"), "--facts", "/etc/passwd"])
    assert isinstance(broken.exception, LictorError)


def test_explain_in_words_and_as_json(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(GOOD)
    arguments = [str(file), "--facts", str(FACTS)]
    words = CliRunner().invoke(policy_explain.command, arguments)
    assert words.exit_code == 0
    assert "attached  lsm file_open: the policy says so" in words.output
    whole = json.loads(CliRunner().invoke(policy_explain.command, [*arguments, "--json"]).output)
    assert whole["plan"]["hooks"][0]["name"] == "lsm:file_open"
    stage = json.loads(CliRunner().invoke(policy_explain.command, [*arguments, "--after", "values"]).output)
    assert stage["hooks"][0]["reads"][0]["type"] == "file"
    assert "attaches" not in stage["hooks"][0]
    document = json.loads(CliRunner().invoke(policy_explain.command, [*arguments, "--after", "document"]).output)
    assert document["spec"]["lsmhooks"][0]["hook"] == "file_open"


def test_explain_says_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(WRONG)
    done = CliRunner().invoke(policy_explain.command, [str(file), "--facts", str(FACTS)])
    assert done.exit_code == 1
    assert "unknown-hook" in done.output


def test_the_group_knows_its_commands() -> None:
    printed = CliRunner().invoke(group, ["--help"]).output
    assert all(name in printed for name in ("check", "explain", "schema"))


def test_those_who_may_not_try_the_kernel_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    file = tmp_path / "policy.yaml"
    file.write_text(HEAD + "  kprobes: [{call: vfs_write, syscall: false}]\n")
    done = CliRunner().invoke(policy_check.command, [str(file)])
    assert done.exit_code == 0
    assert "only root can try" in done.output
