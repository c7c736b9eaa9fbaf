"""`lictor version`: of this program, and of the agent if one answers."""

from __future__ import annotations

from typing import Any

import click

from lictor import __version__
from lictor.cli.options import examples
from lictor.cli.remote import ask_one, output_option, remote_options, show_json, take_remote
from lictor.cli.render import safe
from lictor.errors import LictorError


@click.command(
    help=examples(
        "Show the version of this program, and of the agent if one answers.",
        "lictor version",
        "lictor version --client -o json",
    )
)
@click.option("--client", is_flag=True, help="Of this program only.")
@output_option
@remote_options
def command(client: bool, output: str, **options: Any) -> None:
    found = {"client": __version__}
    remote = take_remote(options)
    if not client:
        from lictor.api.pb.tetragon import sensors_pb2 as pb

        try:
            found["agent"] = ask_one(remote, "GetVersion", pb.GetVersionRequest(), pb.GetVersionResponse).version
        except LictorError as error:
            found["error"] = str(error)
    if output == "json":
        show_json(found)
        return
    for name, value in found.items():
        click.echo(f"{'agent' if name == 'error' else name:7} {safe(value)}")
