"""`lictor debug`: what a running agent has in its tables."""

from __future__ import annotations

from typing import Any

import click

from lictor.cli.lazy import lazy
from lictor.cli.options import examples
from lictor.cli.remote import ask_one, output_option, remote_options, show_json, take_remote
from lictor.cli.render import safe, table

COMMANDS = {
    "dump": ("debug", "Show a table of the agent."),
    "maps": ("debug_kernel", "Show the agent's maps, and the kernel memory of each."),
    "progs": ("debug_kernel", "Show the agent's programs, how often each ran and for how long."),
    "enable-stats": ("debug_kernel", "Have the kernel count runs of programs, for a while."),
}
TABLES = {"processcache": ("debug", "The processes that the agent knows.")}
# Tables of the reference that have nothing behind them here.
NO_TABLES = {
    "execve": ("the kernel's table says no more than the agent's", "`lictor debug dump processcache` shows that"),
    "policyfilter": (
        "which policies apply is told by bits of each process, not by a map of cgroups",
        "`lictor policy explain` says whom a policy is for",
    ),
    "errmetrics": (
        "a read that fails is an error value in its event",
        "the metric lictor_policy_failed_reads_total counts them",
    ),
}


@click.group(
    cls=lazy(COMMANDS),
    help=examples(
        "Look into a running agent.",
        "lictor debug dump processcache --skip-zero-refcnt -o json",
        "lictor debug progs --for 5",
        "lictor debug maps",
    ),
)
def command() -> None:
    pass


@click.group(
    cls=lazy(TABLES, absent=NO_TABLES),
    help=examples("Show a table of the agent.", "lictor debug dump processcache -o json"),
)
def dump_command() -> None:
    pass


@click.command(
    help=examples("Show the processes that the agent knows.", "lictor debug dump processcache --skip-zero-refcnt")
)
@click.option("--skip-zero-refcnt", is_flag=True, help="Only those that live.")
@output_option
@remote_options
def processcache_command(skip_zero_refcnt: bool, output: str, **options: Any) -> None:
    from lictor.api.pb.tetragon import sensors_pb2 as pb

    request = pb.GetDebugRequest(flag=pb.CONFIG_FLAG_DUMP_PROCESS_CACHE)
    request.dump.skip_zero_refcnt = skip_zero_refcnt
    found = ask_one(take_remote(options), "GetDebug", request, pb.GetDebugResponse).processes
    if output == "json":
        show_json(found)
        return
    rows = [_row(one) for one in found.processes]
    for line in table(rows, ("PID", "LIVES", "STARTED", "DOCKER", "BINARY", "ARGUMENTS")):
        click.echo(line)


def _row(one: Any) -> tuple[str, ...]:
    process = one.process
    started = process.start_time.ToDatetime().strftime("%Y-%m-%dT%H:%M:%SZ")
    lives = "yes" if one.refcnt.value else "no"
    return (str(process.pid.value), lives, started, process.docker[:12], process.binary, safe(process.arguments)[:80])
