"""What the agent tells about itself over the API."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator

from lictor.api.ports import EventLogParams, KnownProcess
from lictor.daemon.agent import Agent
from lictor.daemon.outlets import rotation
from lictor.daemon.settings import SPECS, option
from lictor.export.file import FileOutlet
from lictor.host import features
from lictor.track.processes import Tracker

# Our abilities by the names that the reference has for them; all others keep ours.
_NAMES = {
    "bpf_override_return": "override_return",
    "kprobe.multi": "kprobe_multi",
    "uprobe.multi": "uprobe_multi",
    "fmod_ret": "fmodret",
}


class About:
    """See `api.ports.About`."""

    def __init__(self, agent: Agent, tracker: Tracker) -> None:
        self._agent = agent
        self._tracker = tracker
        self._probes: dict[str, bool] | None = None
        self._trying = asyncio.Lock()

    async def probes(self) -> dict[str, bool]:
        async with self._trying:
            if self._probes is None:
                found = await asyncio.to_thread(features.abilities)
                self._probes = {_NAMES.get(name, name): not reason for name, reason in found.items()}
        return self._probes

    def settings(self) -> dict[str, str | int | float | bool | list[str]]:
        values = {option(name): getattr(self._agent.settings, name) for name in SPECS}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def processes(self) -> Iterator[KnownProcess]:
        for forms, living in self._tracker.known():
            yield KnownProcess(forms.process, "living" if living else "ended")


class EventLog:
    """The rotation of the export file. What the API sets holds until the settings are read again."""

    def __init__(self, agent: Agent, file: FileOutlet) -> None:
        self._agent = agent
        self._file = file

    def get(self) -> EventLogParams:
        found = self._agent.settings
        return EventLogParams(
            found.export_file_max_size_mb, found.export_file_rotation_interval, found.export_file_max_backups
        )

    def set(self, params: EventLogParams) -> None:
        self._agent.settings = found = dataclasses.replace(
            self._agent.settings,
            export_file_max_size_mb=params.max_size,
            export_file_rotation_interval=params.interval,
            export_file_max_backups=params.max_backups,
        )
        self._file.rotate_by(rotation(found))
