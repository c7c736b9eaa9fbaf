"""A click group whose commands are modules, imported only when they are used: `lictor --help` stays fast."""

from __future__ import annotations

import importlib
from difflib import get_close_matches

import click

from lictor.errors import LictorError

# name -> (module below lictor.cli, one line of help). The click command is the module's `NAME_command`, with `_` for
# `-`, or else `command`.
Commands = dict[str, tuple[str, str]]
# Commands that people know from elsewhere -> why there are none of them here, and what to do instead.
Absent = dict[str, tuple[str, str]]


class LazyGroup(click.Group):
    """Knows its commands by name and help alone."""

    modules: Commands
    aliases: dict[str, str]
    absent: Absent

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = self.aliases.get(cmd_name, cmd_name)
        if cmd_name in self.absent:
            raise LictorError(f"there is no `{cmd_name}` here: {self.absent[cmd_name][0]}", self.absent[cmd_name][1])
        if cmd_name not in self.modules:
            near = get_close_matches(cmd_name, [*self.modules, *self.aliases], n=1)
            if near and not ctx.resilient_parsing:
                ctx.fail(f"No such command {cmd_name!r}. Did you mean {near[0]!r}?")
            return None
        module = importlib.import_module(f"lictor.cli.{self.modules[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command", None) or module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.modules.items()])


def lazy(commands: Commands, aliases: dict[str, str] | None = None, absent: Absent | None = None) -> type[LazyGroup]:
    """A group of these commands, as `cls` of `click.group`. `aliases`: other names that are understood, not shown."""
    return type("LazyGroup", (LazyGroup,), {"modules": commands, "aliases": aliases or {}, "absent": absent or {}})
