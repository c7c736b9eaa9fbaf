"""`lictor`: the command line. Each noun is a file beside this one and is imported only when it is used."""

from __future__ import annotations

import os
import sys

import click

from lictor import __version__
from lictor.cli.lazy import lazy
from lictor.errors import EXIT_CANNOT_RUN, LictorError

COMMANDS = {
    "run": ("run", "Run the agent in the foreground; events go to standard output."),
    "events": ("events", "Follow the events of a running agent over gRPC."),
    "probe": ("probe", "Show what this kernel can do and what Lictor will use for what."),
    "facts": ("facts", "Write what the policy compiler must know of this machine."),
    "policy": ("policy", "Check, explain and load policies."),
    "agent": ("agent", "Run the daemon, configured by files, environment and flags."),
    "config": ("config", "Show the settings in force and where each comes from."),
    "status": ("status", "Say whether the agent runs, and in what state its policies are."),
    "info": ("info", "Show the agent's version, settings, and what the kernel can do."),
    "version": ("version", "Show the version of this program, and of the agent."),
    "explain": ("explain", "Say what a field of a policy means, and what it may be."),
    "loglevel": ("loglevel", "Show or change how much the agent logs."),
    "eventlog": ("eventlog", "Show or change how the export file is rotated."),
    "rthooks": ("rthooks", "Tell the agent of a container before its first process runs."),
    "detach": ("detach", "Remove everything of Lictor from the kernel, also after a crash."),
    "debug": ("debug", "Look into a running agent."),
    "bugreport": ("bugreport", "Collect what a maintainer needs into one file."),
    "completion": ("completion", "Print the completion script of a shell."),
}
# Names of the reference's client.
ABSENT = {
    "sensors": ("sensors come and go with policies", "`lictor policy list` shows those"),
    "policyfilter": (
        "which policies apply is told by bits of each process, not by a map of cgroups",
        "`lictor policy explain` says whom a policy is for",
    ),
    "cgtracker": ("cgroups are not tracked: each process knows its own", "`lictor debug dump processcache` shows them"),
    "cri": (
        "containers are known by their cgroups and from hooks of the runtime, which is not asked",
        "`lictor rthooks oci` is such a hook",
    ),
    "policytest": (
        "it is a test of the reference implementation, and talks to any agent over gRPC",
        "run that program with our --server-address",
    ),
}
ABSENT["dump"] = ("tables of the agent are below `debug`", "`lictor debug dump processcache`")
ABSENT["pt"] = ABSENT["policytest"]
ALIASES = {"getevents": "events", "tracingpolicy": "policy", "tp": "policy", "bugtool": "bugreport"}


@click.group(cls=lazy(COMMANDS, ALIASES, ABSENT), context_settings={"help_option_names": ["-h", "--help"]})
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
