"""`lictor info`: the agent's version, its settings, and what the kernel under it can do."""

from __future__ import annotations

from typing import Any

import click

from lictor.cli.remote import ask_one, output_option, remote_options, show_json, take_remote
from lictor.cli.render import safe


@click.command(
    help="Show the agent's version, settings, and what the kernel under it can do.\n\n\b\nExamples:\n  lictor info\n"
    "  lictor info -o json"
)
@output_option
@remote_options
def command(output: str, **options: Any) -> None:
    found = as_object(take_remote(options))
    if output == "json":
        show_json(found)
        return
    click.echo(f"Version   {safe(found['version'])} ({safe(found['name'])}, {safe(found['build'])})")
    click.echo("Probes")
    for name, enabled in found["probes"].items():
        click.echo(f"  {safe(name):24} {'yes' if enabled else 'no'}")
    click.echo("Settings")
    for name, value in found["settings"].items():
        click.echo(f"  {safe(name):38} {safe(str(value))}")


def as_object(remote: Any) -> dict[str, Any]:
    """The agent's information as plain values."""
    from lictor.api.pb.tetragon import sensors_pb2 as pb

    found = ask_one(remote, "GetInfo", pb.GetInfoRequest(), pb.GetInfoResponse)
    return {
        "version": found.version,
        "name": found.name,
        "build": found.build.go_version,
        "probes": {one.Name: one.Enabled.value for one in found.probes},
        "settings": {one.key: _unpacked(one.value) for one in found.conf},
    }


def _unpacked(value: Any) -> Any:
    from google.protobuf import wrappers_pb2

    for kind in (wrappers_pb2.StringValue, wrappers_pb2.Int64Value, wrappers_pb2.BoolValue, wrappers_pb2.DoubleValue):
        message = kind()
        if value.Unpack(message):
            return message.value
    return value.TypeName()
