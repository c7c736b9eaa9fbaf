"""ArcSight's Common Event Format: one line, a header between bars, then `key=value` with blanks between."""

from __future__ import annotations

import re
from collections.abc import Callable

from lictor import __version__
from lictor.export.formats.functions import Values
from lictor.export.formats.mapping import Event, Part, Table, together

_HEADER = f"CEF:0|Lictor|Lictor|{__version__}"
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


def converter() -> Callable[[bytes], bytes]:
    table = Table("cef")
    known: dict[str, tuple[list[Part], list[Part]]] = {}

    def convert(native: bytes) -> bytes:
        event = Event(native)
        found = known.get(event.kind)
        if found is None:
            found = known[event.kind] = _head(event.kind, table), _extension(event.kind, table)
        head, extension = (b"".join([part(event) for part in parts]) for parts in found)
        return b"%b|%b" % (head, extension[1:])

    return convert


def _head(kind: str, table: Table) -> list[Part]:
    first, second = [next(one for one in table.fields(kind) if one.path == path) for path in ("name", "severity")]
    start = f"{_HEADER}|{_header(kind)}"
    return [
        Part([first], lambda flat: f"{start}|{_header(str(flat['name']))}|".encode()),
        Part([second], lambda flat: str(flat["severity"]).encode()),
    ]


def _extension(kind: str, table: Table) -> list[Part]:
    fields = {one.path: one for one in table.fields(kind) if one.path not in ("name", "severity")}
    # A label goes with what it labels.
    groups = ((fields[path.removesuffix("Label")].origin, [one]) for path, one in fields.items())
    return list(together(groups, _render))


def _render(flat: Values) -> bytes:
    # A label without what it labels says nothing.
    shown = {key: value for key, value in flat.items() if key.removesuffix("Label") in flat}
    texts = [f" {key}={_value(value) if isinstance(value, str) else value}" for key, value in shown.items()]
    return "".join(texts).encode()


def _header(text: str) -> str:
    return _LINE_BREAK.sub(" ", text).replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("=", "\\=")
    return _LINE_BREAK.sub(r"\\n", text) if "\n" in text or "\r" in text else text
