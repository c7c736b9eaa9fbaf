"""Kinds of namespaces as policies name them, with the numbers that rules use."""

from __future__ import annotations

NAMESPACES = {
    "Uts": 0,
    "Ipc": 1,
    "Mnt": 2,
    "Pid": 3,
    "PidForChildren": 4,
    "Net": 5,
    "Time": 6,
    "TimeForChildren": 7,
    "Cgroup": 8,
    "User": 9,
}

HOST_NAMESPACE = "host_ns"
