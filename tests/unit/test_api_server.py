"""The API over a real socket, asked by another implementation of gRPC (grpcio)."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from serving import DEADLINE_S, SERVICE, Serving

from lictor import __version__
from lictor.api import address, listeners, prune, server
from lictor.api.calls import MAX_REQUEST
from lictor.api.listeners import Listener, Listeners
from lictor.api.pb.tetragon import events_pb2, sensors_pb2, tetragon_pb2
from lictor.api.protobuf import EventEncoder
from lictor.clock import WallClock
from lictor.errors import LictorError
from lictor.model.arguments import IntArg
from lictor.model.event import Event, ExecEvent, ExitEvent, LossEvent
from lictor.model.forms import LONG, ProcessForms, WholeForms
from lictor.model.hook import HookEvent, KprobeAction, KprobeBody
from lictor.model.process import Process
from lictor.pipeline.fields import FieldFilter, FieldFilters
from lictor.pipeline.view import View


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    running = Serving(str(tmp_path / "api.sock"))
    yield running
    running.stop()
    assert not Path(running.path).exists()


def process(pid: int, binary: str = "/bin/true", arguments: str = "") -> ProcessForms:
    return WholeForms(Process(exec_id=str(pid), pid=pid, binary=binary, arguments=arguments))


def request(**fields: Any) -> events_pb2.GetEventsRequest:
    return events_pb2.GetEventsRequest(allow_list=[events_pb2.Filter(**fields)])


def window(seconds: float) -> events_pb2.AggregationOptions:
    return events_pb2.AggregationOptions(window_size=Duration(nanos=round(seconds % 1 * 1e9), seconds=int(seconds)))


def code_of(attempt: Callable[[], Any]) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as caught:
        attempt()
    return caught.value.code(), caught.value.details() or ""


def test_version(serving: Serving) -> None:
    answer = serving.ask("GetVersion", sensors_pb2.GetVersionRequest(), sensors_pb2.GetVersionResponse)
    assert answer.version == __version__


def test_health(serving: Serving) -> None:
    asked = tetragon_pb2.GetHealthStatusRequest(event_set=[tetragon_pb2.HEALTH_STATUS_TYPE_STATUS])
    (status,) = serving.ask("GetHealth", asked, tetragon_pb2.GetHealthStatusResponse).health_status
    assert status.status == tetragon_pb2.HEALTH_STATUS_RUNNING


def test_what_has_nothing_behind_it_says_so(serving: Serving) -> None:
    asked = sensors_pb2.ListTracingPoliciesRequest()
    code, details = code_of(lambda: serving.ask("ListTracingPolicies", asked, sensors_pb2.ListTracingPoliciesResponse))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert "ListTracingPolicies" in details


def test_events_arrive_in_order(serving: Serving) -> None:
    stream = serving.follow(events_pb2.GetEventsRequest())
    serving.accept(ExecEvent(5, process(1), None), ExitEvent(6, process(1), None, "", 3), LossEvent(7, 9, "a", "b"))
    got = [next(stream) for _ in range(3)]
    assert [one.WhichOneof("event") for one in got] == ["process_exec", "process_exit", "rate_limit_info"]
    assert got[0].node_name == "node"
    assert got[2].rate_limit_info.number_of_dropped_process_events == 9


@pytest.mark.parametrize(
    ("allow", "wanted"),
    [
        ({"pid": [2]}, [2]),
        ({"binary_regex": ["^/usr/"]}, [3]),
        ({"binary_regex": ["^/usr/", "true$"]}, [1, 2, 3]),
        ({"event_set": ["PROCESS_EXIT"]}, []),
        ({"event_set": ["PROCESS_EXEC"], "pid": [1, 3]}, [1, 3]),
    ],
)
def test_filters(serving: Serving, allow: dict[str, Any], wanted: list[int]) -> None:
    stream = serving.follow(request(**allow))
    serving.accept(
        *(
            ExecEvent(1, process(pid, binary), None)
            for pid, binary in ((1, "/bin/true"), (2, "/bin/true"), (3, "/usr/x"))
        ),
        LossEvent(1, 1, "end", "of the test"),
    )
    got = []
    for message in stream:
        if message.WhichOneof("event") == "rate_limit_info":
            break
        got.append(message.process_exec.process.pid.value)
    assert got == wanted


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (request(labels=["a in b"]), "label selector"),
        (request(cel_expression=["process_exec.process.nope == 1"]), "nope"),
        (request(), "empty filter"),
        (request(binary_regex=["("]), "("),
        (request(event_set=[7777]), "7777"),
        (events_pb2.GetEventsRequest(field_filters=[events_pb2.FieldFilter()]), "names no fields"),
        (
            events_pb2.GetEventsRequest(field_filters=[events_pb2.FieldFilter(fields=FieldMask(paths=["pid"]))]),
            "field pid",
        ),
        (
            events_pb2.GetEventsRequest(aggregation_options=window(9999)),
            "window is 9999 s",
        ),
    ],
)
def test_a_filter_is_never_ignored(serving: Serving, asked: events_pb2.GetEventsRequest, word: str) -> None:
    code, details = code_of(lambda: next(serving.follow(asked)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert word in details


def test_field_filters_and_aggregation(serving: Serving) -> None:
    fields = events_pb2.FieldFilter(fields=FieldMask(paths=["process.binary", "args"]))
    asked = events_pb2.GetEventsRequest(field_filters=[fields], aggregation_options=window(0.2))
    plain, stream = serving.follow(events_pb2.GetEventsRequest()), serving.follow(asked)
    serving.accept(*(hook_event(n) for n in (1, 1, 2, 1)), LossEvent(1, 1, "end", "of the test"))
    got = [next(stream) for _ in range(3)]
    assert [one.process_kprobe.args[0].int_arg for one in got[:2]] == [1, 2]
    assert [one.aggregation_info.count for one in got[:2]] == [3, 1]
    assert got[0].process_kprobe.process == tetragon_pb2.Process(binary="/bin/true")
    assert not got[0].process_kprobe.function_name
    assert got[2].rate_limit_info.number_of_dropped_process_events == 1
    whole = [next(plain) for _ in range(4)]
    assert all(one.process_kprobe.function_name == "f" and not one.HasField("aggregation_info") for one in whole)


def hook_event(number: int) -> HookEvent:
    body = KprobeBody(function_name="f", args=(IntArg(number),), action=KprobeAction.POST, policy_name="p")
    return HookEvent(number, process(1), None, 1, body)


def test_what_clients_share_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event is encoded once, and cut once for each distinct set of field filters, however many clients there are."""
    encoder = EventEncoder(WallClock(), "node")
    made: list[Event] = []
    cut: list[bytes] = []

    def encode(event: Event) -> bytes:
        made.append(event)
        return encoder.encode(event)

    def count(message: bytes, pruning: Any) -> bytes:
        cut.append(message)
        return prune.pruned(message, pruning)

    monkeypatch.setattr(listeners, "pruned", count)
    everyone = Listeners(encode, lambda dropped: LossEvent(1, dropped, "client", "slow"))
    clients: list[Listener] = []
    for paths in ((), ("process.pid",), ("process.binary", "process.pid")):
        for _ in range(10):  # each asks for itself
            fields = FieldFilters([FieldFilter(paths)]) if paths else None
            clients.append(everyone.add(View(fields=fields)))
    events = [ExecEvent(number, process(number), None) for number in range(250)]
    everyone.accept(events)
    assert made == events
    assert len(cut) == 2 * len(events)
    pieces = [asyncio.run(one.take()) for one in clients]
    assert len(set(pieces)) == 3


