"""Tells the service manager how the agent is: ready, reloading, stopping, alive (sd_notify(3)). Silent without one."""

from __future__ import annotations

import contextlib
import os
import socket
import time

_PATIENCE_S = 1.0


def ready(status: str) -> None:
    """The sensors are attached and the surfaces open; also the end of a reload."""
    _send(f"READY=1\nSTATUS={status}")


def reloading() -> None:
    # Type=notify-reload wants the moment it began, to tell the READY=1 after it from an older one.
    _send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> None:
    _send("STOPPING=1\nSTATUS=handing on what is left")


def alive() -> None:
    # Not waited for: where it finds no room, earlier signs of life lie unread.
    _send("WATCHDOG=1", 0.0)


def watchdog_period() -> float | None:
    """Seconds between two signs of life, half of what the manager waits for; None when it does not wait."""
    wait, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not wait.isdigit() or int(wait) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(wait) / 2e6


def _send(message: str, patience: float = _PATIENCE_S) -> None:
    """A manager that does not listen, or not in time, is no reason to fail, nor to stand still."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    where = "\0" + address[1:] if address[0] == "@" else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(patience)
        sock.sendto(message.encode(), where)
