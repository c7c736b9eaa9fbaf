"""Command-line options made from the settings table: each setting is declared once, in daemon/settings.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lictor.daemon.foreign import SAME
from lictor.daemon.settings import DEFAULTS, SPECS, Spec, option


def setting_options() -> Callable[[Any], Any]:
    """A decorator that adds one option per setting. Options that are not given stay None: lower sources decide."""

    def decorate(command: Any) -> Any:
        for name, spec in reversed(SPECS.items()):
            command = _option(name, spec, DEFAULTS[name])(command)
        return command

    return decorate


def _option(name: str, spec: Spec, default: Any) -> Callable[[Any], Any]:
    flag = option(name)
    names = [f"--{flag}", *(f"--{option(other)}" for other, ours in SAME.items() if ours == name)]
    if spec.kind == "flag":
        shown = "on" if default else "off"
        return click.option(f"--{flag}/--no-{flag}", name, default=None, help=f"{spec.meaning} (default: {shown})")
    if spec.kind == "list":
        return click.option(*names, name, multiple=True, help=spec.meaning)
    metavar = f"[{'|'.join(spec.choices)}]" if spec.choices else spec.kind.upper()
    shown = f" (default: {default})" if default not in ("", 0.0) else ""
    return click.option(*names, name, metavar=metavar, help=spec.meaning + shown)


def show_options(command: Any) -> Any:
    """Adds `-o`, `--color`, `--timestamps` and what to leave out: how a command shows events."""
    for add in (
        click.option("--ima-hash/--no-ima-hash", default=True, help="Show hashes of binaries (default: on)."),
        click.option("--stack-traces/--no-stack-traces", default=True, help="Show stack traces (default: on)."),
        click.option("--timestamps", is_flag=True, help="Begin each compact line with the time (UTC)."),
        click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True),
        click.option("-o", "--output", type=click.Choice(["compact", "json"]), default="compact", show_default=True),
    ):
        command = add(command)
    return command


def examples(text: str, *lines: str) -> str:
    """The help of a command, with examples that can be run as they stand."""
    return f"{text}\n\n\b\nExamples:\n" + "".join(f"  {line}\n" for line in lines)
