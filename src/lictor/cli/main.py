"""`lictor`: the command line. Each noun is a file beside this one and is imported only when it is used."""

from __future__ import annotations

import importlib
import os
import sys

import click

from lictor import __version__
from lictor.errors import EXIT_CANNOT_RUN, LictorError

# name -> (module, one line of help). The module's attribute `command` is the click command.
COMMANDS = {
    "run": ("run", "Run the agent in the foreground; events go to standard output."),
    "events": ("events", "Follow the events of a running agent over gRPC."),
    "probe": ("probe", "Show what this kernel can do and what Lictor will use for what."),
    "facts": ("facts", "Write what the policy compiler must know of this machine."),
    "agent": ("agent", "Run the daemon, configured by files, environment and flags."),
    "config": ("config", "Show the settings in force and where each comes from."),
}


class _Lazy(click.Group):
    """Loads a command's module when it is called: `lictor --help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"lictor.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lictor")
def cli() -> None:
    """Lictor watches processes, files, network and privileges from inside the kernel."""


def main() -> None:
    """Entry point: a user's mistake is one sentence on standard error and an exit code."""
    try:
        cli.main(standalone_mode=False)
    except LictorError as error:
        click.echo(f"lictor: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_CANNOT_RUN)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # The reader went away (`lictor events | head`): not an error, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
