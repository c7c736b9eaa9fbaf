"""`lictor agent`: the daemon."""

from __future__ import annotations

from typing import Any

import click
import uvloop

from lictor import log
from lictor.cli.options import setting_options
from lictor.daemon import sources
from lictor.daemon.agent import Agent
from lictor.daemon.surfaces import open_surfaces


@click.command(help="Run the daemon. It logs one line with the word `ready` when its sensors are attached.")
@click.option("--config-dir", help="A directory with one file per setting.")
@setting_options()
def command(config_dir: str | None, **flags: Any) -> None:
    found = sources.load(flags, config_dir)
    log.setup(found.log_level, found.log_format)

    async def main() -> None:
        await Agent(found).run(open_surfaces)

    uvloop.run(main())
