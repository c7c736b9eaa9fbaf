"""`lictor completion`: the script that lets a shell complete our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(
    help="Print the completion script of a shell.\n\n\b\nExamples:\n"
    '  eval "$(lictor completion bash)"            # in ~/.bashrc\n'
    "  lictor completion zsh > ~/.zfunc/_lictor\n"
    "  lictor completion fish > ~/.config/fish/completions/lictor.fish"
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    from lictor.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "lictor", "_LICTOR_COMPLETE").source())
