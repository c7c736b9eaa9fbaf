"""`lictor debug`: what a running agent has in its tables."""

from __future__ import annotations

from typing import Any

import click

from lictor.cli.remote import ask_one, output_option, remote_options, show_json, take_remote
from lictor.cli.render import safe, table


@click.group(
    help="Look into a running agent.\n\n\b\nExamples:\n  lictor debug dump processcache\n"
    "  lictor debug dump processcache --skip-zero-refcnt -o json"
)
def command() -> None:
    pass


@command.group(help="Show a table of the agent.")
def dump() -> None:
    pass


@dump.command(help="Show the processes that the agent knows.")
@click.option("--skip-zero-refcnt", is_flag=True, help="Only those that live.")
@output_option
@remote_options
def processcache(skip_zero_refcnt: bool, output: str, **options: Any) -> None:
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
