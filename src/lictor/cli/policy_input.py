"""What the policy commands read: files of policies, and the facts of the machine they are for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from lictor.errors import LictorError
from lictor.host import elf, features
from lictor.host.facts import HostFacts
from lictor.host.gather import gather
from lictor.policy.machine import Machine


def facts_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--facts FILE`."""
    return click.option(
        "--facts", "facts_file", metavar="FILE", help="Facts of another machine (`lictor facts > FILE` there)."
    )(command)


def machine(facts_file: str | None) -> Machine:
    """The machine of a facts file, or this one. What only root may try is taken for granted for others."""
    if facts_file is not None:
        return Machine(HostFacts.from_json(read(facts_file)), elf.types_of)
    if os.geteuid() == 0:
        return Machine(gather(features.abilities), elf.types_of)
    note = "lictor: only root can try what this kernel allows: everything is taken for granted (or use --facts)"
    click.echo(note, err=True)
    granted = {ability.name: "" for ability in features.ABILITIES}
    return Machine(msgspec.structs.replace(gather(None), abilities=granted), elf.types_of)


def read(name: str) -> bytes:
    """A file's bytes; `-` is standard input."""
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise LictorError(f"cannot read {name}: {error.strerror}", "name a file, or `-` for standard input") from error
