"""A click group whose commands are modules, imported only when they are used."""

from __future__ import annotations

import importlib

import click

Commands = dict[str, tuple[str, str]]  # name -> (module below lictor.cli, one line of help)


class LazyGroup(click.Group):
    """`lictor --help` stays fast. Each module's attribute `command` is the click command."""

    def __init__(self, *args: object, commands_of: Commands, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._modules = commands_of

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._modules:
            return None
        module = importlib.import_module(f"lictor.cli.{self._modules[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._modules.items()])
