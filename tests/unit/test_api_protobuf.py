"""An event says the same as protobuf and as JSON."""

from __future__ import annotations

import json

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from lictor.api.pb.tetragon.events_pb2 import GetEventsResponse
from lictor.api.protobuf import EventEncoder
from lictor.api.wire import varint
from lictor.clock import WallClock
from lictor.model import process as model
from lictor.model.event import Event, ExecEvent, ExitEvent, LossEvent
from lictor.model.forms import WholeForms
from lictor.model.json import JsonWriter

CLOCK = WallClock(offset=1_700_000_000_000_000_000)
START = 123_456_789_000  # boot-clock ns
NAMESPACE = model.Namespace(4026531835, True)
CAPS = model.Capabilities(("CAP_CHOWN", "DAC_OVERRIDE"), ("CAP_BPF",), ())
FULL = model.Process(
    exec_id="bm9kZToxOjI=",
    pid=0,
    uid=4294967295,
    cwd="/tmp",
    binary="/bin/trüe",
    arguments='a "b c"',
    flags="execve clone",
    start_time=CLOCK.rfc3339(START),
    auid=1000,
    pod=model.Pod(
        "default", "web-1", "uid-1",
        model.Container(
            "containerd://12", "web", model.Image("id", "name"), "2026-11-23T07:10:15Z", 7, True,
            model.SecurityContext(True),
        ),
        {"app": "web"}, "web", "Deployment", {"note": "x"},
    ),
    docker="1" * 31,
    parent_exec_id="x",
    refcnt=3,
    cap=CAPS,
    ns=model.Namespaces(**dict.fromkeys(model.Namespaces.__struct_fields__, NAMESPACE)),
    tid=5,
    process_credentials=model.ProcessCredentials(
        1, 2, 3, 4, 5, 6, 7, 0, ("SecBitNoRoot",), CAPS, model.UserNamespace(0, 1, 2, NAMESPACE)
    ),
    binary_properties=model.BinaryProperties(
        0, 1, ("PRIVILEGES_RAISED_EXEC_FILE_SETUID",),
        model.FileProperties(model.InodeProperties("18446744073709551615", 0), "/memfd:x (deleted)"),
    ),
    user=model.UserRecord("root"),
    in_init_tree=False,
    environment_variables=(model.EnvVar("A", "b"),),
)  # fmt: skip


def both(event: Event) -> tuple[object, object]:
    encoder = EventEncoder(CLOCK, "node-1", "cluster")
    lines = JsonWriter(CLOCK, "node-1", "cluster", extras=False)
    message = GetEventsResponse.FromString(encoder.encode(event))
    return MessageToDict(message, preserving_proto_field_name=True), json.loads(lines.line(event))


def test_every_field_of_the_example_is_set() -> None:
    def holes(value: object) -> list[str]:
        if not isinstance(value, msgspec.Struct):
            return []
        inside = [f"{name}.{hole}" for name in value.__struct_fields__ for hole in holes(getattr(value, name))]
        return inside + [n for n in value.__struct_fields__ if getattr(value, n) in (None, "", (), {})]

    # The third set of capabilities stays empty on purpose.
    assert set(holes(FULL)) == {"cap.inheritable", "process_credentials.caps.inheritable"}


@pytest.mark.parametrize(
    "event",
    [
        ExecEvent(START, WholeForms(FULL), None),
        ExecEvent(START, WholeForms(FULL), WholeForms(model.Process(binary="/init", pid=1))),
        ExitEvent(5, WholeForms(FULL), WholeForms(FULL), "SIGKILL", 0),
        ExitEvent(0, WholeForms(model.Process()), None, "", 255),
        LossEvent(1_000_000_000, 2**40, "priority ring", "no room in the ring"),
    ],
)
def test_protobuf_and_json_agree(event: Event) -> None:
    protobuf, line = both(event)
    assert protobuf == line


text = st.text(max_size=300)
processes = st.builds(
    model.Process,
    exec_id=text,
    pid=st.none() | st.integers(0, 2**32 - 1),
    arguments=text,
    refcnt=st.integers(0, 2**32 - 1),
    in_init_tree=st.none() | st.booleans(),
    environment_variables=st.lists(st.builds(model.EnvVar, text, text), max_size=3).map(tuple),
)


@given(st.integers(0, 2**62), processes, st.none() | processes, st.sampled_from(["", "SIGTERM"]), st.integers(0, 2**31))
def test_protobuf_and_json_agree_on_anything(
    when: int, process: model.Process, parent: model.Process | None, signal: str, status: int
) -> None:
    event = ExitEvent(when, WholeForms(process), WholeForms(parent) if parent else None, signal, status)
    protobuf, line = both(event)
    assert protobuf == line


@given(st.integers(0, 2**64 - 1))
def test_varint(number: int) -> None:
    value = 0
    for place, byte in enumerate(varint(number)):
        value |= (byte & 0x7F) << 7 * place
    assert value == number
