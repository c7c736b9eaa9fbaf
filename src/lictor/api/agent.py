"""The methods about the agent itself: version, health, information, log level, process table, export file."""

from __future__ import annotations

import asyncio
import platform
import re

from google.protobuf import any_pb2, wrappers_pb2
from google.protobuf.message import Message

from lictor import __version__, log
from lictor.api import wire
from lictor.api.calls import Run, unary
from lictor.api.pb.tetragon import eventlogservice_pb2, sensors_pb2, tetragon_pb2
from lictor.api.ports import About, EventLog, EventLogParams, Ports
from lictor.errors import LictorError

_LEVELS = {
    sensors_pb2.LOG_LEVEL_PANIC: "error",
    sensors_pb2.LOG_LEVEL_FATAL: "error",
    sensors_pb2.LOG_LEVEL_ERROR: "error",
    sensors_pb2.LOG_LEVEL_WARN: "warn",
    sensors_pb2.LOG_LEVEL_INFO: "info",
    sensors_pb2.LOG_LEVEL_DEBUG: "debug",
    sensors_pb2.LOG_LEVEL_TRACE: "trace",
}
MAX_ANSWER = 10 << 20  # what clients take by default
_ROW, _TURN = 32, 256
_NUMBERS = {name: number for number, name in _LEVELS.items()}


def methods(ports: Ports) -> dict[str, Run]:
    """Those that the agent has something behind."""
    found = {
        "GetVersion": unary(sensors_pb2.GetVersionRequest, _version),
        "GetHealth": unary(tetragon_pb2.GetHealthStatusRequest, _health),
        "SetDebug": unary(sensors_pb2.SetDebugRequest, _set_debug),
    }
    if ports.about is not None:
        found |= _AboutMethods(ports.about).methods()
    if ports.event_log is not None:
        found |= _EventLogMethods(ports.event_log).methods()
    return found


async def _version(_request: sensors_pb2.GetVersionRequest) -> sensors_pb2.GetVersionResponse:
    return sensors_pb2.GetVersionResponse(version=__version__)


async def _health(request: tetragon_pb2.GetHealthStatusRequest) -> tetragon_pb2.GetHealthStatusResponse:
    status = tetragon_pb2.HealthStatus(
        event=tetragon_pb2.HEALTH_STATUS_TYPE_STATUS, status=tetragon_pb2.HEALTH_STATUS_RUNNING, details="running"
    )
    asked = set(request.event_set)
    told = not asked or asked & {tetragon_pb2.HEALTH_STATUS_TYPE_UNDEF, tetragon_pb2.HEALTH_STATUS_TYPE_STATUS}
    return tetragon_pb2.GetHealthStatusResponse(health_status=[status] if told else [])


async def _set_debug(request: sensors_pb2.SetDebugRequest) -> sensors_pb2.SetDebugResponse:
    if request.flag != sensors_pb2.CONFIG_FLAG_LOG_LEVEL or request.WhichOneof("arg") != "level":
        raise LictorError("only the log level can be set", "set CONFIG_FLAG_LOG_LEVEL with a level")
    level = _LEVELS.get(request.level)
    if level is None:
        raise LictorError(f"there is no log level {request.level}", "see tetragon.LogLevel")
    log.set_level(level)
    return sensors_pb2.SetDebugResponse(flag=request.flag, level=_NUMBERS[level])


