"""Tells the service manager how the agent is: ready, reloading, stopping, alive (sd_notify(3)). Silent without one."""

from __future__ import annotations

import contextlib
import os
import socket
import time


def ready(status: str) -> None:
    """The sensors are attached and the surfaces open; also the end of a reload."""
    _send(f"READY=1\nSTATUS={status}")


def reloading() -> None:
    # Type=notify-reload wants the moment it began, to tell the READY=1 after it from an older one.
    _send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> None:
    _send("STOPPING=1\nSTATUS=handing on what is left")


def alive() -> None:
    _send("WATCHDOG=1")


def watchdog_period() -> float | None:
    """Seconds between two signs of life, half of what the manager waits for; None when it does not wait."""
    wait, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not wait.isdigit() or int(wait) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(wait) / 2e6


def _send(message: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    where = "\0" + address[1:] if address[0] == "@" else address
    # A manager that does not listen is no reason to fail.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(message.encode(), where)
