"""Command-line options made from the settings table: each setting is declared once, in daemon/settings.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from lictor.daemon.settings import Settings

_TYPES = {int: int, float: float, str: str}


def setting_options() -> Callable[[Any], Any]:
    """A decorator that adds one option per setting. Options that are not given stay None: lower sources decide."""

    def decorate(command: Any) -> Any:
        for setting in reversed(fields(Settings)):
            command = _option(setting.name, setting.default, setting.metadata["meaning"])(command)
        return command

    return decorate


def _option(name: str, default: Any, meaning: str) -> Callable[[Any], Any]:
    flag = name.replace("_", "-")
    if isinstance(default, bool):
        return click.option(f"--{flag}/--no-{flag}", name, default=None, help=f"{meaning} (default: {_shown(default)})")
    if isinstance(default, tuple):
        return click.option(f"--{flag}", name, multiple=True, help=meaning)
    shown = f" (default: {default})" if default not in ("", 0.0) else ""
    return click.option(f"--{flag}", name, type=_TYPES[type(default)], default=None, help=meaning + shown)


def _shown(default: bool) -> str:
    return "on" if default else "off"


def show_options(command: Any) -> Any:
    """Adds `-o`, `--color` and `--timestamps`: how a command shows events."""
    for option in (
        click.option("--timestamps", is_flag=True, help="Begin each compact line with the time (UTC)."),
        click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True),
        click.option("-o", "--output", type=click.Choice(["compact", "json"]), default="compact", show_default=True),
    ):
        command = option(command)
    return command
