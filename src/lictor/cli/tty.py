"""What was written to a terminal, shown again as it was: from events of hooks that saw the file and the bytes."""

from __future__ import annotations

import base64
from typing import Any

_FILES = ("file_arg", "path_arg", "string_arg")


def written(event: dict[str, Any], path: str) -> str:
    """The text that an event says was written to this file; empty for all other events."""
    body = event.get("process_kprobe") or event.get("process_lsm") or {}
    arguments = body.get("args", [])
    if not any(_path(one) == path for one in arguments):
        return ""
    return b"".join(base64.b64decode(_bytes(one)) for one in arguments).decode(errors="replace")


def _path(argument: dict[str, Any]) -> str:
    for member in _FILES:
        found = argument.get(member)
        if found is not None:
            return str(found.get("mount", "") + found.get("path", "") if isinstance(found, dict) else found)
    return ""


def _bytes(argument: dict[str, Any]) -> str:
    return str(argument.get("bytes_arg") or argument.get("truncated_bytes_arg", {}).get("bytes_arg", ""))
