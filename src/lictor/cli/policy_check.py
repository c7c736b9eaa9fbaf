"""`lictor policy check`: what is wrong with policies. Exit 0: nothing; 1: problems; 2: it could not run."""

from __future__ import annotations

import sys

import click
import msgspec

from lictor import __version__
from lictor.cli.options import examples
from lictor.cli.policy_input import facts_option, machine, read
from lictor.cli.render import safe
from lictor.errors import EXIT_PROBLEMS
from lictor.policy.codes import Severity
from lictor.policy.compile import compile_policy
from lictor.policy.diagnostics import Diagnostic, as_sarif, as_text
from lictor.policy.explain import promises


@click.command(
    help=examples(
        "Check policies for this machine, or for another one. `-` is standard input.",
        "lictor policy check *.yaml",
        "lictor policy check --facts node7.json --strict policy.yaml",
    )
)
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--json", "form", flag_value="json", help="A JSON list of findings.")
@click.option("--sarif", "form", flag_value="sarif", help="SARIF 2.1.0, for editors and code scanning.")
@click.option("--strict", is_flag=True, help="Warnings are problems too.")
@click.option("--quiet", is_flag=True, help="Leave out notes and warnings.")
@facts_option
def command(files: tuple[str, ...], form: str | None, strict: bool, quiet: bool, facts_file: str | None) -> None:
    texts = [(name, read(name)) for name in files]
    target = machine(facts_file)
    found: list[Diagnostic] = []
    promised: list[str] = []
    for name, data in texts:
        compiled = compile_policy(data, "<stdin>" if name == "-" else name, target)
        found += compiled.diagnostics
        promised += promises(compiled.plan) if compiled.plan else ()
    bad = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    problems = sum(one.severity in bad for one in found)
    shown = [one for one in found if one.severity in bad] if quiet else found
    _show(shown, form)
    if form is None:
        for line in () if quiet else promised:
            click.echo(safe(line))
        click.echo(_summary(len(files), found), err=True)
    if problems:
        sys.exit(EXIT_PROBLEMS)


def _show(found: list[Diagnostic], form: str | None) -> None:
    if form == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))
    elif form == "sarif":
        click.echo(msgspec.json.format(msgspec.json.encode(as_sarif(found, __version__)), indent=2))
    else:
        for line in as_text(found):
            click.echo(safe(line))


def _summary(files: int, found: list[Diagnostic]) -> str:
    def count(severity: Severity) -> str:
        number = sum(one.severity is severity for one in found)
        return f"{number} {severity}{'' if number == 1 else 's'}"

    checked = f"{files} file{'' if files == 1 else 's'}"
    return f"{checked}: {count(Severity.ERROR)}, {count(Severity.WARNING)}, {count(Severity.NOTE)}"
