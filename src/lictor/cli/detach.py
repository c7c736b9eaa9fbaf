"""`lictor detach`: nothing of Lictor is left in the kernel afterwards."""

from __future__ import annotations

import os
import select
import signal

import click

from lictor.errors import LictorError

_PATIENCE_S = 30


@click.command(
    help="Remove everything of Lictor from the kernel, also after a crash.\n\n\b\nExamples:\n  lictor detach\n"
    "  lictor detach --stop-agent"
)
@click.option("--stop-agent", is_flag=True, help="End an agent that still runs; without it, such an agent is named.")
def command(stop_agent: bool) -> None:
    from lictor.kernel import leftovers

    if os.geteuid() != 0:
        raise LictorError("only root can see what is attached", "run it as root")
    found = leftovers.find()
    holders = sorted({holder for one in found for holder in one.holders})
    if holders and not stop_agent:
        who = ", ".join(map(str, holders))
        raise LictorError(f"{len(found)} programs are kept by process {who}", "stop it, or give `--stop-agent`")
    for holder in holders:
        _end(holder)
    pins = leftovers.unpin()
    for one in leftovers.find():
        leftovers.detach(one)
    left = leftovers.find()
    if left:
        raise LictorError(f"{left[0].program} is still attached (link {left[0].link})", "reboot to be rid of it")
    click.echo(f"{len(found)} programs detached, {len(pins)} pins removed" if found or pins else "nothing is attached")


def _end(pid: int) -> None:
    """Ask a process to end, and wait until it has."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGTERM)
        if not select.select([handle], [], [], _PATIENCE_S)[0]:
            raise LictorError(f"process {pid} does not end", f"end it with `kill -KILL {pid}`, and try again")
    finally:
        os.close(handle)
