"""Opens the exports that the settings ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lictor import log
from lictor.daemon.agent import Agent
from lictor.daemon.settings import Settings, node_name
from lictor.errors import LictorError
from lictor.export.exports import Exports
from lictor.export.file import FileOutlet, Rotation
from lictor.export.limit import RateLimit
from lictor.export.outlet import Line, Outlet
from lictor.export.stdout import StdoutOutlet
from lictor.pipeline.filters import Predicate

if TYPE_CHECKING:
    from lictor.export.feed import Feed
    from lictor.export.targets import Target

_log = log.get("export")


def open_exports(agent: Agent, line: Line, wanted: Predicate | None) -> Exports:
    """The sink of all exports, which follows the settings. Raises LictorError for what cannot be opened."""
    settings = agent.settings
    # The targets first: a mistake in one of them must not leave a process behind.
    found = _targets(settings.export_to) if settings.export_to else []
    outlets: list[Outlet] = []
    if settings.export_filename:
        file = FileOutlet(settings.export_filename, line, rotation(settings))
        agent.on_reload.append(lambda found: file.rotate_by(rotation(found)))
        outlets.append(file)
    exports = Exports(line, outlets, wanted, RateLimit(settings.export_rate_limit))
    targets = _Receivers(agent, line, exports)
    targets.follow(found)
    agent.on_reload.append(targets.reload)

    def squeeze(narrow: bool) -> None:
        for one in exports.outlets:
            one.squeeze(narrow)

    agent.squeeze.append(squeeze)
    return exports


class _Receivers:
    """The outlets that `export-to` names, as it changes."""

    def __init__(self, agent: Agent, line: Line, exports: Exports) -> None:
        self._agent = agent
        self._line = line
        self._exports = exports
        self._stdout: StdoutOutlet | None = None
        self._feed: Feed | None = None
        self._urls = tuple(agent.settings.export_to)

    def reload(self, found: Settings) -> None:
        self._exports.limit.per_minute = found.export_rate_limit
        if found.export_to == self._urls:
            return
        try:
            self.follow(_targets(found.export_to))
        except LictorError as error:
            _log.error("the exports stay as they are: %s", error)
        else:
            self._urls = found.export_to

    def follow(self, targets: Sequence[Target]) -> None:
        """Raises LictorError, and changes nothing then."""
        away = [one for one in targets if one.scheme != "stdout"]
        if self._feed is not None:
            self._feed.follow(away)
        elif away:
            self._feed = _feed(self._agent, self._line, away)
            self._exports.outlets += (self._feed,)
        wants_stdout = len(away) < len(targets)
        if wants_stdout and self._stdout is None:
            self._stdout = StdoutOutlet(self._line, lambda: _log.error("nobody reads standard output any more"))
        if self._stdout is not None:
            others = tuple(one for one in self._exports.outlets if one is not self._stdout)
            self._exports.outlets = (*others, self._stdout) if wants_stdout else others


def _targets(urls: Sequence[str]) -> list[Target]:
    # Imported here: without targets, the export process and what leads to it cost nothing. So below.
    from lictor.export import targets

    return targets.parse_all(urls)


def _feed(agent: Agent, line: Line, away: Sequence[Target]) -> Feed:
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
