"""OTLP logs: one log record for each event, with the event as its body; and how they go over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SEVERITY_NUMBER_INFO, SEVERITY_NUMBER_WARN, LogRecord

from lictor import __version__, log
from lictor.export.senders.base import Message, envelope
from lictor.export.senders.http import HttpSender
from lictor.export.targets import Target

_log = log.get("export")
_LOSS = "rate_limit_info"


class OtlpSender(HttpSender):
    """POSTs of requests in protobuf."""

    content_type = "application/x-protobuf"

    def body(self, messages: Sequence[Message]) -> bytes:
        return logs_request(messages).SerializeToString()

    def refused(self, answer: bytes, messages: Sequence[Message]) -> int:
        try:
            return refused_of(ExportLogsServiceResponse.FromString(answer), self.target, messages)
        except DecodeError:
            return 0


def logs_request(messages: Sequence[Message]) -> ExportLogsServiceRequest:
    """The resource is `service.name=lictor` and `host.name`; the record's `event_name` is the kind of event."""
    request = ExportLogsServiceRequest()
    logs = request.resource_logs.add()
    scope = logs.scope_logs.add()
    scope.scope.name, scope.scope.version = "lictor", __version__
    node = ""
    for message in messages:
        kind, around = envelope(message.native)
        node = node or around.node_name
        scope.log_records.append(_record(kind, around.time, message.text.decode()))
    logs.resource.attributes.extend([_attribute("service.name", "lictor"), _attribute("host.name", node)])
    return request


def refused_of(answer: ExportLogsServiceResponse, target: Target, messages: Sequence[Message]) -> int:
    """How many of the messages an answer refuses."""
    partial = answer.partial_success
    if partial.error_message:
        _log.warning("%s says: %s", target.name, partial.error_message)
    return min(len(messages), max(0, partial.rejected_log_records))


def _record(kind: str, stamp: str, text: str) -> LogRecord:
    loss = kind == _LOSS
    nanos = unix_nanos(stamp)
    return LogRecord(
        time_unix_nano=nanos,
        observed_time_unix_nano=nanos,
        severity_number=SEVERITY_NUMBER_WARN if loss else SEVERITY_NUMBER_INFO,
        severity_text="WARN" if loss else "INFO",
        event_name=kind,
        body=AnyValue(string_value=text),
    )


def _attribute(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))


def unix_nanos(stamp: str) -> int:
    """Of an RFC 3339 time in UTC, with all of its nine digits; 0 for none."""
    if not stamp:
        return 0
    whole, _, fraction = stamp.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)
