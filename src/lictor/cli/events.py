"""`lictor events`: follow a running agent, or show events that were written to a file."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import click
import msgspec

from lictor.cli import tty
from lictor.cli.compact import Compact
from lictor.cli.counters import Counters, Gap
from lictor.cli.filters import field_filters, field_options, filter_options, take_filter
from lictor.cli.options import show_options
from lictor.cli.remote import Remote, remote_options, take_remote
from lictor.cli.render import wants_color
from lictor.errors import LictorError
from lictor.pipeline.fields import FieldFilter
from lictor.pipeline.filters import EventFilter

_Line = Callable[[dict[str, Any]], str]
"""What is written for an event, with its newline; empty for nothing."""

_HELP = """Follow the events of a running agent; Ctrl-C ends it. With FILES, show the JSON lines in them (- is standard
input) instead: filters are the agent's, and do not work there.

\b
Examples:
  lictor events
  lictor events -e exec,exit --pid-set $$
  lictor events -n default --policy-names file-monitoring -o json
  lictor events --cel-expression "process_exec.process.uid == 0u"
  lictor events -o json -f process.binary,process.arguments
  lictor events --no-stack-traces - < /var/log/lictor/events.json
"""


@click.command(help=_HELP)
@click.argument("files", nargs=-1, type=click.File("rb"))
@show_options
@remote_options
@click.option(
    "--reconnect", is_flag=True, help="Go on when the agent is restarted, and say that events may be missing."
)
@click.option("--reconnect-wait", type=float, default=2.0, show_default=True, help="Seconds between attempts.")
@click.option("--aggregate", type=float, metavar="SECONDS", help="One event for all that say the same in this time.")
@click.option(
    "-t",
    "--tty-encode",
    default="",
    metavar="PATH",
    help="Show nothing but what was written to this terminal, as it was: it can do to yours what it did to that one. "
    "Needs a policy on tty_write with the file and the bytes.",
)
@field_options
@filter_options
def command(
    files: tuple[Any, ...],
    output: str,
    color: str,
    timestamps: bool,
    stack_traces: bool,
    ima_hash: bool,
    reconnect: bool,
    reconnect_wait: float,
    aggregate: float | None,
    tty_encode: str,
    include_fields: tuple[str, ...],
    exclude_fields: tuple[str, ...],
    **options: Any,
) -> None:
    allow, remote = take_filter(options), take_remote(options)
    fields = field_filters(include_fields, exclude_fields)
    line: _Line
    if tty_encode:
        line = partial(tty.written, path=tty_encode)
    elif output == "json":
        line = _json_line
    else:
        compact = Compact(wants_color(color), timestamps, stack_traces, ima_hash)
        line = lambda event: compact.line(event) + "\n"  # noqa: E731
    if files:
        if allow or fields or aggregate is not None:
            raise LictorError("events of a file are not filtered", "leave out the filters, or follow an agent")
        for file in files:
            _show_file(file, line)
        return
    asyncio.run(_follow(remote, (allow, fields, aggregate), line, reconnect_wait if reconnect else None))


async def _follow(
    remote: Remote,
    wanted: tuple[list[EventFilter], list[FieldFilter], float | None],
    line: _Line,
    wait: float | None,
) -> None:
    """`wait`: seconds before the next attempt after the stream ended; None: no other attempt."""
    from lictor.api import client, filters

    request = filters.to_request(*wanted)
    counters = Counters()
    drawing = asyncio.create_task(counters.keep_up(), name="counters")
    gap = Gap(counters)
    try:
        while True:
            try:
                async with client.connect(remote.address, remote.tls) as channel:
                    async for event in client.events(channel, request, gap.end):
                        counters.show(event, line(event))
                ended = "the agent ended the stream"
            except client.AgentAwayError as error:
                if wait is None:
                    raise
                ended = str(error)
            gap.begin(ended, wait)
            if wait is None:
                return
            await asyncio.sleep(wait)
    finally:
        drawing.cancel()
        counters.end()


def _show_file(lines: Iterable[bytes], line: _Line) -> None:
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        try:
            event = msgspec.json.decode(raw)
            text = line(event)
        except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError, StopIteration) as error:
            raise LictorError(
                f"line {number} is no event: {error}", "give it the file that the agent exports"
            ) from error
        sys.stdout.write(text)


def _json_line(event: dict[str, Any]) -> str:
    return msgspec.json.encode(event).decode() + "\n"
