"""`lictor eventlog`: how the export file is rotated."""

from __future__ import annotations

from typing import Any

import click

from lictor.cli.remote import ask, ask_one, output_option, remote_options, show_json, take_remote
from lictor.errors import LictorError


@click.group(
    help="Show or change how the agent rotates its export file, until it restarts.\n\n\b\nExamples:\n"
    "  lictor eventlog get\n  lictor eventlog set --max-size 100 --rotation-interval 24h"
)
def command() -> None:
    pass


@command.command("get", help="Show when the file is rotated, and what is kept.")
@output_option
@remote_options
def get(output: str, **options: Any) -> None:
    from lictor.api.client import EVENT_LOG
    from lictor.api.pb.tetragon import eventlogservice_pb2 as pb

    request = pb.GetEventLogParamsRequest()
    _show(ask_one(take_remote(options), f"{EVENT_LOG}GetEventLogParams", request, pb.GetEventLogParamsResponse), output)


def _show(found: Any, output: str) -> None:
    rows = {"max_size": found.max_size, "rotation_interval": found.rotation_interval, "max_backups": found.max_backups}
    if output == "json":
        show_json(rows)
        return
    click.echo(f"rotated at        {found.max_size} MB")
    click.echo(f"rotated after     {found.rotation_interval if found.rotation_interval != '0s' else 'never'}")
    click.echo(f"files kept        {found.max_backups}")


@command.command("set", help="Change it, and show what it is then.")
@click.option("--max-size", type=int, help="Size in MB at which the file is rotated.")
@click.option("--rotation-interval", help="Time after which it is: 90s, 15m, 24h; 0: never.")
@click.option("--max-backups", type=int, help="Rotated files to keep.")
@output_option
@remote_options
def set_(
    max_size: int | None, rotation_interval: str | None, max_backups: int | None, output: str, **options: Any
) -> None:
    from lictor.api.client import EVENT_LOG
    from lictor.api.pb.tetragon import eventlogservice_pb2 as pb

    given = {"max_size": max_size, "rotation_interval": rotation_interval, "max_backups": max_backups}
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if not values:
        raise LictorError("nothing is changed", "give --max-size, --rotation-interval or --max-backups")
    request = pb.SetEventLogParamsRequest(**values)
    questions: list[tuple[str, Any, Any]] = [
        (f"{EVENT_LOG}SetEventLogParams", request, pb.SetEventLogParamsResponse),
        (f"{EVENT_LOG}GetEventLogParams", pb.GetEventLogParamsRequest(), pb.GetEventLogParamsResponse),
    ]
    _show(ask(take_remote(options), questions)[1], output)
