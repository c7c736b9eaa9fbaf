"""`lictor config`: the settings in force, and where each comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import msgspec

from lictor.cli.options import examples, setting_options
from lictor.daemon import sources
from lictor.daemon.settings import SPECS, option


@click.group(help=examples("Look at the settings of the agent.", "lictor config show --origin"))
def command() -> None:
    pass


@command.command(
    help=examples(
        "Show every setting as the agent would find it.",
        "lictor config show --origin",
        "lictor config show --config-dir ./conf.d -o json",
        "LICTOR_LOG_LEVEL=debug lictor config show --changed --origin",
    )
)
@click.option("--origin", is_flag=True, help="Also show where each value comes from.")
@click.option("--changed", is_flag=True, help="Only settings that are not at their default.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option("--config-dir", help="A directory with one file per setting.")
@setting_options()
def show(origin: bool, changed: bool, output: str, config_dir: str | None, **flags: Any) -> None:
    resolved = sources.resolve(flags, config_dir)
    names = [name for name in SPECS if not changed or resolved.origins[name] != "default"]
    values = {name: getattr(resolved.settings, name) for name in names}
    if output == "json":
        rows = {option(n): {"value": v, "origin": resolved.origins[n]} if origin else v for n, v in values.items()}
        click.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return
    for line in _yaml_lines(values, resolved.origins.__getitem__ if origin else None):
        click.echo(line)


def _yaml_lines(values: dict[str, Any], origin: Callable[[str], str] | None) -> list[str]:
    """Lines that may be put into lictor.yaml as they are."""
    # JSON values are YAML values.
    lines = [f"{option(name)}: {msgspec.json.encode(value).decode()}" for name, value in values.items()]
    if origin is None:
        return lines
    width = max(map(len, lines), default=0)
    return [f"{line:{width}}  # {origin(name)}" for line, name in zip(lines, values, strict=True)]
