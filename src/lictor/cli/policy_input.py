"""What the policy commands read: files of policies, and the facts of the machine they are for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

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
    """The machine of a facts file, or this one. What only root may try counts as missing for others."""
    if facts_file is not None:
        return Machine(HostFacts.from_json(read(facts_file)), elf.types_of)
    return Machine(gather(features.abilities if os.geteuid() == 0 else None), elf.types_of)


def read(name: str) -> bytes:
    """A file's bytes; `-` is standard input."""
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise LictorError(f"cannot read {name}: {error.strerror}", "name a file, or `-` for standard input") from error
