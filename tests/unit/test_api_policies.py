"""The methods about policies and the agent, asked by grpcio; and who may call them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from agent_ports import LOG, MANAGER, PORTS
from google.protobuf import descriptor_pb2
from grpclib.health.v1 import health_pb2
from grpclib.reflection.v1 import reflection_pb2
from serving import EVENT_LOG, Serving

from lictor import log
from lictor.api import agent
from lictor.api.access import READERS, WRITERS, Access, Allowed, Caller, Right
from lictor.api.agent import duration
from lictor.api.pb.tetragon import eventlogservice_pb2
from lictor.api.pb.tetragon import sensors_pb2 as pb
from lictor.api.ports import (
    EventLogParams,
)
from lictor.api.tls import Tls, TlsFiles
from lictor.errors import LictorError
from lictor.policy.plan import Mode


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    running = Serving(str(tmp_path_factory.mktemp("api") / "api.sock"), PORTS)
    yield running
    running.stop()


def failing(attempt: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as caught:
        attempt()
    return caught.value.code(), caught.value.details() or ""


def test_add(serving: Serving) -> None:
    serving.ask("AddTracingPolicy", pb.AddTracingPolicyRequest(yaml="text"), pb.AddTracingPolicyResponse)
    assert MANAGER.asked[-1] == (b"text", "grpc")


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("twice", grpc.StatusCode.ALREADY_EXISTS, "there is one: delete it"),
        ("wrong", grpc.StatusCode.INVALID_ARGUMENT, "line 3 is wrong: correct it"),
        ("broken", grpc.StatusCode.INTERNAL, "log says why"),
    ],
)
def test_add_fails(serving: Serving, text: str, code: Any, says: str) -> None:
    request = pb.AddTracingPolicyRequest(yaml=text)
    got, details = failing(lambda: serving.ask("AddTracingPolicy", request, pb.AddTracingPolicyResponse))
    assert got is code
    assert says in details
    assert "secret" not in details


def test_delete(serving: Serving) -> None:
    request = pb.DeleteTracingPolicyRequest(name="a", namespace="n", domain="d")
    serving.ask("DeleteTracingPolicy", request, pb.DeleteTracingPolicyResponse)
    assert MANAGER.asked[-1] == ("a", "n", "d")
    for name, code in (("b", grpc.StatusCode.NOT_FOUND), ("", grpc.StatusCode.INVALID_ARGUMENT)):
        missing = pb.DeleteTracingPolicyRequest(name=name)
        found = failing(lambda: serving.ask("DeleteTracingPolicy", missing, pb.DeleteTracingPolicyResponse))  # noqa: B023
        assert found[0] is code


def test_configure(serving: Serving) -> None:
    def configure(**values: Any) -> Any:
        request = pb.ConfigureTracingPolicyRequest(name="a", **values)
        serving.ask("ConfigureTracingPolicy", request, pb.ConfigureTracingPolicyResponse)
        return MANAGER.asked[-1]

    assert configure() == ("a", "", "grpc", None, None)
    assert configure(enable=False) == ("a", "", "grpc", False, None)
    assert configure(mode=pb.TP_MODE_MONITOR, namespace="n") == ("a", "n", "grpc", None, Mode.MONITOR)
    assert failing(lambda: configure(mode=pb.TP_MODE_MONITOR_ONLY))[0] is grpc.StatusCode.INVALID_ARGUMENT
    serving.ask("EnableTracingPolicy", pb.EnableTracingPolicyRequest(name="a"), pb.EnableTracingPolicyResponse)
    assert MANAGER.asked[-1] == ("a", "", "grpc", True, None)
    serving.ask("DisableTracingPolicy", pb.DisableTracingPolicyRequest(name="a"), pb.DisableTracingPolicyResponse)
    assert MANAGER.asked[-1] == ("a", "", "grpc", False, None)


def test_list(serving: Serving) -> None:
    answer = serving.ask("ListTracingPolicies", pb.ListTracingPoliciesRequest(), pb.ListTracingPoliciesResponse)
    (one,) = answer.policies
    assert (one.id, one.name, one.namespace, one.domain, one.info) == (7, "a", "n", "grpc", "kprobe:x: prevented")
    assert (one.state, one.mode, one.enabled) == (pb.TP_STATE_PARTIALLY_ENABLED, pb.TP_MODE_MONITOR, True)
    assert (one.kernel_memory_bytes, one.sensors) == (4096, ["generic_kprobe"])
    assert (one.stats.action_counters.post, one.stats.action_counters.monitor_signal) == (11, 2)
    second = one.stats.selector_action_counters[1]
    assert (second.hook, second.hook_index.value, second.selector_index.value) == ("kprobe:x", 0, 1)
    assert second.HasField("hook_index")
    hook = one.hook_statuses[0]
    assert (hook.section, hook.hook_idx, hook.state) == ("kprobes", 1, pb.STATUS_CALL_NOT_FOUND)
    other = serving.ask(
        "ListTracingPolicies", pb.ListTracingPoliciesRequest(domain="x"), pb.ListTracingPoliciesResponse
    )
    assert not other.policies
    domains = serving.ask("ListDomains", pb.ListDomainsRequest(), pb.ListDomainsResponse)
    assert domains.domains == ["grpc", "static"]


def test_info(serving: Serving) -> None:
    found = serving.ask("GetInfo", pb.GetInfoRequest(), pb.GetInfoResponse)
    assert {one.Name: one.Enabled.value for one in found.probes} == {"lsm": True, "kprobe": False}
    kinds = {one.key: one.value.TypeName() for one in found.conf}
    assert kinds["log-level"] == kinds["server-address"] == "google.protobuf.StringValue"
    assert kinds["rb-size"] == "google.protobuf.Int64Value"
    assert found.build.go_version.startswith("python3")


def test_process_table(serving: Serving) -> None:
    request = pb.GetDebugRequest(flag=pb.CONFIG_FLAG_DUMP_PROCESS_CACHE)
    found = serving.ask("GetDebug", request, pb.GetDebugResponse).processes.processes
    assert [(one.process.pid.value, one.color, one.refcnt.value) for one in found] == [
        (1, "inUse", 1),
        (2, "deletePending", 0),
    ]
    request.dump.skip_zero_refcnt = True
    assert len(serving.ask("GetDebug", request, pb.GetDebugResponse).processes.processes) == 1


def test_a_process_table_that_is_too_long(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "MAX_ANSWER", 50)
    request = pb.GetDebugRequest(flag=pb.CONFIG_FLAG_DUMP_PROCESS_CACHE)
    code, details = failing(lambda: serving.ask("GetDebug", request, pb.GetDebugResponse))
    assert (code, "those that live" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_log_level(serving: Serving) -> None:
    before = log.level()
    request = pb.SetDebugRequest(flag=pb.CONFIG_FLAG_LOG_LEVEL, level=pb.LOG_LEVEL_DEBUG)
    assert serving.ask("SetDebug", request, pb.SetDebugResponse).level == pb.LOG_LEVEL_DEBUG
    assert log.level() == "debug"
    assert serving.ask("GetDebug", pb.GetDebugRequest(), pb.GetDebugResponse).level == pb.LOG_LEVEL_DEBUG
    log.set_level(before)
    for wrong in (pb.SetDebugRequest(), pb.SetDebugRequest(flag=pb.CONFIG_FLAG_DUMP_PROCESS_CACHE)):
        code, _ = failing(lambda: serving.ask("SetDebug", wrong, pb.SetDebugResponse))  # noqa: B023
        assert code is grpc.StatusCode.INVALID_ARGUMENT


def test_event_log(serving: Serving) -> None:
    service = eventlogservice_pb2

    def change(**values: Any) -> Any:
        request = service.SetEventLogParamsRequest(**values)
        return serving.ask(EVENT_LOG + "SetEventLogParams", request, service.SetEventLogParamsResponse)

    change(max_size=20, rotation_interval="1h30m")
    assert EventLogParams(20, 5400.0, 5) == LOG.params
    found = serving.ask(
        EVENT_LOG + "GetEventLogParams", service.GetEventLogParamsRequest(), service.GetEventLogParamsResponse
    )
    assert (found.max_size, found.rotation_interval, found.max_backups) == (20, "5400s", 5)
    for wrong in ({"max_size": 0}, {"max_backups": -1}, {"rotation_interval": "soon"}):
        assert failing(lambda: change(**wrong))[0] is grpc.StatusCode.INVALID_ARGUMENT  # noqa: B023
    assert EventLogParams(20, 5400.0, 5) == LOG.params


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("90s", 90), ("1h1m", 3660), ("1.5h", 5400), ("500ms", 0.5)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["1", "s", "1d", "-1s", "1 s"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(LictorError, match="no duration"):
        duration(text)


def test_health_service(serving: Serving) -> None:
    for name in ("", "liveness", "tetragon.FineGuidanceSensors"):
        request = health_pb2.HealthCheckRequest(service=name)
        answer = serving.ask("/grpc.health.v1.Health/Check", request, health_pb2.HealthCheckResponse)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    other = health_pb2.HealthCheckRequest(service="nonsense")
    code, _ = failing(lambda: serving.ask("/grpc.health.v1.Health/Check", other, health_pb2.HealthCheckResponse))
    assert code is grpc.StatusCode.NOT_FOUND


def test_health_can_be_watched(tmp_path: Path) -> None:
    running = Serving(str(tmp_path / "api.sock"))
    watch: Any = running.channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        lambda message: message.SerializeToString(),
        health_pb2.HealthCheckResponse.FromString,
    )
    answers = watch(health_pb2.HealthCheckRequest(), timeout=20)
    assert next(answers).status == health_pb2.HealthCheckResponse.SERVING
    running.in_loop(_stop_health(running))
    assert next(answers).status == health_pb2.HealthCheckResponse.NOT_SERVING
    running.stop()


async def _stop_health(running: Serving) -> None:
    running.server._health.stop()


def test_reflection(serving: Serving) -> None:
    call: Any = serving.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        lambda message: message.SerializeToString(),
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    ask = reflection_pb2.ServerReflectionRequest
    questions = [ask(list_services="*"), ask(file_containing_symbol="tetragon.FineGuidanceSensors")]
    services, file = list(call(iter(questions), timeout=20))
    names = {one.name for one in services.list_services_response.service}
    assert names >= {"tetragon.FineGuidanceSensors", "tetragon.EventLogService"}
    found = descriptor_pb2.FileDescriptorProto.FromString(file.file_descriptor_response.file_descriptor_proto[0])
    assert {one.name for one in found.service[0].method} == {
        one.name for one in pb.DESCRIPTOR.services_by_name["FineGuidanceSensors"].methods
    }


ME = os.geteuid()


def test_readers_and_writers(tmp_path: Path) -> None:
    nobody = Access(Allowed((str(ME + 1),), "r"), Allowed((str(ME + 1),), "w"))
    reading = Access(Allowed(("anyone",), "r"), Allowed((str(ME + 1),), "w"))
    for rights, may_read in ((nobody, False), (reading, True)):
        running = Serving(str(tmp_path / "api.sock"), PORTS, rights)
        running.ask("GetVersion", pb.GetVersionRequest(), pb.GetVersionResponse)
        write = pb.AddTracingPolicyRequest(yaml="text")
        code, details = failing(lambda: running.ask("AddTracingPolicy", write, pb.AddTracingPolicyResponse))  # noqa: B023
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert f"user {ME} may not change policies" in details
        if may_read:
            running.ask("ListDomains", pb.ListDomainsRequest(), pb.ListDomainsResponse)
        else:
            code, _ = failing(lambda: running.ask("ListDomains", pb.ListDomainsRequest(), pb.ListDomainsResponse))  # noqa: B023
            assert code is grpc.StatusCode.PERMISSION_DENIED
        running.stop()


@pytest.mark.parametrize(
    ("words", "who", "holds"),
    [
        ((), Caller(uid=0), False),
        (("root",), Caller(uid=0), True),
        (("0",), Caller(uid=1), False),
        (("root",), Caller(), False),
        (("group:0",), Caller(uid=5, gids=frozenset({0, 7})), True),
        (("group:root",), Caller(uid=5, gids=frozenset({7})), False),
        (("anyone",), Caller(), True),
        (("certificate",), Caller(certified=True), True),
        (("certificate",), Caller(), False),
        (("certificate:ops",), Caller(names=frozenset({"ops"}), certified=True), True),
        (("certificate:ops",), Caller(names=frozenset({"dev"}), certified=True), False),
    ],
)
def test_who_may(words: tuple[str, ...], who: Caller, holds: bool) -> None:
    assert Allowed(words, "option")(who) is holds


def test_writers_may_read() -> None:
    rights = Access(Allowed((), "r"), Allowed(("root",), "w"))
    assert rights.permits(Caller(uid=0), Right.READ)
    assert not rights.permits(Caller(uid=1), Right.READ)


@pytest.mark.parametrize("word", ["no-such-user", "group:no-such-group"])
def test_unknown_users(word: str) -> None:
    with pytest.raises(LictorError, match="there is no"):
        Allowed((word,), "server-writers")


class Files:
    """Certificates in files, as an administrator has them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.ca = str(directory / "ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)

    def issue(self, name: str, authority: trustme.CA | None = None) -> tuple[str, str]:
        made = (authority or self.authority).issue_cert("localhost", common_name=name)
        cert, key = str(self.directory / f"{name}.pem"), str(self.directory / f"{name}.key")
        made.private_key_pem.write_to_path(key)
        Path(cert).write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        return cert, key


def channel(port: int, authority: trustme.CA, client: tuple[str, str] | None = None) -> Any:
    pair = [Path(one).read_bytes() for one in client] if client else [None, None]
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes(), pair[1], pair[0])
    return grpc.secure_channel(f"localhost:{port}", credentials)


