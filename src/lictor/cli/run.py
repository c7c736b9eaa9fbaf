"""`lictor run`: the agent in the foreground, events on standard output."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import click
import msgspec
import uvloop

from lictor import log
from lictor.cli.compact import Compact
from lictor.cli.filters import filter_options, take_filter
from lictor.cli.options import examples, setting_options, show_options
from lictor.cli.render import wants_color
from lictor.daemon import sources
from lictor.daemon.agent import Agent
from lictor.daemon.surfaces import expressions, open_surfaces
from lictor.export.exports import Exports
from lictor.export.stdout import StdoutOutlet
from lictor.model.event import Event
from lictor.model.sink import EventSink
from lictor.pipeline.filters import EventFilter, ExpressionCompiler, compile_filters


@click.command(
    help=examples(
        "Run the agent in the foreground; events go to standard output until Ctrl-C.",
        "lictor run",
        "lictor run --policy file-monitoring.yaml -o json",
        "lictor run -e exec --binary-regex '/curl$' --timestamps",
    )
)
@show_options
@click.option("--existing", is_flag=True, help="Also show the processes that already run.")
@filter_options
@setting_options()
def command(
    output: str,
    color: str,
    timestamps: bool,
    stack_traces: bool,
    ima_hash: bool,
    existing: bool,
    **flags: Any,
) -> None:
    allow = take_filter(flags)
    found = sources.load(flags, defaults={"server_address": (), "pid_file": "", "info_file": "", "policy_dir": ""})
    log.setup("warn" if found.log_level == "info" else found.log_level, found.log_format)

    async def main() -> None:
        agent = Agent(found)
        compact = Compact(wants_color(color), timestamps, stack_traces, ima_hash)
        line = agent.json.line if output == "json" else compact_line(agent, compact)

        async def open_all(agent: Agent) -> Sequence[EventSink]:
            wanted = _wanted(allow, existing, expressions(agent))
            sink = Exports(line, [StdoutOutlet(line, agent.stop)], wanted)
            if sys.stderr.isatty():
                click.echo("Watching every process of this machine. Ctrl-C ends it.", err=True)
            return [sink, *await open_surfaces(agent)]

        await agent.run(open_all)

    uvloop.run(main())


def compact_line(agent: Agent, compact: Compact) -> Callable[[Event], str]:
    """Renders an event for people, from its JSON."""
    return lambda event: f"{compact.line(msgspec.json.decode(agent.json.line(event)))}\n"


def _wanted(allow: list[EventFilter], existing: bool, compile_: ExpressionCompiler) -> Callable[[Event], bool]:
    matches = compile_filters(allow, [], compile_)
    if existing:
        return matches
    started = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return lambda event: event.time >= started and matches(event)
