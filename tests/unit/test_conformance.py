"""The API as a stranger meets it: raw HTTP/2, broken and huge messages, random requests, and clients that do not read.

Whatever comes, the answer is a gRPC status, and the next client is served.
"""

from __future__ import annotations

import os
import resource
import socket
import struct
from collections.abc import Iterator
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from agent_ports import PORTS
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, RstStreamFrame, SettingsFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import DEADLINE_S, SERVICE, Serving

from lictor.api.calls import MAX_REQUEST
from lictor.api.listeners import ALL_QUEUES_BYTES
from lictor.api.pb.tetragon import eventlogservice_pb2, events_pb2, sensors_pb2
from lictor.api.server import MAX_STREAMS
from lictor.model.event import ExecEvent, LossEvent
from lictor.model.forms import WholeForms
from lictor.model.process import Process

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS = [
    (":method", "POST"), (":scheme", "http"), (":path", f"{SERVICE}GetVersion"), (":authority", "x"),
    ("te", "trailers"), ("content-type", "application/grpc"),
]  # fmt: skip
METHODS = [
    (f"/{service.full_name}/{method.name}", method.input_type)
    for module, name in ((sensors_pb2, "FineGuidanceSensors"), (eventlogservice_pb2, "EventLogService"))
    for service in (module.DESCRIPTOR.services_by_name[name],)
    for method in service.methods
    if not method.server_streaming
]
BIG = "x" * 500


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    running = Serving(str(tmp_path_factory.mktemp("api") / "api.sock"), PORTS)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def still_serves(serving: Serving) -> Iterator[None]:
    yield
    answer = serving.ask("GetVersion", sensors_pb2.GetVersionRequest(), sensors_pb2.GetVersionResponse)
    assert answer.version


def framed(message: bytes, compressed: int = 0) -> bytes:
    return struct.pack(">BI", compressed, len(message)) + message


class Stranger:
    """An HTTP/2 client that can do wrong. `window`: bytes of a stream that it takes."""

    def __init__(self, path: str, window: int | None = None) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)  # waits while the backlog is full
        self.socket.settimeout(DEADLINE_S)
        config = h2.config.H2Configuration(validate_outbound_headers=False)
        self.connection = h2.connection.H2Connection(config)
        if window is not None:
            self.connection.local_settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = window
        self.connection.initiate_connection()
        self.flush()

    @classmethod
    def settled(cls, path: str, window: int) -> Stranger:
        """One whose window the server knows before the first stream."""
        found = cls(path)
        found.connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        found.flush()
        while found.connection.local_settings.initial_window_size != window:
            found.connection.receive_data(found.socket.recv(1 << 16))
        found.flush()
        return found

    def flush(self) -> None:
        self.socket.sendall(self.connection.data_to_send())

    def open(self, headers: list[tuple[str, str]], end: bool = False) -> int:
        stream = int(self.connection.get_next_available_stream_id())
        self.connection.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, end: bool = True) -> None:
        for start in range(0, len(data), 16384):
            self.connection.send_data(stream, data[start : start + 16384])
        if end:
            self.connection.end_stream(stream)
        self.flush()

    def answer(self) -> dict[str, str]:
        """The headers and trailers of the first stream that ends, and how it ended."""
        found: dict[str, str] = {}
        while True:
            data = self.socket.recv(65536)
            if not data:
                return found | {"closed": "yes"}
            for event in self.connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                    found |= {_text(name): _text(value) for name, value in event.headers or ()}
                elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
                    return found
                elif isinstance(event, h2.events.ConnectionTerminated):
                    return found | {"closed": "yes"}
            self.flush()

    def close(self) -> None:
        self.socket.close()


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def asked(path: str = f"{SERVICE}GetVersion", **changed: str) -> list[tuple[str, str]]:
    wanted = dict(HEADERS) | {":path": path} | {name.replace("_", "-"): value for name, value in changed.items()}
    return [(name, value) for name, value in wanted.items() if value]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (framed(b""), "0"),
        (framed(b"\x0a\x03abc"), "0"),  # a field that is not known
        (framed(b"") + framed(b""), "0"),  # one message too many
        (framed(b"\xff\xff\xff"), "3"),
        (b"", "3"),
        (b"\x00\x00", "3"),
        (struct.pack(">BI", 0, 1000) + b"short", "3"),
        (struct.pack(">BI", 0, MAX_REQUEST + 1), "8"),
        (struct.pack(">BI", 0, 0xFFFFFFFF), "8"),
        (framed(b"x", compressed=1), "12"),
        (os.urandom(50_000), None),
    ],
)
def test_messages(serving: Serving, data: bytes, status: str | None) -> None:
    stranger = Stranger(serving.path)
    stranger.send(stranger.open(asked()), data)
    answer = stranger.answer()
    if status is None:
        assert answer["grpc-status"] not in ("0", "13")
    else:
        assert answer["grpc-status"] == status, answer
    stranger.close()