@pytest.mark.accounts("tetragon_notify_overflowed_events_total")
def test_a_slow_client_is_told_what_it_lost(serving: Serving) -> None:
    slow = serving.follow(events_pb2.GetEventsRequest())
    sent = 40_000
    for start in range(0, sent, 1000):
        serving.accept(*(ExecEvent(1, process(start + n, arguments="x" * 500), None) for n in range(1000)))
    received = dropped = 0
    while received + dropped < sent:
        message = next(slow)
        if message.WhichOneof("event") == "rate_limit_info":
            dropped += message.rate_limit_info.number_of_dropped_process_events
        else:
            assert message.process_exec.process.pid.value == received + dropped
            received += 1
    assert received + dropped == sent
    assert dropped > 0
    serving.accept(ExecEvent(1, process(sent), None))
    assert next(slow).process_exec.process.pid.value == sent


def test_a_slow_client_gets_huge_events_shortened(serving: Serving) -> None:
    slow = serving.follow(events_pb2.GetEventsRequest())
    forms = process(1, arguments="y" * 130_000)
    for _ in range(10):
        serving.accept(*(ExecEvent(1, forms, None) for _ in range(100)))
    got = [next(slow).process_exec.process for _ in range(1000)]
    lengths = [len(one.arguments) for one in got]
    assert set(lengths) == {130_000, LONG}
    assert 10 < lengths.count(130_000) < 300
    assert all(("truncArgs" in one.flags.split()) == (len(one.arguments) == LONG) for one in got)


