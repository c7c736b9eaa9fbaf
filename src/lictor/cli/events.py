"""`lictor events`: follow a running agent."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec

from lictor.api import client
from lictor.cli.compact import Compact
from lictor.cli.filters import event_filter, filter_options
from lictor.cli.options import show_options
from lictor.cli.render import wants_color
from lictor.daemon.settings import SERVER_ADDRESS


@click.command(help="Follow the events of a running agent; Ctrl-C ends it.")
@show_options
@click.option("--server-address", envvar="LICTOR_SERVER_ADDRESS", default=SERVER_ADDRESS, show_default=True)
@filter_options
def command(
    output: str,
    color: str,
    timestamps: bool,
    server_address: str,
    pid: tuple[int, ...],
    binary_regex: tuple[str, ...],
    event_types: str | None,
) -> None:
    allow = event_filter(pid, binary_regex, event_types)
    line = _json_line if output == "json" else Compact(wants_color(color), timestamps).line

    asyncio.run(_follow(server_address, allow, line))


async def _follow(server_address: str, allow: list[Any], line: Callable[[dict[str, Any]], str]) -> None:
    async with client.connect(server_address) as channel:
        async for event in client.events(channel, allow):
            sys.stdout.write(line(event) + "\n")
            sys.stdout.flush()
    click.echo("lictor: the agent ended the stream", err=True)


def _json_line(event: dict[str, Any]) -> str:
    return msgspec.json.encode(event).decode()
