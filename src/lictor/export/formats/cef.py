"""ArcSight's Common Event Format: one line, a header between bars, then `key=value` with blanks between."""

from __future__ import annotations

import re
from collections.abc import Callable

from lictor import __version__
from lictor.export.formats.mapping import Table

_HEADER = f"CEF:0|Lictor|Lictor|{__version__}"
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


def converter() -> Callable[[bytes], bytes]:
    table = Table("cef")

    def convert(native: bytes) -> bytes:
        fields = table.apply(native)
        kind = native[2 : native.index(b'"', 2)].decode()
        name, severity = str(fields.pop("name")), fields.pop("severity")
        # A label without what it labels says nothing.
        shown = {key: value for key, value in fields.items() if key.removesuffix("Label") in fields}
        extension = " ".join(f"{key}={_value(str(value))}" for key, value in shown.items())
        return f"{_HEADER}|{_header(kind)}|{_header(name)}|{severity}|{extension}".encode()

    return convert


def _header(text: str) -> str:
    return _LINE_BREAK.sub(" ", text).replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str) -> str:
    return _LINE_BREAK.sub(r"\\n", text.replace("\\", "\\\\").replace("=", "\\="))
