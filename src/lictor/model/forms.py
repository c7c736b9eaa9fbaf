"""The forms of a process image: what other events say of it again and again is made once and kept."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from json.encoder import encode_basestring
from typing import NamedTuple

import msgspec

from lictor.model.process import EnvVar, Process, ProcessExtra

_encoder = msgspec.json.Encoder()
LONG = 4096
"""Characters of arguments (or of JSON) that are kept without further thought; see `ProcessForms.shorten`."""


class ProcessForms(abc.ABC):
    """One process image. `above` is the image it came from, while that is known. `protobuf` is the API's to fill, and
    stays empty without clients.
    """

    __slots__ = ("above", "exec_id", "json_text", "pid", "protobuf", "start_time")
    above: ProcessForms | None
    exec_id: str
    pid: int | None
    start_time: str  # RFC 3339
    json_text: str  # what `json` gave, empty before
    protobuf: bytes

    @property
    @abc.abstractmethod
    def process(self) -> Process:
        """The image as a value."""

    @property
    @abc.abstractmethod
    def shared(self) -> Process:
        """What images of one kind have in common, binary and workload among it; cheap to have."""

    @property
    @abc.abstractmethod
    def arguments(self) -> str:
        """Its arguments; costs nothing."""

    @property
    @abc.abstractmethod
    def extra(self) -> ProcessExtra | None:
        """What Lictor adds about it."""

    def ancestors(self) -> Iterator[ProcessForms]:
        """The images above the one it came from, up to the first process, as far as they are known."""
        one = self.above.above if self.above is not None else None
        while one is not None and one.pid:
            yield one
            one = one.above

    @abc.abstractmethod
    def json(self) -> str:
        """The `tetragon.Process` object."""

    def thread_json(self, tid: int) -> str:
        """The `tetragon.Process` object with `tid` for the thread's."""
        text, pid = self.json_text or self.json(), self.pid
        # In a text from outside the quotes would be escaped, and in a label's value there would be one more.
        return text if tid == pid else text.replace(f',"tid":{pid}', f',"tid":{tid}', 1)

    @abc.abstractmethod
    def extra_json(self) -> str:
        """Our own object, as the tail of an event: `,"lictor":{"process":{…}}`; may be empty."""

    def brief(self) -> ProcessForms:
        """The same image without the arguments beyond `LONG` and without its environment, and saying so."""
        found = WholeForms(*_shortened(self.process, self.extra))
        found.above = self.above
        return found

    @abc.abstractmethod
    def shorten(self) -> None:
        """Become `brief`. Later events of the image say so."""


def _shortened(process: Process, extra: ProcessExtra | None) -> tuple[Process, ProcessExtra | None]:
    lost = len(process.arguments[LONG:].encode())
    lost += sum(len(one.key) + len(one.value) + 2 for one in process.environment_variables)
    if extra is not None:
        extra = msgspec.structs.replace(extra, truncated_bytes=extra.truncated_bytes + lost, argv=())
    process = msgspec.structs.replace(
        process,
        arguments=process.arguments[:LONG],
        environment_variables=(),
        flags=truncated_flags(process.flags),
    )
    return process, extra


def truncated_flags(flags: str) -> str:
    """The flags of a process whose arguments were cut."""
    words = flags.split()
    return flags if "truncArgs" in words else " ".join([*words[:1], "truncArgs", *words[1:]])


class WholeForms(ProcessForms):
    """The forms of an image that is like no other, made from its value."""

    __slots__ = ("_extra", "_process")

    def __init__(self, process: Process, extra: ProcessExtra | None = None) -> None:
        self._process = process
        self._extra = extra
        self.above = None
        self.exec_id = process.exec_id
        self.pid = process.pid
        self.start_time = process.start_time
        self.json_text = ""
        self.protobuf = b""

    @property
    def process(self) -> Process:
        return self._process

    @property
    def shared(self) -> Process:
        return self._process

    @property
    def arguments(self) -> str:
        return self._process.arguments

    @property
    def extra(self) -> ProcessExtra | None:
        return self._extra

    def json(self) -> str:
        text = self.json_text or _encoder.encode(self._process).decode()
        if len(text) <= 2 * LONG:
            self.json_text = text
        return text

    def extra_json(self) -> str:
        return extra_json(self._extra)

    def shorten(self) -> None:
        self._process, self._extra = _shortened(self._process, self._extra)
        self.json_text = ""
        self.protobuf = b""


