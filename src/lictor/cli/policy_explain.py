"""`lictor policy explain`: what a policy becomes on a machine, in words or as JSON, whole or after any pass."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from lictor.cli.options import examples
from lictor.cli.policy_input import facts_option, machine, read
from lictor.cli.render import safe
from lictor.errors import EXIT_PROBLEMS
from lictor.policy import dump
from lictor.policy.compile import PASSES, compile_policy
from lictor.policy.diagnostics import as_text
from lictor.policy.explain import explain

_STAGES = ("document", *(name for name, _ in PASSES))


@click.command(
    help=examples(
        "Say what a policy becomes on this machine, or on another one. `-` is standard input.",
        "lictor policy explain policy.yaml",
        "lictor policy explain --facts node7.json policy.yaml",
    )
)
@click.argument("file", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="The plan and the findings as JSON.")
@click.option("--after", type=click.Choice(_STAGES), help="Show what this stage of the compiler left, as JSON.")
@facts_option
def command(file: str, as_json: bool, after: str | None, facts_file: str | None) -> None:
    data, target = read(file), machine(facts_file)
    name = "<stdin>" if file == "-" else file
    found = compile_policy(data, name, target, after or "")
    if after and found.draft is not None:
        _json(dump.whole(found.draft.policy) if after == "document" else dump.dump(found.draft))
    elif as_json:
        _json({"plan": found.plan, "diagnostics": found.diagnostics})
    elif found.plan is not None:
        for line in explain(found.plan, target):
            click.echo(safe(line))
    if not as_json:
        for line in as_text(found.diagnostics):
            click.echo(safe(line), err=True)
    if found.errors:
        sys.exit(EXIT_PROBLEMS)


def _json(value: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
