"""`lictor status`: whether the agent runs, and in what state its policies are. Exit 1 when not all is well."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import click

from lictor.cli.policy_list import state
from lictor.cli.remote import ask, output_option, remote_options, show_json, take_remote
from lictor.cli.render import safe
from lictor.errors import EXIT_PROBLEMS

_BAD = ("load_error", "error")


@click.command(
    help="Say whether the agent runs, and in what state its policies are. Exit status 1: not all is well; 2: no "
    "agent answers.\n\n\b\nExamples:\n  lictor status\n  lictor status -o json --server-address localhost:54321"
)
@output_option
@remote_options
def command(output: str, **options: Any) -> None:
    from lictor.api.pb.tetragon import sensors_pb2 as pb
    from lictor.api.pb.tetragon import tetragon_pb2

    remote = take_remote(options)
    version, health, policies = ask(
        remote,
        [
            ("GetVersion", pb.GetVersionRequest(), pb.GetVersionResponse),
            ("GetHealth", tetragon_pb2.GetHealthStatusRequest(), tetragon_pb2.GetHealthStatusResponse),
            ("ListTracingPolicies", pb.ListTracingPoliciesRequest(), pb.ListTracingPoliciesResponse),
        ],
    )
    running = any(one.status == tetragon_pb2.HEALTH_STATUS_RUNNING for one in health.health_status)
    details = ", ".join(one.details for one in health.health_status) or "unknown"
    failed = [one for one in policies.policies if state(one) in _BAD]
    states = Counter(state(one) for one in policies.policies)
    if output == "json":
        show_json(
            {
                "address": remote.address,
                "version": version.version,
                "running": running,
                "details": details,
                "policies": dict(states),
                "errors": {one.name: one.error for one in failed},
            }
        )
    else:
        counted = ", ".join(f"{number} {name}" for name, number in states.items()) or "none"
        click.echo(f"Agent     {safe(version.version)} at {remote.address}: {safe(details)}")
        click.echo(f"Policies  {counted}")
        for one in failed:
            click.echo(f"  {safe(one.name)}: {safe(one.error)}")
    if failed or not running:
        sys.exit(EXIT_PROBLEMS)