def port_of(running: Serving) -> int:
    servers: list[Any] = running.server._servers
    sockets = [one for server in servers for one in server._server.sockets]
    return next(int(one.getsockname()[1]) for one in sockets if one.family.name == "AF_INET")


def may_change(running: Serving, to: Any) -> Any:
    write = pb.AddTracingPolicyRequest(yaml="text")
    try:
        running.ask("AddTracingPolicy", write, pb.AddTracingPolicyResponse, to)
    except grpc.RpcError as error:
        return error.code()
    return True


def test_tls(tmp_path: Path) -> None:
    files = Files(tmp_path)
    cert, key = files.issue("server")
    client = files.issue("client")
    rights = Access(Allowed(READERS, "r"), Allowed(("certificate:client",), "w"))
    tls = Tls(TlsFiles(cert, key, (files.ca,)))
    running = Serving(str(tmp_path / "api.sock"), PORTS, rights, tls, "localhost:0")
    port = port_of(running)
    ask = pb.ListDomainsRequest()
    assert running.ask("ListDomains", ask, pb.ListDomainsResponse, channel(port, files.authority)).domains
    assert may_change(running, channel(port, files.authority)) is grpc.StatusCode.PERMISSION_DENIED
    assert may_change(running, channel(port, files.authority, files.issue("x"))) is grpc.StatusCode.PERMISSION_DENIED
    assert may_change(running, channel(port, files.authority, client)) is True
    plain = grpc.insecure_channel(f"localhost:{port}")
    assert failing(lambda: running.ask("ListDomains", ask, pb.ListDomainsResponse, plain))[0] is not None
    # The unix socket of the same server is not encrypted.
    assert may_change(running, running.channel) is grpc.StatusCode.PERMISSION_DENIED
    running.stop()


