"""The commands that talk to an agent, against a served API."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_ports import LOG, MANAGER, PORTS
from click.testing import CliRunner, Result
from serving import Serving

from lictor import __version__, log
from lictor.api.ports import EventLogParams, Ports
from lictor.cli import explain
from lictor.cli.bugreport import without_secrets
from lictor.cli.debug import NO_TABLES
from lictor.cli.main import ABSENT, COMMANDS, cli
from lictor.cli.policy import COMMANDS as POLICY_COMMANDS
from lictor.cli.render import table
from lictor.errors import LictorError
from lictor.host.build_options import build_options
from lictor.policy.plan import Mode
from lictor.policy.schema import json_schema

LICTOR = str(Path(sys.executable).parent / "lictor")
POLICY = "kind: TracingPolicy\nmetadata: {name: a}\nspec: {options: [{name: policy-mode, value: enforce}]}\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    running = Serving(str(tmp_path_factory.mktemp("api") / "api.sock"), PORTS)
    yield f"unix://{running.path}"
    running.stop()


@pytest.fixture
def lictor(address: str) -> Any:
    def run(*arguments: str, fails: bool = False, **options: Any) -> str:
        done: Result = CliRunner().invoke(
            cli, arguments, env={"LICTOR_SERVER_ADDRESS": address}, catch_exceptions=False, **options
        )
        assert (done.exit_code != 0) is fails, done.output
        return done.output

    return run


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return str(path)


def test_add(lictor: Any, file: str) -> None:
    assert lictor("policy", "add", file) == f"{file}: added\n"
    assert MANAGER.asked[-1] == (POLICY.encode(), "grpc")
    lictor("tp", "add", "-", "--domain", "d", input="from standard input")
    assert MANAGER.asked[-1] == (b"from standard input", "d")
    assert json.loads(lictor("tracingpolicy", "add", file, "-o", "json")) == {"policy": file, "done": "added"}


def test_add_with_a_mode(lictor: Any, file: str) -> None:
    lictor("policy", "add", "--mode", "monitor", file)
    text, _ = MANAGER.asked[-1]
    assert b"policy-mode" in text
    assert b"monitor" in text
    assert b"enforce" not in text


def test_add_says_what_is_wrong(lictor: Any, tmp_path: Path) -> None:
    wrong = tmp_path / "x.yaml"
    wrong.write_text("wrong")
    with pytest.raises(LictorError, match=r"x.yaml: line 3 is wrong: correct it"):
        lictor("policy", "add", str(wrong))
    with pytest.raises(LictorError, match="cannot read"):
        lictor("policy", "add", str(tmp_path / "nothing"))


def test_changes(lictor: Any, file: str) -> None:
    lictor("policy", "delete", "a", "-n", "n")
    assert MANAGER.asked[-1] == ("a", "n", "grpc")
    lictor("policy", "disable", "a", "b", "--domain", "d")
    assert MANAGER.asked[-2:] == [("a", "", "d", False, None), ("b", "", "d", False, None)]
    lictor("policy", "enable", "a")
    assert MANAGER.asked[-1] == ("a", "", "grpc", True, None)
    lictor("policy", "set-mode", "a", "monitor")
    assert MANAGER.asked[-1] == ("a", "", "grpc", None, Mode.MONITOR)
    lictor("policy", "modify", file)
    assert MANAGER.asked[-1] == ("replace", POLICY.encode(), "grpc")
    with pytest.raises(LictorError, match="there is none"):
        lictor("policy", "delete", "b")


def test_list(lictor: Any) -> None:
    lines = lictor("policy", "list").splitlines()
    assert lines[0].split() == (
        [
            "ID",
            "NAME",
            "DOMAIN",
            "STATE",
            "FILTERID",
            "NAMESPACE",
            "SENSORS",
            "KERNELMEMORY",
            "MODE",
            "NPOST",
            "NENFORCE",
            "NMONITOR",
        ]
    )
    assert lines[1].split() == [
        "7",
        "a",
        "grpc",
        "partially_enabled",
        "0",
        "n",
        "generic_kprobe",
        "0.00",
        "MB",
        "monitor",
        "11",
        "0",
        "2",
    ]
    found = json.loads(lictor("tp", "list", "-o", "json"))
    assert found["policies"][0]["name"] == "a"
    assert lictor("policy", "domains").split() == ["grpc", "static"]
    assert json.loads(lictor("policy", "domains", "-o", "json")) == ["grpc", "static"]


def test_stats(lictor: Any) -> None:
    lines = lictor("policy", "stats").splitlines()
    assert lines[1].split() == ["a", "kprobe:x", "0.0", "first", *map(str, (9, 1, 0, 3, 4, 5, 0, 2)), "0.001500", "s"]
    assert lines[3:] == ["a: 6 values that conditions asked for could not be read"]
    rows = json.loads(lictor("policy", "stats", "a", "-o", "json"))
    assert [row["counters"]["post"] for row in rows] == [1, 10]
    assert [(row["matches"], row["hook_ns"]) for row in rows] == [(9, 1_500_000), (0, 0)]
    assert json.loads(lictor("policy", "stats", "other", "-o", "json")) == []


def test_status(lictor: Any, address: str) -> None:
    assert lictor("status").splitlines() == [
        f"Agent     {__version__} at {address}: running",
        "Policies  1 partially_enabled",
    ]
    assert json.loads(lictor("status", "-o", "json"))["running"] is True


def test_info(lictor: Any) -> None:
    found = json.loads(lictor("info", "-o", "json"))
    assert found["probes"] == {"lsm": True, "kprobe": False}
    assert found["settings"]["rb-size"] == 8
    assert found["settings"]["extras"] is True
    assert "log-level" in lictor("info")


def test_loglevel(lictor: Any) -> None:
    before = log.level()
    assert lictor("loglevel", "set", "trace") == "trace\n"
    assert json.loads(lictor("loglevel", "get", "-o", "json")) == {"level": "trace"}
    assert lictor("loglevel", "set", "warning") == "warn\n"
    log.set_level(before)
    lictor("loglevel", "set", "nonsense", fails=True)


def test_eventlog(lictor: Any) -> None:
    LOG.params = EventLogParams(10, 0.0, 5)
    told = lictor("eventlog", "set", "--max-size", "20", "--rotation-interval", "1h", "-o", "json")
    assert json.loads(told)["max_size"] == 20
    assert EventLogParams(20, 3600.0, 5) == LOG.params
    assert json.loads(lictor("eventlog", "get", "-o", "json"))["rotation_interval"] == "3600s"
    assert "20 MB" in lictor("eventlog", "get")
    with pytest.raises(LictorError, match="nothing is changed"):
        lictor("eventlog", "set")


def test_debug(lictor: Any) -> None:
    assert "/gone" in lictor("debug", "dump", "processcache")
    assert "/gone" not in lictor("debug", "dump", "processcache", "--skip-zero-refcnt")
    assert len(json.loads(lictor("debug", "dump", "processcache", "-o", "json"))["processes"]) == 2


def test_version(lictor: Any, tmp_path: Path) -> None:
    assert json.loads(lictor("version", "-o", "json")) == {"client": __version__, "agent": __version__}
    assert json.loads(lictor("version", "--client", "-o", "json")) == {"client": __version__}
    alone = lictor("version", "--server-address", f"unix://{tmp_path}/nothing.sock")
    assert alone.startswith(f"client  {__version__}\nagent   no agent answers")


ELSEWHERE = [((), name) for name in ABSENT] + [(("debug", "dump"), name) for name in NO_TABLES]


@pytest.mark.parametrize(("group", "name"), ELSEWHERE)
def test_commands_that_have_nothing_behind_them_here_say_so(group: tuple[str, ...], name: str) -> None:
    done = subprocess.run([LICTOR, *group, name, "list"], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"there is no `{name}` here: " in done.stderr


def test_explain() -> None:
    def explain(*words: str) -> str:
        done = CliRunner().invoke(cli, ["explain", *words], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    assert "spec" in explain()
    assert explain("tracingpolicy.spec.kprobes.call").startswith("FIELD: tracingpolicy.spec.kprobes.call <string>\n")
    assert "index" in explain("tgtp.spec.kprobes.args")
    assert "matchActions <[]MatchAction>" in explain("-R", "spec.lsmhooks")
    assert "rateLimit" in json.loads(explain("-o", "json", "spec.kprobes.selectors.matchActions"))["fields"]
    with pytest.raises(LictorError, match=r"has no field calll: did you mean tracingpolicy\.spec\.kprobes\.call\?"):
        CliRunner().invoke(cli, ["explain", "spec.kprobes.calll"], catch_exceptions=False)


def test_every_field_of_a_policy_can_be_explained() -> None:
    """None leads nowhere, and each says what it means."""
    whole = json_schema()

    def walk(path: list[str]) -> int:
        found = explain.find(whole, path)
        assert found.get("description") or not path, path
        return 1 + sum(walk([*path, name]) for name, _ in explain._fields(whole, found))

    assert walk([]) > 200


def test_how_the_kernel_was_built(tmp_path: Path) -> None:
    (tmp_path / "config.gz").write_bytes(gzip.compress(b"CONFIG_BPF=y\n# CONFIG_IMA is not set\nCONFIG_FPROBE=m\n"))
    found = build_options((tmp_path / "none", tmp_path / "config.gz"))
    assert (found["CONFIG_BPF"], found["CONFIG_IMA"], found["CONFIG_FPROBE"]) == ("y", "n", "m")
    with pytest.raises(LictorError, match="does not tell how it was built"):
        build_options((tmp_path / "none",))


def test_bugreport(lictor: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.tar.gz"
    assert "look through it" in lictor("bugreport", "-o", str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        names = archive.getnames()
        policies = archive.extractfile("lictor-bugreport/policies.json")
        assert policies is not None
        assert b'"name": "a"' in policies.read()
    assert {"lictor-bugreport/info.json", "lictor-bugreport/config.yaml", "lictor-bugreport/missing.json"} <= set(names)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("export-password: hunter2", "export-password: *****"),
        ('{"api_key": "x y", "other": 1}', '{"api_key": *****, "other": 1}'),
        ("nats://user:hunter2@host/x", "nats://user:*****@host/x"),
        ("TOKEN=abc next", "TOKEN=***** next"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_secrets_are_taken_out(text: str, wanted: str) -> None:
    assert without_secrets(text) == wanted


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    script = CliRunner().invoke(cli, ["completion", shell]).output
    assert "_LICTOR_COMPLETE" in script
    word = "eve" if shell == "fish" else "1"
    environment = {"_LICTOR_COMPLETE": f"{shell}_complete", "COMP_WORDS": "lictor eve", "COMP_CWORD": word}
    done = subprocess.run([LICTOR], env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert "events" in done.stdout


def test_an_agent_without_policies(tmp_path: Path) -> None:
    running = Serving(str(tmp_path / "api.sock"), Ports())
    environment = {"LICTOR_SERVER_ADDRESS": f"unix://{running.path}"}
    done = subprocess.run(
        [LICTOR, "policy", "list"], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    running.stop()
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "UNIMPLEMENTED" in done.stderr


@pytest.mark.parametrize("command", [["status"], ["policy", "list"], ["info"], ["loglevel", "get"], ["events"]])
def test_without_an_agent(command: list[str], tmp_path: Path) -> None:
    nowhere = f"unix://{tmp_path}/nothing.sock"
    done = subprocess.run(
        [LICTOR, *command, "--server-address", nowhere], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")
    assert f"no agent answers at {nowhere}" in done.stderr


EVERY = [[name] for name in COMMANDS] + [["policy", name] for name in POLICY_COMMANDS]


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_every_command_has_help(command: list[str]) -> None:
    done = CliRunner().invoke(cli, [*command, "--help"])
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()[2].strip()) > 10
    assert "Example" in done.output or command in (["policy"], ["policy", "domains"], ["config"])


def test_tables() -> None:
    assert table([("a", "10"), ("b\n", "9")], ("N", "COUNT")) == ["N    COUNT", "a       10", "b\\n      9"]
    assert table([], ("N",)) == ["N"]


def test_events_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    path.write_text('{"process_exec":{"process":{"pid":7,"binary":"/bin/x"}},"time":"t"}\n\n')
    done = CliRunner().invoke(cli, ["getevents", str(path)])
    assert "/bin/x" in done.output
    path.write_text("nonsense\n")
    assert "line 1 is no event" in str(CliRunner().invoke(cli, ["events", str(path)]).exception)
    assert "not filtered" in str(CliRunner().invoke(cli, ["events", "--pid", "7", str(path)]).exception)
