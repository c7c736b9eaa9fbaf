"""`lictor policy`: everything about policies. Each command is a file beside this one."""

from __future__ import annotations

import click

from lictor.cli.lazy import lazy

COMMANDS = {
    "list": ("policy_list", "Show the agent's policies and their states."),
    "add": ("policy_change", "Give policies to the agent."),
    "modify": ("policy_change", "Replace policies of the agent."),
    "delete": ("policy_change", "Take policies out of the agent."),
    "enable": ("policy_change", "Switch policies on again."),
    "disable": ("policy_change", "Switch policies off, and keep them."),
    "set-mode": ("policy_change", "Let a policy enforce, or only say what it would have done."),
    "stats": ("policy_list", "Show what each selector counted."),
    "domains": ("policy_list", "Show who policies come from."),
    "check": ("policy_check", "Say what is wrong with policies, and what to know about them."),
    "explain": ("policy_explain", "Say what a policy becomes on this machine, and why."),
    "generate": ("policy_generate", "Print a policy to start from."),
    "schema": ("policy_schema", "Print the JSON Schema of policies, or the custom resources."),
}


@click.group(cls=lazy(COMMANDS), help="Check, explain and load policies.")
def command() -> None:
    pass