def test_streams_are_limited(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_STREAMS", 8)
    open_streams = [serving.follow(events_pb2.GetEventsRequest()) for _ in range(8)]
    code, _ = code_of(lambda: next(serving.follow(events_pb2.GetEventsRequest())))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    for stream in open_streams:
        stream.cancel()


def test_a_client_that_leaves_is_forgotten(serving: Serving) -> None:
    first = serving.follow(events_pb2.GetEventsRequest())
    first.cancel()
    serving.in_loop(serving.server.listeners.gone())
    serving.accept(ExecEvent(1, process(1), None))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (b"\x0a" + b"\x00" * (MAX_REQUEST + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_requests_that_make_no_sense(serving: Serving, raw: bytes, expected: Any) -> None:
    call = serving.channel.unary_unary(SERVICE + "GetVersion", lambda data: data, lambda data: data)
    assert code_of(lambda: call(raw, timeout=DEADLINE_S))[0] is expected


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 4096, os.urandom(4096)])
def test_a_peer_that_speaks_something_else_is_shown_the_door(serving: Serving, noise: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(DEADLINE_S)
        peer.connect(serving.path)
        peer.sendall(noise)
        while peer.recv(4096):
            pass
    test_version(serving)


def test_the_socket_is_for_owner_and_group(serving: Serving) -> None:
    assert stat.S_IMODE(os.stat(serving.path).st_mode) == 0o660


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to a group")
def test_the_socket_can_be_a_groups(tmp_path: Path) -> None:
    where = tmp_path / "group.sock"
    address.listen(address.parse(f"unix://{where}"), 1)[0].close()
    assert (where.stat().st_gid, stat.S_IMODE(where.stat().st_mode)) == (1, 0o660)


def test_the_end_of_the_agent_ends_the_stream_after_what_is_queued(tmp_path: Path) -> None:
    running = Serving(str(tmp_path / "api.sock"))
    stream = running.follow(events_pb2.GetEventsRequest())
    running.accept(*(ExecEvent(1, process(pid), None) for pid in range(500)))
    got: list[Any] = []
    reader = threading.Thread(target=lambda: got.extend(stream))
    reader.start()
    running.close_server()
    reader.join(DEADLINE_S)
    running.stop()
    assert len(got) == 500


def test_a_stale_socket_is_replaced_and_a_living_one_is_not(tmp_path: Path, serving: Serving) -> None:
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(stale))
    address.listen(address.parse(f"unix://{stale}"))[0].close()
    with pytest.raises(LictorError, match="another agent"):
        address.listen(address.parse(f"unix://{serving.path}"))
    plain = tmp_path / "file"
    plain.write_text("mine")
    with pytest.raises(LictorError, match="no socket"):
        address.listen(address.parse(f"unix://{plain}"))
    assert plain.read_text() == "mine"


@pytest.mark.parametrize("text", ["", "unix:", "unix://" + "x" * 108, "host", "host:port", "host:70000"])
def test_wrong_addresses(text: str) -> None:
    with pytest.raises(LictorError, match="no server address"):
        address.parse(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("unix:///a/b", address.Address(path="/a/b")),
        ("unix:/a/b", address.Address(path="/a/b")),
        ("/a/b", address.Address(path="/a/b")),
        ("localhost:54321", address.Address(host="localhost", port=54321)),
        ("[::1]:1", address.Address(host="::1", port=1)),
        (":1", address.Address(host="localhost", port=1)),
    ],
)
def test_addresses(text: str, wanted: address.Address) -> None:
    assert address.parse(text) == wanted


def test_a_port_in_use_is_one_sentence() -> None:
    (taken,) = address.listen(address.Address(host="127.0.0.1", port=0))
    with taken, pytest.raises(LictorError, match="Address already in use"):
        address.listen(address.Address(host="127.0.0.1", port=taken.getsockname()[1]))
