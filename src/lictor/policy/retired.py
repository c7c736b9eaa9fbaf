"""Words of older versions of the format, and what stands in their place now: for hints."""

from __future__ import annotations

FIELDS = {
    "rawtracepoints": "write it under `tracepoints`, with `raw: true`",
    "killers": "write `enforcers`, with `calls`",
    "syscalls": "write `calls`",
    "symbol": "write `symbols: […]`",
    "offset": "write `offsets: […]`",
    "argFd": "descriptors need not be followed any more: a value of type `fd` has its path",
    "argName": "descriptors need not be followed any more: a value of type `fd` has its path",
    "parsers": "there are none in the open format",
}
_FOLLOWED = "remove it: a value of type `fd` has its path without"
VALUES = {
    "FollowFD": _FOLLOWED,
    "UnfollowFD": _FOLLOWED,
    "CopyFD": _FOLLOWED,
    "NotifyKiller": "write `NotifyEnforcer`",
}
