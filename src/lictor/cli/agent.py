"""`lictor agent`: the daemon."""

from __future__ import annotations

from typing import Any

import click
import uvloop

from lictor import log
from lictor.cli.options import examples, setting_options
from lictor.daemon import sources
from lictor.daemon.agent import Agent
from lictor.daemon.settings import Settings
from lictor.daemon.surfaces import open_surfaces


@click.command(
    help=examples(
        "Run the daemon. It logs one line with the word `ready` when its sensors are attached, and tells "
        "systemd so. SIGHUP reads the settings again, SIGTERM ends it after handing on what is left.",
        "lictor agent --export-filename /var/log/lictor/events.json",
        "lictor agent --policy-dir ./policies --server-address unix:///tmp/lictor.sock",
    )
)
@click.option("--config-dir", help="A directory with one file per setting.")
@setting_options()
def command(config_dir: str | None, **flags: Any) -> None:
    def read() -> Settings:
        return sources.load(flags, config_dir)

    found = read()
    log.setup(found.log_level, found.log_format)

    async def main() -> None:
        await Agent(found, read).run(open_surfaces)

    uvloop.run(main())
