"""`lictor facts`: everything the policy compiler must know of this machine, as JSON."""

from __future__ import annotations

import os
import sys

import click

from lictor.cli.options import examples
from lictor.errors import LictorError
from lictor.host import features
from lictor.host.gather import gather


@click.command(
    help=examples(
        "Write what the policy compiler must know of this machine, as JSON, for `lictor policy check --facts`.",
        "lictor facts > node7.json",
        "lictor facts --compact > node7.facts",
    )
)
@click.option("--compact", is_flag=True, help="A binary form that is a third smaller; `--facts` takes it as well.")
def command(compact: bool) -> None:
    if sys.stdout.isatty():
        raise LictorError("the facts of a machine are megabytes of JSON", "send them to a file: lictor facts > FILE")
    facts = gather(features.abilities if os.geteuid() == 0 else None)
    sys.stdout.buffer.write(facts.to_archive() if compact else facts.to_json() + b"\n")
    for name, why in facts.missing.items():
        click.echo(f"lictor: left out: {name}: {why}", err=True)