class _AboutMethods:
    def __init__(self, about: About) -> None:
        self._about = about

    def methods(self) -> dict[str, Run]:
        return {
            "GetInfo": unary(sensors_pb2.GetInfoRequest, self._info),
            "GetDebug": unary(sensors_pb2.GetDebugRequest, self._get_debug),
        }

    async def _info(self, _request: sensors_pb2.GetInfoRequest) -> sensors_pb2.GetInfoResponse:
        found = sensors_pb2.GetInfoResponse(version=__version__, name="lictor")
        for name, enabled in (await self._about.probes()).items():
            found.probes.add(Name=name).Enabled.value = enabled
        for key, value in self._about.settings().items():
            found.conf.add(key=key, value=_any(value))
        found.build.go_version = f"python{platform.python_version()}"
        return found

    async def _get_debug(self, request: sensors_pb2.GetDebugRequest) -> sensors_pb2.GetDebugResponse:
        if request.flag == sensors_pb2.CONFIG_FLAG_LOG_LEVEL:
            return sensors_pb2.GetDebugResponse(flag=request.flag, level=_NUMBERS[log.level()])
        if request.flag != sensors_pb2.CONFIG_FLAG_DUMP_PROCESS_CACHE:
            raise LictorError(f"there is no debug flag {request.flag}", "see tetragon.ConfigFlag")
        return await self._processes(request.flag, request.dump.skip_zero_refcnt)

    async def _processes(
        self, flag: sensors_pb2.ConfigFlag.ValueType, only_living: bool
    ) -> sensors_pb2.GetDebugResponse:
        answer = sensors_pb2.GetDebugResponse(flag=flag)
        size = 0
        for number, one in enumerate(self._about.processes()):
            living = one.state == "living"
            if only_living and not living:
                continue
            encoded = wire.encode(one.process, tetragon_pb2.Process.DESCRIPTOR)
            row = answer.processes.processes.add(color="inUse" if living else "deletePending")
            row.process.ParseFromString(encoded)
            row.refcnt.value = int(living)
            size += len(encoded) + _ROW
            if size > MAX_ANSWER:
                raise LictorError("the process table is too long for an answer", "ask for those that live only")
            if not number % _TURN:
                await asyncio.sleep(0)  # the events go on
        return answer


def _any(value: object) -> any_pb2.Any:
    wrapped: Message
    if isinstance(value, bool):
        wrapped = wrappers_pb2.BoolValue(value=value)
    elif isinstance(value, int):
        wrapped = wrappers_pb2.Int64Value(value=value)
    elif isinstance(value, float):
        wrapped = wrappers_pb2.DoubleValue(value=value)
    else:
        text = ",".join(value) if isinstance(value, list) else str(value)
        wrapped = wrappers_pb2.StringValue(value=text)
    found = any_pb2.Any()
    found.Pack(wrapped)
    return found


class _EventLogMethods:
    def __init__(self, event_log: EventLog) -> None:
        self._event_log = event_log

    def methods(self) -> dict[str, Run]:
        return {
            "GetEventLogParams": unary(eventlogservice_pb2.GetEventLogParamsRequest, self._get),
            "SetEventLogParams": unary(eventlogservice_pb2.SetEventLogParamsRequest, self._set),
        }

    async def _get(
        self, _request: eventlogservice_pb2.GetEventLogParamsRequest
    ) -> eventlogservice_pb2.GetEventLogParamsResponse:
        found = self._event_log.get()
        return eventlogservice_pb2.GetEventLogParamsResponse(
            max_size=found.max_size, rotation_interval=f"{found.interval:g}s", max_backups=found.max_backups
        )

    async def _set(
        self, request: eventlogservice_pb2.SetEventLogParamsRequest
    ) -> eventlogservice_pb2.SetEventLogParamsResponse:
        now = self._event_log.get()
        given = {name: getattr(request, name) for name in ("max_size", "max_backups") if request.HasField(name)}
        interval = duration(request.rotation_interval) if request.HasField("rotation_interval") else now.interval
        found = EventLogParams(given.get("max_size", now.max_size), interval, given.get("max_backups", now.max_backups))
        if found.max_size < 1 or found.max_backups < 0:
            raise LictorError(
                "the export file needs a size of at least 1 MB, and no fewer than 0 backups", "correct it"
            )
        self._event_log.set(found)
        return eventlogservice_pb2.SetEventLogParamsResponse()


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)")


def duration(text: str) -> float:
    """Seconds of a duration such as `1h30m`; `0` needs no unit."""
    if text in ("", "0"):
        return 0.0
    if not re.fullmatch(f"(?:{_PART.pattern})+", text):
        raise LictorError(f"{text!r} is no duration", "write 90s, 15m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
