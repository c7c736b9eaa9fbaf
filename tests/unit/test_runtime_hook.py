"""Containers that a runtime hook announces: what the API takes, and what their processes show then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result
from serving import Serving
from test_tracker import exec_record, make_tracker

from lictor.api.pb.tetragon import tetragon_pb2 as pb
from lictor.api.ports import Ports
from lictor.cli.main import cli
from lictor.model.process import Container, Image, Pod
from lictor.track.announced import Announced, Announcement, cgroup_path

ID = "ab" * 32
CRI = {
    "io.kubernetes.cri.container-name": "web",
    "io.kubernetes.cri.image-name": "nginx:1",
    "io.kubernetes.cri.sandbox-name": "web-1",
    "io.kubernetes.cri.sandbox-namespace": "shop",
    "io.kubernetes.cri.sandbox-uid": "u-1",
}


class Hooked:
    def __init__(self, path: Path) -> None:
        self.announced: list[Announcement] = []
        self.serving = Serving(str(path), Ports(announce=self.announced.append))

    def tell(self, **fields: Any) -> None:
        request = pb.RuntimeHookRequest(createContainer=pb.CreateContainer(**fields))
        self.serving.ask("RuntimeHook", request, pb.RuntimeHookResponse)


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hooked]:
    found = Hooked(tmp_path_factory.mktemp("api") / "api.sock")
    yield found
    found.serving.stop()


def test_a_container_of_a_pod(hooked: Hooked) -> None:
    hooked.tell(
        cgroupsPath=f"/kubepods/podu-1/{ID}", rootDir="/run/x/rootfs", containerID=ID, containerName="web",
        containerImage="nginx:1", podName="web-1", podUID="u-1", podNamespace="shop",
    )  # fmt: skip
    assert hooked.announced[-1] == Announcement(ID, f"/kubepods/podu-1/{ID}", "web", "nginx:1", "web-1", "shop", "u-1")


def test_annotations_of_the_runtime_fill_in(hooked: Hooked) -> None:
    hooked.tell(cgroupsPath=f"kubepods-podu_1.slice:cri-containerd:{ID}", annotations=CRI)
    path = f"/kubepods.slice/kubepods-podu_1.slice/cri-containerd-{ID}.scope"
    assert hooked.announced[-1] == Announcement(ID, path, "web", "nginx:1", "web-1", "shop", "u-1")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({}, "no id"),
        ({"cgroupsPath": "/a/b"}, "no id"),
        ({"containerID": "a b"}, "container id"),
        ({"containerID": "x" * 300}, "container id"),
        ({"containerID": ID, "cgroupsPath": "a/b"}, "cgroupsPath"),
        ({"containerID": ID, "cgroupsPath": "/a/../b"}, "cgroupsPath"),
        ({"containerID": ID, "cgroupsPath": "/" + "a" * 5000}, "cgroupsPath"),
        ({"containerID": ID, "rootDir": "x"}, "rootDir"),
        ({"containerID": ID, "podName": "x"}, "podNamespace"),
        ({"containerID": ID, "containerName": "x" * 5000}, "4096"),
    ],
)
def test_bad_input_is_one_sentence(hooked: Hooked, fields: dict[str, str], word: str) -> None:
    before = len(hooked.announced)
    with pytest.raises(grpc.RpcError) as refused:
        hooked.tell(**fields)
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert word in error.details()
    assert len(hooked.announced) == before


def test_by_hand(hooked: Hooked) -> None:
    where = {"LICTOR_SERVER_ADDRESS": f"unix://{hooked.serving.path}"}
    command = ["rthooks", "create-container", "--container-id", "c1", "--cgroup", "/machine/web", "--name", "web"]
    done = CliRunner().invoke(cli, [*command, "--annotations", "io.kubernetes.cri.image-name=nginx"], env=where)
    assert (done.exit_code, done.output) == (0, "")
    assert hooked.announced[-1] == Announcement("c1", "/machine/web", "web", "nginx")
    done = CliRunner().invoke(cli, [*command, "--annotations", "x"], env=where)
    assert "write KEY=VALUE" in str(done.exception)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    config = {"root": {"path": "rootfs"}, "linux": {"cgroupsPath": f"/kubepods/podu-1/{ID}"}, "annotations": CRI}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def as_hook(path: Path, state: str, *options: str) -> Result:
    where = {"LICTOR_SERVER_ADDRESS": f"unix://{path}"}
    return CliRunner().invoke(cli, ["rthooks", "oci", *options], input=state, env=where)


def test_as_an_oci_runtime_tells_it(hooked: Hooked, bundle: Path) -> None:
    state = json.dumps({"ociVersion": "1.0.2", "id": "c7", "status": "created", "pid": 7, "bundle": str(bundle)})
    done = as_hook(Path(hooked.serving.path), state)
    assert (done.exit_code, done.output) == (0, "")
    cgroup = f"/kubepods/podu-1/{ID}"
    assert hooked.announced[-1] == Announcement("c7", cgroup, "web", "nginx:1", "web-1", "shop", "u-1")


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("", "no JSON"),
        ("[]", "no JSON object"),
        ('{"id": "x"}', "no bundle"),
        ('{"id": 7, "bundle": "/"}', "no id"),
        ('{"id": "x", "bundle": "/nowhere"}', "cannot be read"),
        ('{"id": "a b", "bundle": "BUNDLE"}', "container id"),
        ('{"id": "x", "bundle": "BUNDLE", "annotations": 7}', "annotations"),
    ],
)
def test_a_hook_that_cannot_tell_says_why_and_lets_the_container_start(
    hooked: Hooked, bundle: Path, state: str, word: str
) -> None:
    path, before = Path(hooked.serving.path), len(hooked.announced)
    done = as_hook(path, state.replace("BUNDLE", str(bundle)))
    assert done.exit_code == 0
    assert word in done.output
    refused = as_hook(path, state.replace("BUNDLE", str(bundle)), "--fail-closed")
    assert word in str(refused.exception)
    assert len(hooked.announced) == before


def test_an_agent_that_is_not_there_lets_the_container_start(bundle: Path) -> None:
    done = as_hook(bundle / "nobody.sock", json.dumps({"id": "x", "bundle": str(bundle)}))
    assert done.exit_code == 0
    assert "the container starts without being announced" in done.output


def test_a_request_without_an_event(hooked: Hooked) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        hooked.serving.ask("RuntimeHook", pb.RuntimeHookRequest(), pb.RuntimeHookResponse)
    error: Any = refused.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/a//b/./c/", "/a/b/c"),
        ("a-b.slice:docker:x", "/a.slice/a-b.slice/docker-x.scope"),
        (":docker:x", "/system.slice/docker-x.scope"),
        ("-.slice::x", "/x.scope"),
    ],
)
def test_paths_of_cgroups(given: str, path: str) -> None:
    assert cgroup_path(given) == path


def test_its_processes_show_the_pod_from_the_first_exec_on() -> None:
    tracker = make_tracker()
    tracker.announce(Announcement(ID, "/pods/any", "web", "nginx:1", "web-1", "shop", "u-1"))
    tracker.cgroups.learn(77, "/pods/any/below")
    event = tracker.exec(exec_record((10, 100), cgroup_id=77))
    assert event is not None
    assert event.process is not None
    process = event.process.process
    assert process.pod == Pod("shop", "web-1", "u-1", Container(ID, "web", Image(name="nginx:1")))
    assert process.docker == ID[:31]


def test_an_announcement_that_comes_late_counts_from_then_on() -> None:
    tracker = make_tracker()
    tracker.cgroups.learn(77, "/pods/any")
    tracker.cgroups.learn(78, "/pods/anything-else")
    before = tracker.exec(exec_record((10, 100), cgroup_id=77))
    tracker.announce(Announcement(ID, "/pods/any"))
    after = tracker.exec(exec_record((11, 100), cgroup_id=77))
    other = tracker.exec(exec_record((12, 100), cgroup_id=78))
    shown = [one.process.shared.docker for one in (before, after, other) if one is not None and one.process is not None]
    assert shown == ["", ID[:31], ""]


def test_only_the_last_are_known_and_what_is_missing_is_counted() -> None:
    announced = Announced()
    for number in range(5000):
        announced.add(Announcement(f"c{number}", f"/c/{number}"))
    assert len(announced) == 4096
    assert (announced.container_of("/c/0"), announced.container_of("/c/4999/x")) == ("", "c4999")
    announced.add(Announcement("c4999", "/elsewhere", "name", "image"))
    assert announced.container_of("/c/4999") == ""
    assert (announced.names_missing, announced.images_missing) == (5000, 5000)