class Template:
    """What many images share, and the JSON between the places where they differ.

    `process` and `extra` are those of an image without what is its own: see `TemplateForms`.
    """

    __slots__ = (
        "before_arguments",
        "before_parent",
        "before_start",
        "before_tid",
        "end",
        "extra",
        "extra_json",
        "process",
    )

    def __init__(self, process: Process, extra: ProcessExtra | None) -> None:
        self.process = process
        self.extra = extra
        p = process
        self.before_arguments = _fragment(Process(uid=p.uid, cwd=p.cwd, binary=p.binary))
        self.before_start = _fragment(Process(flags=p.flags)) + ',"start_time":"'
        self.before_parent = '"' + _fragment(Process(auid=p.auid, pod=p.pod, docker=p.docker)) + ',"parent_exec_id":"'
        self.before_tid = '"' + _fragment(Process(refcnt=p.refcnt, cap=p.cap, ns=p.ns)) + ',"tid":'
        self.end = _fragment(
            Process(
                process_credentials=p.process_credentials,
                binary_properties=p.binary_properties,
                user=p.user,
                in_init_tree=p.in_init_tree,
            )
        )
        self.extra_json = extra_json(extra)


def _fragment(part: Process) -> str:
    """The members of an object, each behind a comma."""
    members = _encoder.encode(part).decode()[1:-1]
    return f",{members}" if members else ""


def extra_json(extra: ProcessExtra | None) -> str:
    return f',"lictor":{{"process":{_encoder.encode(extra).decode()}}}' if extra is not None else ""


class Own(NamedTuple):
    """The rare part of what is an image's own."""

    environment: tuple[EnvVar, ...] = ()
    truncated_bytes: int = 0
    argv: tuple[str, ...] = ()


class TemplateForms(ProcessForms):
    """The forms of an image that has a template: its JSON is put together, and its `Process` made only when asked."""

    __slots__ = ("_arguments", "_own", "_parent_exec_id", "template")

    def __init__(
        self,
        template: Template,
        exec_id: str,
        pid: int,
        start_time: str,
        parent_exec_id: str,
        arguments: str,
        own: Own | None,
    ) -> None:
        self.template = template
        self.above = None
        self.exec_id = exec_id
        self.protobuf = b""
        self.pid = pid
        self.start_time = start_time
        self._parent_exec_id = parent_exec_id
        self._arguments = arguments
        self._own = own
        self.json_text = ""

    @property
    def process(self) -> Process:
        return msgspec.structs.replace(
            self.template.process,
            exec_id=self.exec_id,
            pid=self.pid,
            arguments=self._arguments,
            start_time=self.start_time,
            parent_exec_id=self._parent_exec_id,
            tid=self.pid,
            environment_variables=self._own.environment if self._own else (),
        )

    @property
    def shared(self) -> Process:
        return self.template.process

    @property
    def arguments(self) -> str:
        return self._arguments

    @property
    def extra(self) -> ProcessExtra | None:
        extra, own = self.template.extra, self._own
        if extra is None or own is None:
            return extra
        return msgspec.structs.replace(extra, truncated_bytes=own.truncated_bytes, argv=own.argv)

    def json(self) -> str:
        if self.json_text:
            return self.json_text
        template, pid = self.template, self.pid
        arguments = f',"arguments":{encode_basestring(self._arguments)}' if self._arguments else ""
        environment = _fragment(Process(environment_variables=self._own.environment)) if self._own is not None else ""
        text = (
            f'{{"exec_id":"{self.exec_id}","pid":{pid}{template.before_arguments}{arguments}'
            f"{template.before_start}{self.start_time}{template.before_parent}{self._parent_exec_id}"
            f"{template.before_tid}{pid}{template.end}{environment}}}"
        )
        if len(text) <= 2 * LONG:
            self.json_text = text
        return text

    def extra_json(self) -> str:
        return self.template.extra_json if self._own is None else extra_json(self.extra)

    def shorten(self) -> None:
        process, extra = _shortened(self.process, self.extra)
        # A template of its own: the one that others share says nothing of arguments that were cut.
        self.template = Template(process, extra)
        self._arguments = process.arguments
        self._own = Own((), extra.truncated_bytes) if extra is not None else None
        self.json_text = ""
        self.protobuf = b""
