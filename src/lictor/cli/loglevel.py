"""`lictor loglevel`: how much the agent logs."""

from __future__ import annotations

from typing import Any

import click

from lictor.cli.remote import ask_one, output_option, remote_options, show_json, take_remote

LEVELS = ("error", "warn", "info", "debug", "trace")
# Other words that people know, and what comes nearest.
_WORDS = {"warning": "warn", "fatal": "error", "panic": "error"}


@click.group(
    help="Show or change how much the agent logs, until it restarts.\n\n\b\nExamples:\n  lictor loglevel get\n"
    "  lictor loglevel set debug"
)
def command() -> None:
    pass


@command.command("get", help="Show the level.")
@output_option
@remote_options
def get(output: str, **options: Any) -> None:
    from lictor.api.pb.tetragon import sensors_pb2 as pb

    request = pb.GetDebugRequest(flag=pb.CONFIG_FLAG_LOG_LEVEL)
    _show(ask_one(take_remote(options), "GetDebug", request, pb.GetDebugResponse).level, output)


@command.command("set", help=f"Set the level: {', '.join(LEVELS)}.")
@click.argument("level", type=click.Choice([*LEVELS, *_WORDS]))
@output_option
@remote_options
def set_(level: str, output: str, **options: Any) -> None:
    from lictor.api.pb.tetragon import sensors_pb2 as pb

    number = pb.LogLevel.Value(f"LOG_LEVEL_{_WORDS.get(level, level).upper()}")
    request = pb.SetDebugRequest(flag=pb.CONFIG_FLAG_LOG_LEVEL, level=number)
    _show(ask_one(take_remote(options), "SetDebug", request, pb.SetDebugResponse).level, output)


def _show(number: Any, output: str) -> None:
    from lictor.api.pb.tetragon import sensors_pb2 as pb

    name = pb.LogLevel.Name(number).removeprefix("LOG_LEVEL_").lower()
    if output == "json":
        show_json({"level": name})
    else:
        click.echo(name)
