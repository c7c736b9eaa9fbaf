"""ECS, OCSF and CEF: every kind of event has a form that the schema, where one can be had, accepts."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from lictor.clock import WallClock
from lictor.export.formats import convert_to
from lictor.export.formats.functions import argv, epoch_ms, milliseconds
from lictor.export.formats.nested import nest
from lictor.model.event import Event, ExecEvent, ExitEvent, LossEvent, ThrottleEvent
from lictor.model.forms import WholeForms
from lictor.model.hook import HookEvent, KprobeAction, KprobeBody, LsmBody, TracepointBody, UprobeBody
from lictor.model.json import JsonWriter
from lictor.model.process import Container, Image, Pod, Process

STAMP = "2026-11-25T08:00:00.123456789Z"
POD = Pod("default", "web-1", container=Container("c0ffee", "web", Image("id", "nginx")), workload="web")
PARENT = WholeForms(Process(exec_id="p", pid=7, tid=7, uid=0, binary="/bin/bash", start_time=STAMP, cwd="/"))
CHILD = WholeForms(
    Process(
        exec_id="c", pid=8, tid=8, uid=0, binary="/usr/bin/cat", arguments='/etc/passwd "a b"', start_time=STAMP,
        cwd="/root", docker="c0ffee", pod=POD,
    )
)  # fmt: skip
POST, KILL = KprobeAction.POST, KprobeAction.SIGKILL
EVENTS: dict[str, Event] = {
    "exec": ExecEvent(1, CHILD, PARENT),
    "orphan": ExecEvent(1, CHILD, None),
    "exit": ExitEvent(5, CHILD, PARENT, "SIGTERM", 3),
    "kprobe": HookEvent(5, CHILD, PARENT, 8, KprobeBody(function_name="tcp_connect", policy_name="net", action=KILL)),
    "tracepoint": HookEvent(
        5, CHILD, PARENT, 8, TracepointBody(subsys="sched", event="sched_switch", policy_name="p", action=POST)
    ),
    "lsm": HookEvent(5, CHILD, PARENT, 8, LsmBody(function_name="file_open", policy_name="p", action=POST)),
    "uprobe": HookEvent(5, CHILD, PARENT, 8, UprobeBody(path="/bin/bash", symbol="rl", policy_name="p", action=POST)),
    "loss": LossEvent(5, 12, "priority ring", "no room in the ring"),
    "throttle": ThrottleEvent(5, "THROTTLE_START", "/system.slice"),
}
WRITER = JsonWriter(WallClock(0), "node-1", "cluster-1")


def native(name: str) -> bytes:
    return WRITER.line(EVENTS[name]).rstrip("\n").encode()


def converted(form: str, name: str) -> dict[str, Any]:
    convert = convert_to(form)
    assert convert is not None
    found: dict[str, Any] = json.loads(convert(native(name)))
    return found


@cache
def ocsf_schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = OcsfJsonSchemaEmbedded(get_ocsf_schema("1.5.0")).get_class_schema(
        name, ["container", "host"]
    )
    return found


@pytest.mark.parametrize("name", EVENTS)
def test_ocsf_is_what_its_schema_says(name: str) -> None:
    found = converted("ocsf", name)
    kind = {1007: "process_activity", 1003: "kernel_activity", 0: "base_event"}[found["class_uid"]]
    jsonschema.validate(found, ocsf_schema(kind))
    assert found["type_uid"] == found["class_uid"] * 100 + found["activity_id"]
    # Names behind numbers are the schema's own.
    for field in ("severity", "category", "class"):
        number = found[f"{field}_{'id' if field == 'severity' else 'uid'}"]
        named = ocsf_schema(kind)["properties"].get(f"{field}_{'id' if field == 'severity' else 'uid'}", {})
        assert number in named.get("enum", [number])


def test_ocsf_exec_and_exit() -> None:
    begun, ended = converted("ocsf", "exec"), converted("ocsf", "exit")
    assert begun["process"]["cmd_line"] == '/usr/bin/cat /etc/passwd "a b"'
    assert begun["actor"]["process"]["name"] == "bash"
    assert begun["time"] == 1795593600123
    assert (ended["exit_code"], ended["unmapped"]["signal"]) == (3, "SIGTERM")
    assert converted("ocsf", "kprobe")["unmapped"]["enforced"] == "sigkill"
    assert converted("ocsf", "loss")["unmapped"]["dropped"] == 12


# Fields of ECS 8.17 (its reference, "ECS fields") that are used, and their types.
ECS = {
    "@timestamp": "date", "ecs.version": "keyword", "event.kind": "keyword", "event.module": "keyword",
    "event.dataset": "keyword", "event.provider": "keyword", "event.category": "keywords", "event.type": "keywords",
    "event.action": "keyword", "host.name": "keyword", "observer.vendor": "keyword", "observer.product": "keyword",
    "observer.type": "keyword", "observer.version": "keyword", "orchestrator.cluster.name": "keyword",
    "orchestrator.namespace": "keyword", "orchestrator.resource.name": "keyword", "container.id": "keyword",
    "container.name": "keyword", "container.image.name": "keyword", "process.entity_id": "keyword",
    "process.pid": "long", "process.thread.id": "long", "process.executable": "keyword", "process.name": "keyword",
    "process.args": "keywords", "process.args_count": "long", "process.command_line": "keyword",
    "process.working_directory": "keyword", "process.start": "date", "process.end": "date", "process.exit_code": "long",
    "process.user.id": "keyword", "user.id": "keyword", "rule.name": "keyword", "tags": "keywords",
    "message": "keyword", "error.message": "keyword",
}  # fmt: skip
ECS |= {
    name.replace("process.", "process.parent.", 1): kind for name, kind in ECS.items() if name.startswith("process.")
}
CATEGORIES = {"process", "file", "network"}
TYPES = {"start", "end", "info"}


def flat(tree: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f"{above}{name}.")
        else:
            found[above + name] = value
    return found


@pytest.mark.parametrize("name", EVENTS)
def test_ecs_uses_fields_that_exist_in_their_types(name: str) -> None:
    found = flat(converted("ecs", name))
    for field, value in found.items():
        if field.startswith("lictor."):
            continue
        kind = ECS[field]
        if kind == "date":
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", value), field
        elif kind == "keywords":
            assert all(isinstance(one, str) for one in value), field
        else:
            assert isinstance(value, int if kind == "long" else str), field
    assert set(found.get("event.category", [])) <= CATEGORIES
    assert set(found.get("event.type", [])) <= TYPES
    assert found["event.kind"] in ("event", "pipeline_error")


def test_ecs_exec() -> None:
    found = converted("ecs", "exec")
    assert found["process"]["args"] == ["/usr/bin/cat", "/etc/passwd", "a b"]
    assert found["process"]["args_count"] == 3
    assert found["process"]["parent"]["name"] == "bash"
    assert found["container"] == {"id": "c0ffee", "name": "web", "image": {"name": "nginx"}}
    assert converted("ecs", "kprobe")["lictor"]["hook"]["function_name"] == "tcp_connect"
    assert "process" not in converted("ecs", "loss")


def parse_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """Header and extension, read by the rules of the format's guide."""
    *header, extension = re.split(r"(?<!\\)\|", line, maxsplit=7)
    parts = re.split(r"(?:^| )(\w+)(?<!\\)=", extension)
    values = [re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], one) for one in parts[2::2]]
    return header, dict(zip(parts[1::2], values, strict=True))


