"""`lictor policy`: everything about policies. Each command is a file beside this one."""

from __future__ import annotations

import click

from lictor.cli.lazy import lazy

COMMANDS = {
    "check": ("policy_check", "Say what is wrong with policies, and what to know about them."),
    "explain": ("policy_explain", "Say what a policy becomes on this machine, and why."),
    "schema": ("policy_schema", "Print the JSON Schema of policies, or the custom resources."),
}


@click.group(cls=lazy(COMMANDS), help="Check, explain and load policies.")
def command() -> None:
    pass
