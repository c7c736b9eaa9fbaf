"""Field filters: JSON and protobuf lose the same; nothing stays in our own object that was taken away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from lictor.api import filters as api
from lictor.api.pb.tetragon import events_pb2
from lictor.api.protobuf import EventEncoder
from lictor.api.prune import pruned
from lictor.clock import WallClock
from lictor.errors import LictorError
from lictor.model.arguments import FileArg, IntArg, Path
from lictor.model.event import Event, EventType, ExecEvent, LossEvent
from lictor.model.forms import WholeForms
from lictor.model.hook import HookEvent, HookExtra, KprobeAction, KprobeBody
from lictor.model.json import JsonWriter
from lictor.model.process import Namespace, Namespaces, Pod, Process, ProcessExtra
from lictor.pipeline.fields import FieldFilter, FieldFilters, snake

CLOCK = WallClock(offset=0)
PROCESS = WholeForms(
    Process(
        exec_id="a", pid=5, binary="/bin/x", arguments="secret", docker="d1", tid=5, start_time=CLOCK.rfc3339(1),
        ns=Namespaces(uts=Namespace(1, True), net=Namespace(2, False)),
        pod=Pod("n", "p", pod_labels={"app": "x", "tier": "y"}),
    ),
    ProcessExtra(executable="/bin/y", argv=("secret",), container_id="d1d1", cgroup="/d1d1", tty="pts/0"),
)  # fmt: skip
PARENT = WholeForms(Process(exec_id="b", pid=4, binary="/bin/sh"))
EXEC = ExecEvent(1, PROCESS, PARENT)
BODY = KprobeBody(
    function_name="f", args=(FileArg(Path(path="/etc/x", permission="-r")), IntArg(0)), action=KprobeAction.POST,
    policy_name="p", tags=("t",),
)  # fmt: skip
HOOK = HookEvent(2, PROCESS, PARENT, 9, BODY, HookExtra(selector="s"))
PATHS = (
    "process", "parent", "process.binary", "process.arguments", "process.pid", "process.ns.net.inum", "process.ns",
    "process.pod.pod_labels.app", "args", "args.file_arg.path", "args.int_arg", "action", "tags", "parent.exec_id",
)  # fmt: skip


def line(event: Event, *filters: FieldFilter, extras: bool = False) -> dict[str, Any]:
    text = JsonWriter(CLOCK, "node", "", extras).line(event)
    found: dict[str, Any] = json.loads(FieldFilters(filters).line(event.kind, text))
    return found


def message(event: Event, *filters: FieldFilter) -> dict[str, Any]:
    pruning = FieldFilters(filters).of(event.kind)
    encoded = EventEncoder(CLOCK, "node").encode(event)
    found = events_pb2.GetEventsResponse.FromString(encoded if pruning is None else pruned(encoded, pruning))
    return MessageToDict(found, preserving_proto_field_name=True)


def keep(*paths: str, **more: Any) -> FieldFilter:
    return FieldFilter(paths, True, **more)


def drop(*paths: str, **more: Any) -> FieldFilter:
    return FieldFilter(paths, False, **more)


def test_include() -> None:
    assert line(EXEC, keep("process.binary", "process.ns.net")) == {
        "process_exec": {"process": {"binary": "/bin/x", "ns": {"net": {"inum": 2}}}},
        "node_name": "node",
        "time": CLOCK.rfc3339(1),
    }
    assert message(HOOK, keep("args.file_arg.path"))["process_kprobe"] == {
        "args": [{"file_arg": {"path": "/etc/x"}}, {}]
    }


def test_exclude() -> None:
    found = line(EXEC, drop("process.ns", "parent", "process.pod.pod_labels.app"))["process_exec"]
    assert "parent" not in found
    assert "ns" not in found["process"]
    assert found["process"]["pod"]["pod_labels"] == {"tier": "y"}


def test_kinds_and_their_inversion() -> None:
    only = drop("process", event_set=frozenset({EventType.PROCESS_EXEC}))
    others = drop("process", event_set=frozenset({EventType.PROCESS_EXEC}), invert=True)
    assert ["process" in line(EXEC, one)["process_exec"] for one in (only, others)] == [False, True]
    assert ["process" in line(HOOK, one)["process_kprobe"] for one in (only, others)] == [True, False]


def test_one_after_another() -> None:
    found = message(EXEC, keep("process"), drop("process.arguments", "process.pod"))["process_exec"]
    assert set(found["process"]) == {"exec_id", "pid", "binary", "docker", "tid", "ns", "start_time"}
    assert set(found) == {"process"}


@given(
    st.lists(st.builds(FieldFilter, st.lists(st.sampled_from(PATHS), min_size=1).map(tuple), st.booleans()), max_size=3)
)
def test_both_forms_lose_the_same(filters: list[FieldFilter]) -> None:
    for event in (EXEC, HOOK):
        assert _filled(line(event, *filters)) == _filled(message(event, *filters))


def _filled(value: Any) -> Any:
    """Without objects that became empty: protobuf's JSON form shows some of them."""
    if isinstance(value, dict):
        inner = {name: _filled(one) for name, one in value.items()}
        return {name: one for name, one in inner.items() if one not in ({}, [])}
    return [_filled(one) for one in value] if isinstance(value, list) else value


def test_losses_are_told_in_full() -> None:
    event = LossEvent(1, 5, "here", "why")
    assert line(event, keep("process.binary"), extras=True)["lictor"]["loss"]["dropped"] == 5
    assert message(event, keep("process"))["rate_limit_info"] == {"number_of_dropped_process_events": "5"}


def test_our_own_object_follows() -> None:
    own = line(HOOK, extras=True)["lictor"]
    assert own["process"]["argv"] == ["secret"]
    assert "secret" not in json.dumps(line(HOOK, drop("process.arguments"), extras=True))
    assert "d1d1" not in json.dumps(line(HOOK, drop("process.docker"), extras=True))
    assert "lictor" not in line(HOOK, keep("process.binary"), extras=True)
    assert line(HOOK, keep("process.pid", "lictor.process.tty"), extras=True)["lictor"] == {"process": {"tty": "pts/0"}}
    assert "lictor" not in line(HOOK, drop("lictor"), extras=True)
    assert line(HOOK, drop("process", "policy_name"), extras=True).get("lictor") is None


def test_settings() -> None:
    text = (
        '{"fields":"process.execId,parent.exec_id", "event_set":["PROCESS_EXEC"], "invert_event_set":true,'
        ' "action":"EXCLUDE"} {"fields":"lictor.process.tty"}'
    )
    assert api.field_filter_list(text, "field-filters") == [
        FieldFilter(("process.exec_id", "parent.exec_id"), False, frozenset({EventType.PROCESS_EXEC}), True),
        FieldFilter(("lictor.process.tty",)),
    ]
    with pytest.raises(LictorError, match=r"has the field process\.nope"):
        api.field_filter_list('{"fields":"process.nope"}', "field-filters")
    with pytest.raises(LictorError, match=r"has the field process\.tid\.value"):
        api.field_filter_list('{"fields":"process.tid.value"}', "field-filters")
    with pytest.raises(LictorError, match="has the field args"):
        api.field_filter_list('{"fields":"args", "event_set":["PROCESS_EXEC"]}', "field-filters")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [("process.execId", "process.exec_id"), ("args.bpf_attr_arg.ProgType", "args.bpf_attr_arg.ProgType"), ("a", "a")],
)
def test_names_of_paths(path: str, wanted: str) -> None:
    assert snake(path) == wanted
