#!/usr/bin/env python3
"""Small receivers for proofs, each a process that can be killed at any moment and has then kept what it took.

python tools/outage_receivers.py hook|otlp|grpc PORT FILE  bodies of requests, or the events in them, as lines in FILE
python tools/outage_receivers.py unix|fifo PATH FILE       what comes over a unix socket or a named pipe
python tools/outage_receivers.py wire PORT TO              connections to PORT lead to port TO, until it is killed
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse

_PIECE = 1 << 16


def over_http(port: int, file: str, lines: Callable[[bytes], bytes]) -> None:
    """Answer 204 when the lines are in the file."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with open(file, "ab") as kept:
                kept.write(lines(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


def records(body: bytes) -> bytes:
    """The events in a request of OTLP, as lines."""
    found = ExportLogsServiceRequest.FromString(body).resource_logs
    rows = (record.body.string_value for logs in found for scope in logs.scope_logs for record in scope.log_records)
    return "".join(f"{one}\n" for one in rows).encode()


def over_grpc(port: int, file: str) -> None:
    """Answer when the events of a request are in the file."""

    def export(request: ExportLogsServiceRequest, _context: grpc.ServicerContext) -> ExportLogsServiceResponse:
        with open(file, "ab") as kept:
            kept.write(records(request.SerializeToString()))
        return ExportLogsServiceResponse()

    method = grpc.unary_unary_rpc_method_handler(
        export, ExportLogsServiceRequest.FromString, ExportLogsServiceResponse.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(2))
    service = "opentelemetry.proto.collector.logs.v1.LogsService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def over_a_socket(path: str, file: str) -> None:
    """What is taken off the socket is in the file before."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listening, open(file, "ab", buffering=0) as kept:
        listening.bind(path)
        listening.listen()
        while True:
            connection, _ = listening.accept()
            kept.write(b"\n")  # ends a line that a killed one left
            while data := connection.recv(_PIECE, socket.MSG_PEEK):
                kept.write(data)
                connection.recv(len(data), socket.MSG_WAITALL)


def over_a_pipe(path: str, file: str) -> None:
    """The kernel moves the bytes: there is no moment in which they are nowhere."""
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path)
    kept = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    os.lseek(kept, 0, os.SEEK_END)
    while True:
        pipe = os.open(path, os.O_RDONLY)
        os.write(kept, b"\n")
        while os.splice(pipe, kept, _PIECE):
            pass
        os.close(pipe)


async def wire(port: int, to: int) -> None:
    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_PIECE):
                sink.write(data)
                await sink.drain()
        sink.close()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(copy(reader, onward), copy(there, writer))

    server = await asyncio.start_server(join, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    kind, where, to = sys.argv[1:]
    match kind:
        case "hook":
            over_http(int(where), to, bytes)
        case "otlp":
            over_http(int(where), to, records)
        case "grpc":
            over_grpc(int(where), to)
        case "unix":
            over_a_socket(where, to)
        case "fifo":
            over_a_pipe(where, to)
        case "wire":
            asyncio.run(wire(int(where), int(to)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