def test_a_message_in_many_pieces(serving: Serving) -> None:
    stranger = Stranger(serving.path)
    stream = stranger.open(asked(f"{SERVICE}ListTracingPolicies"))
    for byte in framed(sensors_pb2.ListTracingPoliciesRequest(domain="grpc").SerializeToString()):
        stranger.send(stream, bytes((byte,)), end=False)
    stranger.connection.end_stream(stream)
    stranger.flush()
    assert stranger.answer()["grpc-status"] == "0"
    stranger.close()


@pytest.mark.parametrize(
    ("headers", "name", "value"),
    [
        (asked("/tetragon.FineGuidanceSensors/Nonsense"), "grpc-status", "12"),
        (asked("/nonsense"), "grpc-status", "12"),
        (asked(":path"), "grpc-status", "12"),
        (asked(content_type="application/json"), ":status", "415"),
        (asked(te=""), ":status", "400"),
        ([*asked(), ("grpc-timeout", "nonsense")], ":status", "200"),
    ],
)
def test_headers(serving: Serving, headers: list[tuple[str, str]], name: str, value: str) -> None:
    stranger = Stranger(serving.path)
    stranger.send(stranger.open(headers), framed(b""))
    assert stranger.answer().get(name) == value
    stranger.close()


@pytest.mark.parametrize(
    "frames",
    [
        DataFrame(1, b"data on a stream that is not open").serialize(),
        HeadersFrame(1, b"\xff\xff\xff\xff", flags=["END_HEADERS"]).serialize(),
        ContinuationFrame(1, b"out of place").serialize(),
        RstStreamFrame(99, 0).serialize(),
        SettingsFrame(0, {5: 1}).serialize(),  # a frame size below the least
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"x" * 100,  # a frame of 16 MB
        b"\x00\x00\x00\x7f\x00\x00\x00\x00\x00",  # a type that is not known
    ],
)
def test_frames_that_break_the_rules(serving: Serving, frames: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(DEADLINE_S)
        peer.connect(serving.path)
        peer.sendall(PREFACE + SettingsFrame(0).serialize() + frames)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(65536):
            pass


def test_streams_that_are_reset_at_once(serving: Serving) -> None:
    stranger = Stranger(serving.path)
    for _ in range(300):
        stream = stranger.open(asked(f"{SERVICE}GetEvents"))
        stranger.connection.reset_stream(stream)
        stranger.flush()
    stranger.send(stranger.open(asked()), framed(b""))
    while "grpc-status" not in (answer := stranger.answer()):
        assert "closed" not in answer
    stranger.close()
    serving.in_loop(serving.server.listeners.gone())


def test_a_client_that_leaves_without_a_word(serving: Serving) -> None:
    for _ in range(50):
        stranger = Stranger(serving.path)
        stranger.send(stranger.open(asked(f"{SERVICE}GetEvents")), framed(b""))
        stranger.close()
    serving.in_loop(serving.server.listeners.gone())


def test_a_thousand_clients_that_do_not_read(serving: Serving) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(1000, (hard - 200) // 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * count + 200), hard))
    fast = serving.follow(events_pb2.GetEventsRequest())
    slow = [Stranger(serving.path, window=0) for _ in range(count)]
    for one in slow:
        one.send(one.open(asked(f"{SERVICE}GetEvents")), framed(b""))
    while len(serving.server.listeners) < MAX_STREAMS:
        serving.in_loop(_pause())
    refused = slow[-1].answer()
    assert (refused["grpc-status"], str(MAX_STREAMS) in refused["grpc-message"]) == ("8", True)
    sent = 3000
    for start in range(0, sent, 500):
        serving.accept(*(ExecEvent(1, process(start + number), None) for number in range(500)))
        for number in range(500):
            assert next(fast).process_exec.process.pid.value == start + number
    assert sum(one._held for one in serving.server.listeners._all) <= ALL_QUEUES_BYTES
    assert serving.server.listeners.dropped > 0
    for one in slow:
        one.close()
    fast.cancel()
    serving.in_loop(serving.server.listeners.gone())
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_client_that_starts_to_read_is_told_what_it_missed(serving: Serving) -> None:
    late = Stranger(serving.path, window=0)
    stream = late.open(asked(f"{SERVICE}GetEvents"))
    late.send(stream, framed(b""))
    while not len(serving.server.listeners):
        serving.in_loop(_pause())
    sent = 20_000
    for start in range(0, sent, 1000):
        serving.accept(*(ExecEvent(1, process(start + number), None) for number in range(1000)))
    received = dropped = 0
    buffer = b""
    late.connection.increment_flow_control_window(1 << 24)
    late.connection.increment_flow_control_window(1 << 24, stream)
    late.flush()
    while received + dropped < sent:
        for event in late.connection.receive_data(late.socket.recv(1 << 16)):
            if isinstance(event, h2.events.DataReceived):
                buffer += event.data or b""
                late.connection.acknowledge_received_data(event.flow_controlled_length or 0, stream)
        late.flush()
        messages, buffer = _messages(buffer)
        for message in messages:
            lost = message.rate_limit_info.number_of_dropped_process_events
            if lost:
                dropped += lost
            else:
                assert message.process_exec.process.pid.value == received
                received += 1
    assert received + dropped == sent
    assert dropped > 0
    late.close()


@pytest.mark.parametrize(("window", "count"), [(7, 20), (1000, 300), (20_000, 300), (1 << 20, 3000)])
def test_windows_are_respected(serving: Serving, window: int, count: int) -> None:
    """The client's own library refuses a frame that is too long or finds no window."""
    client = Stranger.settled(serving.path, window)
    stream = client.open(asked(f"{SERVICE}GetEvents"))
    client.send(stream, framed(b""))
    while not len(serving.server.listeners):
        serving.in_loop(_pause())
    serving.accept(*(ExecEvent(1, process(number), None) for number in range(count)))
    pids: list[int] = []
    buffer = b""
    while len(pids) < count:
        for event in client.connection.receive_data(client.socket.recv(1 << 16)):
            if isinstance(event, h2.events.DataReceived):
                assert len(event.data or b"") <= window
                buffer += event.data or b""
                client.connection.increment_flow_control_window(event.flow_controlled_length or 0)
                client.connection.increment_flow_control_window(event.flow_controlled_length or 0, stream)
        client.flush()
        found, buffer = _messages(buffer)
        pids += [message.process_exec.process.pid.value for message in found]
    assert pids == list(range(count))
    client.close()
    serving.in_loop(serving.server.listeners.gone())


def test_streams_that_are_reset_while_the_server_waits_to_send(serving: Serving) -> None:
    client = Stranger.settled(serving.path, 10)
    streams = [client.open(asked(f"{SERVICE}GetEvents")) for _ in range(20)]
    for stream in streams:
        client.send(stream, framed(b""))
    while len(serving.server.listeners) < len(streams):
        serving.in_loop(_pause())
    serving.accept(*(ExecEvent(1, process(number), None) for number in range(50)))
    for stream in streams:
        client.connection.increment_flow_control_window(10, stream)
        client.connection.reset_stream(stream)
    client.flush()
    serving.in_loop(serving.server.listeners.gone())
    client.close()


def _messages(buffer: bytes) -> tuple[list[events_pb2.GetEventsResponse], bytes]:
    found = []
    while len(buffer) >= 5:
        (size,) = struct.unpack(">I", buffer[1:5])
        if len(buffer) < 5 + size:
            break
        found.append(events_pb2.GetEventsResponse.FromString(buffer[5 : 5 + size]))
        buffer = buffer[5 + size :]
    return found, buffer


async def _pause() -> None:
    """One turn of the server's loop."""


def process(pid: int) -> WholeForms:
    return WholeForms(Process(exec_id=str(pid), pid=pid, binary="/bin/true", arguments=BIG))


def messages(descriptor: Descriptor, depth: int = 3) -> st.SearchStrategy[Any]:
    """Any message of a type."""
    kind: Any = GetMessageClass(descriptor)
    fields = {field.name: _values(field, depth) for field in descriptor.fields if depth or field.message_type is None}
    return st.fixed_dictionaries({}, optional=fields).map(lambda found: kind(**found))


def _values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        return st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)
    one = messages(inner, depth - 1) if inner is not None else _scalar(field)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return st.binary(max_size=9) if field.type == FieldDescriptor.TYPE_BYTES else st.text(max_size=9)
        case FieldDescriptor.CPPTYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.CPPTYPE_INT64:
            return st.integers(-(2**63), 2**63 - 1)
        case FieldDescriptor.CPPTYPE_UINT64:
            return st.integers(0, 2**64 - 1)
        case FieldDescriptor.CPPTYPE_UINT32:
            return st.integers(0, 2**32 - 1)
    return st.integers(-(2**31), 2**31 - 1)  # enums take numbers that they have no name for


@pytest.mark.parametrize(("path", "descriptor"), METHODS, ids=lambda one: str(one).rpartition("/")[2])
@settings(max_examples=25)
@given(st.data())
def test_any_request_gets_an_answer(serving: Serving, path: str, descriptor: Descriptor, data: st.DataObject) -> None:
    request = data.draw(messages(descriptor))
    call: Any = serving.channel.unary_unary(path, lambda raw: raw, lambda raw: raw)
    try:
        call(request.SerializeToString(), timeout=DEADLINE_S)
    except grpc.RpcError as error:
        answer: Any = error
        assert answer.code() in (
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.NOT_FOUND,
            grpc.StatusCode.UNIMPLEMENTED,
        ), answer.details()


@settings(max_examples=150)
@given(messages(events_pb2.GetEventsRequest.DESCRIPTOR, 4))
def test_any_filter_is_taken_or_refused(serving: Serving, request: events_pb2.GetEventsRequest) -> None:
    request.ClearField("aggregation_options")
    stream = serving.follow(request)
    serving.accept(ExecEvent(1, process(1), None), LossEvent(1, 1, "end", "of the test"))
    try:
        while not next(stream).HasField("rate_limit_info"):
            pass
    except grpc.RpcError as error:
        answer: Any = error
        assert answer.code() is grpc.StatusCode.INVALID_ARGUMENT, answer.details()
    stream.cancel()


@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer(serving: Serving, raw: bytes) -> None:
    call: Any = serving.channel.unary_stream(f"{SERVICE}GetEvents", lambda data: data, lambda data: data)
    stream = call(raw, timeout=DEADLINE_S)
    stream.initial_metadata()
    if stream.done():
        assert stream.code() is grpc.StatusCode.INVALID_ARGUMENT
    stream.cancel()