def test_required_certificates_and_new_ones(tmp_path: Path) -> None:
    files, strangers = Files(tmp_path), trustme.CA()
    cert, key = files.issue("server")
    tls = Tls(TlsFiles(cert, key, (files.ca,), True))
    running = Serving(str(tmp_path / "api.sock"), PORTS, None, tls, "localhost:0")
    port = port_of(running)
    ask = pb.ListDomainsRequest()
    for to in (channel(port, files.authority), channel(port, files.authority, files.issue("stranger", strangers))):
        failing(lambda: running.ask("ListDomains", ask, pb.ListDomainsResponse, to))  # noqa: B023
    assert may_change(running, channel(port, files.authority, files.issue("client"))) is True

    assert tls.refresh() is False
    Path(key).write_text("nonsense")
    assert tls.refresh() is False
    assert may_change(running, channel(port, files.authority, files.issue("client2"))) is True
    other = trustme.CA()
    files.issue("server", other)
    assert tls.refresh() is True
    assert may_change(running, channel(port, other, files.issue("client3"))) is True
    failing(lambda: running.ask("ListDomains", ask, pb.ListDomainsResponse, channel(port, files.authority)))
    running.stop()


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (TlsFiles("a", ""), "without a key"),
        (TlsFiles("", "a"), "without a certificate"),
        (TlsFiles("a", "b", (), True), "no CA"),
        (TlsFiles("", "", ("a",)), "need TLS"),
        (TlsFiles("/nowhere", "/nowhere"), "cannot be used"),
    ],
)
def test_files_that_do_not_go_together(files: TlsFiles, says: str) -> None:
    with pytest.raises(LictorError, match=says):
        Tls(files)


def test_defaults() -> None:
    assert (READERS, WRITERS) == (("anyone",), ("root", "certificate"))
