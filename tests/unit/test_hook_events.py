"""Events of hooks: the shape of the recorded ones, and the same said in protobuf and in JSON."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from lictor.api.pb.tetragon import events_pb2, tetragon_pb2
from lictor.api.protobuf import EventEncoder
from lictor.clock import WallClock
from lictor.model.arguments import Argument, IntArg
from lictor.model.event import ANCESTORS, Event, ExecEvent, ExitEvent, ThrottleEvent, with_ancestors
from lictor.model.forms import WholeForms
from lictor.model.hook import (
    HookBody,
    HookEvent,
    HookExtra,
    HookFlag,
    KprobeAction,
    KprobeBody,
    LoaderBody,
    StackTraceEntry,
)
from lictor.model.json import JsonWriter
from lictor.model.process import Process, ProcessExtra

CLOCK = WallClock(offset=1_700_000_000_000_000_000)
RECORDED = [
    json.loads(line) for line in (Path(__file__).parents[1] / "contract" / "hook-events.jsonl").read_text().splitlines()
]
OF_MEMBER = {one.__struct_fields__[0]: one for one in Argument.__subclasses__()}
BODIES = {one.member: one for one in HookBody.__subclasses__()}
ARGUMENT = tetragon_pb2.KprobeArgument.DESCRIPTOR
DEPRECATED = {"cred_arg", "user_namespace_arg"}
PROCESS = WholeForms(Process(exec_id="aQ==", pid=10, binary="/bin/x", tid=10))
POST = KprobeAction.POST
BODY = KprobeBody(function_name="f", action=POST, policy_name="p")


def json_of(event: Event, extras: bool = False) -> Any:
    return json.loads(JsonWriter(CLOCK, "node-1", "", extras).line(event))


def protobuf_of(event: Event) -> Any:
    message = events_pb2.GetEventsResponse.FromString(EventEncoder(CLOCK, "node-1").encode(event))
    return MessageToDict(message, preserving_proto_field_name=True)


def argument(found: dict[str, Any]) -> Argument:
    (member,) = set(found) - {"label"}
    return msgspec.convert(found, OF_MEMBER[member])


def body_of(member: str, found: dict[str, Any]) -> HookBody:
    kind = BODIES[member]
    rest: dict[str, Any] = {}
    for name, value in found.items():
        if name in ("args", "data"):
            rest[name] = tuple(argument(one) for one in value)
        elif name == "return":
            rest["return_"] = argument(value)
        elif name in ("action", "return_action"):
            rest[name] = KprobeAction(value)
        elif name not in ("process", "parent"):
            rest[name] = value
    return kind(**rest)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda one: next(iter(one)))
def test_the_shape_of_recorded_events(recorded: dict[str, Any]) -> None:
    member = next(iter(recorded))
    found = recorded[member]
    process = msgspec.convert({**found["process"], "tid": found["process"]["pid"]}, Process)
    parent = msgspec.convert(found["parent"], Process)
    tid = found["process"]["tid"]
    event = HookEvent(5, WholeForms(process), WholeForms(parent), tid, body_of(member, found))
    wanted = {**recorded, "node_name": "node-1", "time": CLOCK.rfc3339(5)}
    got = json_of(event)
    assert got == wanted
    assert list(got[member]) == list(found)
    assert protobuf_of(event) == wanted


def test_every_member_has_a_class() -> None:
    members = {field.name for field in ARGUMENT.oneofs_by_name["arg"].fields}
    assert set(OF_MEMBER) == members - DEPRECATED
    assert all(one.__struct_fields__[1:] == ("label",) for one in OF_MEMBER.values())


def test_every_field_of_the_messages_is_in_the_model() -> None:
    elsewhere = {"process", "parent", "ancestors"}

    def check(kind: type[msgspec.Struct], descriptor: Descriptor) -> None:
        own = {field.name for field in descriptor.fields} - elsewhere
        assert set(kind.__struct_encode_fields__) == own, kind
        for field in descriptor.fields:
            inner = inner_class(kind, field) if field.name not in elsewhere else None
            if inner is not None and not issubclass(inner, Argument):
                assert field.message_type is not None
                check(inner, field.message_type)

    for member, body in BODIES.items():
        descriptor = events_pb2.GetEventsResponse.DESCRIPTOR.fields_by_name[member].message_type
        assert descriptor is not None
        check(body, descriptor)


def inner_class(kind: type[msgspec.Struct], field: FieldDescriptor) -> type[msgspec.Struct] | None:
    """The class of a struct's field that holds other structs."""
    hint = get_type_hints(kind)[attribute(kind, field.name)]
    for one in (hint, *get_args(hint)):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return one
    return None


def attribute(kind: type[msgspec.Struct], name: str) -> str:
    return dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))[name]


def values(kind: type[msgspec.Struct], descriptor: Descriptor) -> st.SearchStrategy[Any]:
    """Every value a class can have, read off the message."""
    fields = {
        attribute(kind, one.name): value(kind, one)
        for one in descriptor.fields
        if one.name in kind.__struct_encode_fields__
    }
    return st.builds(kind, **fields)


def value(kind: type[msgspec.Struct], field: FieldDescriptor) -> st.SearchStrategy[Any]:
    inner = field.message_type
    nested = inner_class(kind, field)
    if inner is not None and nested is not None:
        found = values(nested, inner)
    elif inner is not None:
        found = scalar(inner.fields_by_name["value"])
    else:
        found = scalar(field)
    if field.is_repeated:
        return st.lists(found, max_size=3).map(tuple)
    required = attribute(kind, field.name) in {
        one.name for one in msgspec.structs.fields(kind) if one.required
    }  # fmt: skip
    return st.none() | found if inner is not None and not required else found


def scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    unset = not field.has_presence
    match field.type:
        case FieldDescriptor.TYPE_ENUM:
            assert field.enum_type is not None
            return st.sampled_from([one.name for one in field.enum_type.values if one.number])
        case FieldDescriptor.TYPE_STRING:
            return st.text(max_size=20)
        case FieldDescriptor.TYPE_BYTES:
            return st.binary(max_size=20)
        case FieldDescriptor.TYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.TYPE_UINT64:
            return st.integers(0, 2**64 - 1).map(lambda n: "" if unset and not n else str(n))
        case FieldDescriptor.TYPE_INT64:
            return st.integers(-(2**63), 2**63 - 1).map(str)
        case FieldDescriptor.TYPE_INT32:
            return st.integers(-(2**31), 2**31 - 1)
        case FieldDescriptor.TYPE_UINT32:
            return st.integers(0, 2**32 - 1)
    raise NotImplementedError(field.full_name)


@pytest.mark.parametrize("kind", Argument.__subclasses__())
@given(st.data())
def test_any_argument_says_the_same_twice(kind: type[Argument], data: st.DataObject) -> None:
    one = data.draw(values(kind, ARGUMENT))
    body = KprobeBody(function_name="f", args=(one,), return_=one, data=(one, one), action=POST, policy_name="p")
    event = HookEvent(1, PROCESS, None, 10, body)
    assert protobuf_of(event) == json_of(event)


@given(st.integers(0, 2**32 - 1))
def test_the_thread_is_that_of_the_event(tid: int) -> None:
    pod_like = WholeForms(
        msgspec.structs.replace(PROCESS.process, arguments='x,"tid":10', environment_variables=(), refcnt=1)
    )
    event = HookEvent(1, pod_like, PROCESS, tid, BODY)
    for said in (protobuf_of(event), json_of(event)):
        found = said["process_kprobe"]
        assert (found["process"]["tid"], found["parent"]["tid"]) == (tid, 10)
        assert found["process"]["arguments"] == 'x,"tid":10'


def test_stacks_tags_and_build_ids() -> None:
    stack = (StackTraceEntry("18446744073709551615", "12", "do_x", "vmlinux"), StackTraceEntry(offset="1"))
    body = msgspec.structs.replace(BODY, kernel_stack_trace=stack, user_stack_trace=stack, tags=("a", "b"), message="m")
    for event in (
        HookEvent(1, PROCESS, PROCESS, 10, body),
        HookEvent(1, PROCESS, PROCESS, 10, LoaderBody(path="/lib/x.so", buildid=b"\x00\xff")),
    ):
        assert protobuf_of(event) == json_of(event)


def test_throttle() -> None:
    event = ThrottleEvent(7, "THROTTLE_START", "/a/b")
    said = {
        "process_throttle": {"type": "THROTTLE_START", "cgroup": "/a/b"},
        "node_name": "node-1",
        "time": CLOCK.rfc3339(7),
    }
    assert (json_of(event), protobuf_of(event)) == (said, said)


@pytest.mark.parametrize("of_process", [None, ProcessExtra(cgroup="/x")])
def test_our_own_additions(of_process: ProcessExtra | None) -> None:
    extra = HookExtra("ns", {"team": "a"}, "first", (HookFlag.READ_AGAIN, HookFlag.NEVER_RETURNED), "lsm")
    forms = WholeForms(PROCESS.process, of_process)
    own = json_of(HookEvent(1, forms, None, 10, BODY, extra), extras=True)["lictor"]
    assert own["hook"] == {
        "policy_namespace": "ns",
        "policy_labels": {"team": "a"},
        "selector": "first",
        "flags": ["readAgain", "neverReturned"],
        "denied_by": "lsm",
    }
    assert own.get("process") == ({"cgroup": "/x"} if of_process else None)
    assert "lictor" not in json_of(HookEvent(1, forms, None, 10, BODY, extra))
    assert ("lictor" in json_of(HookEvent(1, forms, None, 10, BODY), extras=True)) == (of_process is not None)


def test_a_zero_is_shown_where_it_is_a_value() -> None:
    body = msgspec.structs.replace(BODY, args=(IntArg(0),))
    for said in (protobuf_of, json_of):
        assert said(HookEvent(1, PROCESS, None, 10, body))["process_kprobe"]["args"] == [{"int_arg": 0}]


def test_ancestors() -> None:
    chain = [WholeForms(Process(exec_id=str(pid), pid=pid, binary=f"/{pid}")) for pid in (0, 1, 2, 3, 4)]
    for above, below in pairwise(chain):
        below.above = above
    process, parent = chain[4], chain[3]
    kinds = with_ancestors(ANCESTORS)
    for event in (
        ExecEvent(1, process, parent),
        ExitEvent(1, process, parent, "", 0),
        HookEvent(1, process, parent, 4, BODY),
        HookEvent(1, process, parent, 4, LoaderBody(path="/x")),
    ):
        line = json.loads(JsonWriter(CLOCK, "node-1", "", False, kinds).line(event))
        message = events_pb2.GetEventsResponse.FromString(EventEncoder(CLOCK, "node-1", "", kinds).encode(event))
        found = MessageToDict(message, preserving_proto_field_name=True)
        member = next(iter(line))
        assert [one["pid"] for one in line[member]["ancestors"]] == [2, 1]
        assert found[member] == line[member]
        assert "ancestors" not in json_of(event)[member]
