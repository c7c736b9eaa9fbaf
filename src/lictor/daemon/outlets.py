"""Opens the exports that the settings ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lictor import log
from lictor.daemon.agent import Agent
from lictor.daemon.settings import Settings, node_name
from lictor.export.exports import Exports
from lictor.export.file import FileOutlet, Rotation
from lictor.export.limit import RateLimit
from lictor.export.outlet import Line, Outlet
from lictor.export.stdout import StdoutOutlet
from lictor.pipeline.filters import Predicate

if TYPE_CHECKING:
    from lictor.export.targets import Target

_log = log.get("export")


def open_exports(agent: Agent, line: Line, wanted: Predicate | None) -> Exports | None:
    """The sink of all exports, None without any. Raises LictorError for what cannot be opened."""
    settings = agent.settings
    # The targets first: a mistake in one of them must not leave a process behind.
    found = _targets(settings.export_to) if settings.export_to else []
    outlets: list[Outlet] = []
    if settings.export_filename:
        file = FileOutlet(settings.export_filename, line, rotation(settings))
        agent.on_reload.append(lambda found: file.rotate_by(rotation(found)))
        outlets.append(file)
    if any(one.scheme == "stdout" for one in found):
        outlets.append(StdoutOutlet(line, lambda: _log.error("nobody reads standard output any more")))
    if away := [one for one in found if one.scheme != "stdout"]:
        outlets.append(_feed(agent, line, away))
    if not outlets:
        return None
    limit = RateLimit(settings.export_rate_limit)

    def follow(found: Settings) -> None:
        limit.per_minute = found.export_rate_limit

    agent.on_reload.append(follow)
    agent.squeeze.extend(one.squeeze for one in outlets)
    return Exports(line, outlets, wanted, limit)


def _targets(urls: Sequence[str]) -> list[Target]:
    # Imported here: without targets, the export process and what leads to it cost nothing. So below.
    from lictor.export import targets

    return targets.parse_all(urls)


def _feed(agent: Agent, line: Line, away: Sequence[Target]) -> Outlet:
    from lictor.export.feed import Feed
    from lictor.export.worker import Plan

    settings = agent.settings
    plan = Plan(
        urls=tuple(one.url for one in away),
        spool_dir=settings.export_spool_dir,
        spool_bytes=settings.export_spool_size,
        node_name=node_name(settings),
        cluster_name=settings.cluster_name,
        extras=settings.extras,
        log_level=settings.log_level,
        log_format=settings.log_format,
    )
    return Feed(line, away, plan)


def rotation(settings: Settings) -> Rotation:
    """How the settings want the export file rotated."""
    return Rotation(
        max_bytes=settings.export_file_max_size_mb << 20,
        interval=settings.export_file_rotation_interval,
        backups=settings.export_file_max_backups,
        compress=settings.export_file_compress,
        mode=int(settings.export_file_perm, 8),
    )
