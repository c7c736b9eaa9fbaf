"""Settings: which source wins, what is refused and with which hint, and that their page is up to date."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from lictor.cli.main import cli
from lictor.daemon import sources
from lictor.daemon.foreign import NOT_HERE, SAME
from lictor.daemon.settings import DEFAULTS, SPECS
from lictor.daemon.sources import known, load
from lictor.daemon.values import convert
from lictor.errors import LictorError

LICTOR = str(Path(sys.executable).parent / "lictor")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of its own: the places where settings are looked for, all empty."""
    monkeypatch.setattr(sources, "PACKAGE_DIRS", (tmp_path / "usr",))
    monkeypatch.setattr(sources, "CONFIG_FILE", tmp_path / "lictor.yaml")
    monkeypatch.setattr(sources, "CONFIG_DIR", tmp_path / "etc")
    for name in ("usr", "etc", "given"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_a_later_source_wins_and_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def value(flags: dict[str, object]) -> tuple[str, str]:
        resolved = sources.resolve(flags, str(machine / "given"))
        return resolved.settings.cluster_name, resolved.origins["cluster_name"]

    assert value({}) == ("", "default")
    for place in ("usr/cluster-name", "lictor.yaml", "etc/cluster-name", "given/cluster-name"):
        (machine / place).write_text(f"cluster-name: {place}" if place == "lictor.yaml" else f"{place}\n")
        assert value({}) == (place, str(machine / place))
    monkeypatch.setenv("LICTOR_CLUSTER_NAME", "environment")
    assert value({}) == ("environment", "$LICTOR_CLUSTER_NAME")
    assert value({"cluster_name": "flag", "node_name": None}) == ("flag", "--cluster-name")


def test_values_of_every_kind(machine: Path) -> None:
    (machine / "lictor.yaml").write_text(
        "rb-size: 16M\nexport_file_rotation_interval: 1h30m\nextras: off\nnode-name: 12\n"
        "server-address: [unix:///a, 'localhost:1']\nprocess-table-entries: 2048\n"
    )
    found = sources.load({})
    assert (found.rb_size, found.export_file_rotation_interval, found.extras) == (16 << 20, 5400.0, False)
    assert (found.node_name, found.server_address) == ("12", ("unix:///a", "localhost:1"))
    assert found.process_table_entries == 2048


def test_hidden_files_and_directories_are_no_settings(machine: Path) -> None:
    (machine / "etc" / "..data").mkdir()
    (machine / "etc" / ".cluster-name.swp").write_text("x")
    assert sources.resolve({}).settings.cluster_name == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cluster_nam: x", "there is no setting cluster_nam: did you mean cluster-name?"),
        ("zzz: x", "`lictor config show` lists them all"),
        ("bpf-lib: /x", "leave it out; the BPF objects are part of Lictor"),
        ("rb-size: 1000", "lictor.yaml: rb-size is 1000: it must be a power of two"),
        ("rb-size: big", "it must be a whole number, or one with K, M or G"),
        ("process-table-entries: 1", "process-table-entries is 1: it must be at least 1024"),
        ("process-table-entries: 1.5", "it must be a whole number"),
        ("extras: perhaps", "it must be true or false"),
        ("export-file-rotation-interval: -1s", "it must be a number of seconds"),
        ("log-level: loud", "log-level is 'loud': use error, warn"),
        ("cluster-name: {a: b}", "it must be a text"),
        ("export-file-perm: 999", "octal"),
        ("cgroup-rate: often", "cgroup-rate is often: it must be events,interval"),
        ("cgroup-rate: '0,1s'", "such as 1000,1s"),
        ("- a", "holds no settings"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_what_is_refused(machine: Path, text: str, says: str) -> None:
    (machine / "lictor.yaml").write_text(text)
    with pytest.raises(LictorError) as caught:
        sources.resolve({})
    assert says in str(caught.value)
    assert "lictor.yaml" in str(caught.value)


def test_unknown_variables_are_refused_but_not_those_of_kubernetes(
    machine: Path,  # noqa: ARG001 (the fixture empties the machine)
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LICTOR_SERVICE_HOST", "LICTOR_METRICS_SERVICE_PORT_HTTP", "LICTOR_PORT_2112_TCP_ADDR"):
        monkeypatch.setenv(name, "1")
    sources.resolve({})
    monkeypatch.setenv("LICTOR_EXPORT_FILE_NAME", "1")
    with pytest.raises(LictorError, match="did you mean export-filename"):
        sources.resolve({})


@given(st.sampled_from(["flag", "number", "bytes", "seconds", "text", "list"]), st.text() | st.integers() | st.floats())
def test_any_value_is_taken_or_explained(kind: str, raw: object) -> None:
    with contextlib.suppress(LictorError):
        convert(kind, raw, "it")


def test_names_of_others_are_not_ours() -> None:
    assert not NOT_HERE.keys() & SPECS.keys()


def test_config_show(tmp_path: Path) -> None:
    (tmp_path / "rb-size").write_text("1M")
    environment = os.environ | {"LICTOR_NODE_NAME": "n1"}
    command = [LICTOR, "config", "show", "--config-dir", str(tmp_path), "--log-level", "debug"]

    def run(*more: str) -> str:
        return subprocess.run([*command, *more], env=environment, text=True, capture_output=True, check=True).stdout

    shown = json.loads(run("-o", "json", "--origin"))
    assert shown["rb-size"] == {"value": 1 << 20, "origin": str(tmp_path / "rb-size")}
    assert shown["node-name"] == {"value": "n1", "origin": "$LICTOR_NODE_NAME"}
    assert shown["log-level"] == {"value": "debug", "origin": "--log-level"}
    assert len(shown) == len(DEFAULTS)
    # What is shown can be written into the file as it is.
    assert run("--changed", "--origin").count("#") == 3
    copy = tmp_path.with_suffix(".yaml")
    copy.write_text(run())
    assert sources._yaml(copy)["rb-size"] == 1 << 20


def test_the_page_of_settings_is_up_to_date() -> None:
    tool = Path(__file__).parents[2] / "tools" / "gen_reference.py"
    subprocess.run([sys.executable, str(tool), "--check"], check=True)


# Options of the reference's agent.
REFERENCE = """
bpf-lib btf bpf-dir procfs kernel cluster-name netns-dir verbose debug log-level log-format log-file generate-docs
process-cache-size process-cache-gc-interval disable-process-cache enable-process-cred enable-process-ns
enable-ancestors enable-process-environment-variables filter-environment-variables username-metadata data-cache-size
event-cache-retries event-cache-retry-delay retprobes-cache-size execve-map-entries execve-map-size parents-map-enabled
parents-map-entries parents-map-size force-small-progs force-large-progs disable-kprobe-multi sleepable-preload-size
use-perf-ring-buffer rb-size rb-size-total rb-queue-size event-queue-size release-pinned-bpf keep-sensors-on-exit
cgroup-rate expose-stack-addresses tracing-policy tracing-policy-dir enable-tracing-policy-crd enable-policy-filter
enable-policy-filter-cgroup-map enable-policy-filter-debug persist-grpc-policies persist-grpc-policies-dir
enable-deprecated-tracingpolicy-grpc enable-k8s-api k8s-kubeconfig-path k8s-controlplane-retry enable-pod-info
enable-pod-annotations deleted-pod-cache-size enable-cri cri-endpoint enable-cgidmap enable-cgidmap-debug
enable-cgtrackerid server-address server-tls-cert-file server-tls-key-file server-tls-client-ca-files
server-tls-require-client-cert health-server-address health-server-interval metrics-server metrics-label-filter
enable-event-metrics enable-msg-handling-latency gops-address pprof-address cpuprofile memprofile export-filename
export-file-max-size-mb export-file-rotation-interval export-file-max-backups export-file-compress export-file-perm
export-rate-limit export-allowlist export-denylist field-filters redaction-filters enable-export-aggregation
export-aggregation-window-size export-aggregation-buffer-size enable-pid-set-filter
"""


@pytest.mark.parametrize("name", REFERENCE.split())
def test_every_option_of_the_reference_is_understood_or_explained(name: str) -> None:
    ours = name.replace("-", "_")
    if ours in NOT_HERE:
        with pytest.raises(LictorError, match="leave it out; "):
            known(name, "file")
    else:
        assert known(name, "file") == SAME.get(ours, ours)


def test_names_of_the_reference_are_taken_everywhere(machine: Path) -> None:
    (machine / "given" / "execve-map-entries").write_text("4096")
    assert load({}, str(machine / "given")).process_table_entries == 4096
    done = CliRunner().invoke(cli, ["config", "show", "--tracing-policy-dir", "/nowhere"])
    assert 'policy-dir: "/nowhere"' in done.output, done.output
