"""The 19 fields of a filter, the label selectors, CEL, and the lists of the settings."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from lictor.api import filters as api
from lictor.api.cel import Expressions
from lictor.api.pb.tetragon import events_pb2
from lictor.api.protobuf import EventEncoder
from lictor.clock import WallClock
from lictor.errors import LictorError
from lictor.model.arguments import Sock, SockArg
from lictor.model.event import EventType, ExecEvent, ExitEvent, LossEvent, ThrottleEvent
from lictor.model.forms import ProcessForms, WholeForms
from lictor.model.hook import HookEvent, KprobeAction, LsmBody, UsdtBody
from lictor.model.process import Capabilities, Container, Pod, Process
from lictor.pipeline.filters import (
    CapabilityFilter,
    CapabilityTest,
    EventFilter,
    compile_filters,
)
from lictor.pipeline.labels import compile_selector

COMPILE = Expressions(EventEncoder(WallClock(), "node").encode).compile


def forms(above: ProcessForms | None = None, **values: Any) -> ProcessForms:
    made = WholeForms(Process(**values))
    made.above = above
    return made


POD = Pod("shop", "web-1", container=Container(name="main", maybe_exec_probe=True), pod_labels={"app": "web", "x": "y"})
INIT = forms(pid=1, binary="/sbin/init")
SHELL = forms(INIT, pid=10, binary="/bin/bash", arguments="-l")
INSIDE = forms(
    SHELL, pid=11, binary="/usr/bin/curl", arguments="-s example.org", docker="abc123", pod=POD, in_init_tree=True,
    cap=Capabilities(("CAP_BPF", "CAP_KILL"), ("CAP_KILL",), ()),
)  # fmt: skip
OUTSIDE = forms(INIT, pid=12, binary="/bin/ls")

A = ExecEvent(1, INSIDE, SHELL)
B = ExitEvent(2, OUTSIDE, INIT, "", 0)
SOCK = SockArg(Sock(daddr="10.1.2.3", dport=443))
C = HookEvent(
    3, INSIDE, SHELL, 11, LsmBody(function_name="f", policy_name="p1", args=(SOCK,), action=KprobeAction.POST)
)
D = HookEvent(
    4, OUTSIDE, INIT, 12, UsdtBody(path="/l", provider="p", name="n", policy_name="p2", action=KprobeAction.POST)
)
E = ThrottleEvent(5, "THROTTLE_START", "/x")
NAMES = {"A": A, "B": B, "C": C, "D": D, "E": E}


def passing(allow: list[EventFilter], deny: list[EventFilter]) -> str:
    wanted = compile_filters(allow, deny, COMPILE)
    return "".join(name for name, event in NAMES.items() if wanted(event))


def capable(name: str, **values: Any) -> CapabilityFilter:
    return CapabilityFilter(**{name: CapabilityTest(**{part: frozenset(found) for part, found in values.items()})})


ROWS: list[tuple[dict[str, Any], str]] = [
    ({"binary_regex": ("curl$",)}, "AC"),
    ({"binary_regex": ("^/bin/", "curl$")}, "ABCD"),
    ({"namespace": ("shop",)}, "AC"),
    ({"namespace": ("",)}, "BD"),
    ({"health_check": True}, "AC"),
    ({"health_check": False}, "BD"),
    ({"pid": (12,)}, "BD"),
    ({"pid_set": (10,)}, "AC"),
    ({"pid_set": (1,)}, "ABCD"),
    ({"event_set": (EventType.PROCESS_EXEC, EventType.PROCESS_THROTTLE)}, "AE"),
    ({"pod_regex": ("^web-",)}, "AC"),
    ({"pod_regex": ("",)}, "AC"),
    ({"arguments_regex": ("example",)}, "AC"),
    ({"labels": ("app=web,x in (y, z)",)}, "AC"),
    ({"labels": ("app=other", "!app")}, ""),
    ({"policy_names": ("p1", "p3")}, "C"),
    ({"policy_names": ("p2",)}, "D"),
    ({"capabilities": capable("permitted", any=["CAP_BPF", "CAP_CHOWN"])}, "AC"),
    ({"capabilities": capable("permitted", all=["CAP_BPF", "CAP_CHOWN"])}, ""),
    ({"capabilities": capable("effective", exactly=["CAP_KILL"])}, "AC"),
    ({"capabilities": capable("effective", none=["CAP_KILL"])}, ""),
    ({"capabilities": capable("inheritable", none=["CAP_KILL"])}, "AC"),
    ({"parent_binary_regex": ("init",)}, "BD"),
    ({"cel_expression": ("process_exec.process.pid == 11u",)}, "A"),
    ({"cel_expression": ("process_exit.process.pid == 12u", "process_lsm.args[0].sock_arg.dport == 443u")}, "BC"),
    ({"cel_expression": ("cidr('10.0.0.0/8').containsIP(process_lsm.args[0].sock_arg.daddr)",)}, "C"),
    ({"parent_arguments_regex": ("-l",)}, "AC"),
    ({"container_id": ("^abc",)}, "AC"),
    ({"in_init_tree": True}, "AC"),
    ({"in_init_tree": False}, "BD"),
    ({"ancestor_binary_regex": ("init",)}, "AC"),
    ({"ancestor_binary_regex": ("bash",)}, ""),
    ({"container_name_regex": ("main|side",)}, "AC"),
    ({"namespace_regex": ("^sh",)}, "AC"),
    ({"namespace_regex": ("^sh",), "event_set": (EventType.PROCESS_LSM,)}, "C"),
]


@pytest.mark.parametrize(("given", "wanted"), ROWS)
def test_allow_and_deny(given: dict[str, Any], wanted: str) -> None:
    one = EventFilter(**given)
    assert passing([one], []) == wanted
    assert passing([], [one]) == "".join(name for name in NAMES if name not in wanted)


@pytest.mark.parametrize(("given", "wanted"), ROWS)
def test_a_client_can_ask_for_it(given: dict[str, Any], wanted: str) -> None:
    request = events_pb2.GetEventsRequest.FromString(api.to_request([EventFilter(**given)]).SerializeToString())
    view = api.view(request, COMPILE)
    assert "".join(name for name, event in NAMES.items() if view.wanted(event)) == wanted


def test_every_field_of_the_message_has_a_row() -> None:
    names = {one.name for one in events_pb2.Filter.DESCRIPTOR.fields}
    assert {one.name for one in fields(EventFilter)} == names
    assert {name for given, _ in ROWS for name in given} == names


def test_several_filters() -> None:
    first, second = EventFilter(pid=(11,)), EventFilter(pid=(12,), event_set=(EventType.PROCESS_EXIT,))
    assert passing([first, second], []) == "ABC"
    assert passing([first, second], [EventFilter(event_set=(EventType.PROCESS_LSM,))]) == "AB"


def test_losses_pass() -> None:
    assert compile_filters([EventFilter(pid=(1,))], [EventFilter(event_set=(EventType.RATE_LIMIT_INFO,))])(
        LossEvent(0, 1, "ring", "full")
    )


@pytest.mark.parametrize(
    ("selector", "holds"),
    [
        ("", True),
        ("app", True),
        ("!app", False),
        ("! nope", True),
        ("app=web", True),
        ("app == web , x != z", True),
        ("nope!=z", True),
        ("app in (a,web)", True),
        ("app notin (a, web)", False),
        ("nope notin (a)", True),
        ("example.com/role=", False),
    ],
)
def test_label_selectors(selector: str, holds: bool) -> None:
    assert compile_selector(selector)(POD.pod_labels) is holds


@pytest.mark.parametrize("selector", ["a b", "=x", "a in", "a in (b", "a,,b", "-a", "a=b=c"])
def test_wrong_label_selectors(selector: str) -> None:
    with pytest.raises(LictorError, match="cannot be read"):
        compile_selector(selector)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("ip('127.0.0.1').isLoopback()", True),
        ("ip('::1').family() == 6 && ip('10.0.0.1').family() == 4", True),
        ("isIP('10.0.0.256') || isIP('::ffff:1.2.3.4') || isIP('fe80::1%eth0')", False),
        ("ip.isCanonical('::1') && !ip.isCanonical('0::1')", True),
        ("ip('0.0.0.0').isUnspecified() && ip('169.254.1.1').isLinkLocalUnicast()", True),
        ("ip('224.0.0.9').isLinkLocalMulticast() && ip('ff02::1').isLinkLocalMulticast()", True),
        ("ip('10.0.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()", True),
        ("ip('10.0.0.1') == ip('10.0.0.1') && string(ip('::0')) == '::'", True),
        ("cidr('10.0.0.0/8').containsIP('10.9.9.9') && !cidr('10.0.0.0/8').containsIP(ip('::1'))", True),
        ("cidr('10.0.0.0/8').containsCIDR('10.3.0.0/16') && !cidr('10.0.0.0/8').containsCIDR(cidr('0.0.0.0/0'))", True),
        ("cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.2.3/8').prefixLength() == 8", True),
        ("cidr('10.1.2.3/8').ip() == ip('10.1.2.3') && isCIDR('::/0') && !isCIDR('10.0.0.1')", True),
        ("ip('nonsense').isLoopback()", False),
        ("process_lsm.args[9].int_arg == 1", False),
        ("process_exec.process.pid == 1u || process_lsm.process.pid == 11u", True),
    ],
)
def test_expressions(expression: str, holds: bool) -> None:
    assert COMPILE(expression)(C) is holds


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("1 +", "Syntax error"),
        ("process_exec.process.nope == 1", "undefined field 'nope'"),
        ("process_exec.process.binary", "gives STRING"),
        ("nonsense()", "nonsense"),
    ],
)
def test_wrong_expressions(expression: str, says: str) -> None:
    with pytest.raises(LictorError, match=says):
        COMPILE(expression)


def test_an_expression_that_fails_is_counted() -> None:
    expressions = Expressions(EventEncoder(WallClock(), "node").encode)
    assert not expressions.compile("process_lsm.args[9].int_arg == 1")(C)
    assert expressions.failed == 1


def test_lists_of_the_settings() -> None:
    found = api.filter_list('{"event_set": ["PROCESS_EXEC"]}\n{"namespace":["","a"],"health_check":true}', "list")
    assert found == [
        EventFilter(event_set=(EventType.PROCESS_EXEC,)),
        EventFilter(namespace=("", "a"), health_check=True),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("[1]", "should be"),
        ("{}", "empty filter"),
        ('{"nope": 1}', "nope"),
        ('{"event_set": ["NOPE"]}', "NOPE"),
        ('{"binary_regex": ["("]}', "not valid"),
    ],
)
def test_wrong_lists_of_the_settings(text: str, says: str) -> None:
    with pytest.raises(LictorError, match=says):
        api.compile_export(text, "", "", None, COMPILE)