@pytest.mark.parametrize("name", EVENTS)
def test_cef_has_a_header_of_seven_and_known_keys(name: str) -> None:
    convert = convert_to("cef")
    assert convert is not None
    header, extension = parse_cef(convert(native(name)).decode())
    assert header[:3] == ["CEF:0", "Lictor", "Lictor"]
    assert len(header) == 7
    assert 0 <= int(header[6]) <= 10
    known = "rt dvchost deviceExternalId externalId dpid dproc duid spid sproc suid filePath reason cnt act msg"
    custom = {f"{kind}{number}{label}" for kind in ("cs", "cn") for number in range(1, 7) for label in ("", "Label")}
    assert extension.keys() <= set(known.split()) | custom
    assert all(key.removesuffix("Label") in extension for key in extension)


@given(st.text(), st.text())
def test_cef_survives_any_text(binary: str, arguments: str) -> None:
    convert = convert_to("cef")
    assert convert is not None
    process = WholeForms(Process(exec_id="x", pid=1, binary=binary, arguments=arguments, start_time=STAMP))
    line = convert(WRITER.line(ExecEvent(1, process, None)).rstrip("\n").encode()).decode()
    assert "\n" not in line
    assert "\r" not in line
    header, extension = parse_cef(line)
    assert len(header) == 7
    if "\r" not in arguments and not re.search(r" \w+=", arguments):
        assert extension.get("cs1", "") == arguments


@given(st.text())
def test_arguments_are_always_a_list(text: str) -> None:
    assert argv({"binary": "/x", "arguments": text})[0] == "/x"


def test_times() -> None:
    assert epoch_ms("2026-11-25T08:00:00Z") == 1795593600000
    assert epoch_ms("2026-11-25T08:00:00.5Z") == 1795593600500
    assert milliseconds(STAMP) == "2026-11-25T08:00:00.123Z"
    assert nest({"a.b": 1, "a.c": 2}) == {"a": {"b": 1, "c": 2}}
