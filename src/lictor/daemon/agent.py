"""The agent: wires sensor, tracker, pipeline and sinks together, runs until told to stop, and drains.

Read it from `run` down. Start: check the machine, load and attach, open the surfaces, tell of the processes that
live, then follow the rings. Stop: detach first, so that nothing new comes, then hand on what is left.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from lictor import __version__, log
from lictor.clock import WallClock
from lictor.daemon import notify
from lictor.daemon.files import PolicyDirectory, load_file
from lictor.daemon.instance import announced, only_one
from lictor.daemon.memory import MemoryGuard, Step
from lictor.daemon.policies import Policies
from lictor.daemon.reload import take_over
from lictor.daemon.settings import Settings, cgroup_rate, node_name, option
from lictor.errors import LictorError
from lictor.host import preflight, procfs
from lictor.model.event import Event, with_ancestors
from lictor.model.json import JsonWriter
from lictor.model.sink import EventSink
from lictor.pipeline.fields import split_paths
from lictor.pipeline.pump import Pump
from lictor.pipeline.reader import Reader
from lictor.sensors.process import ProcessSensor, Sizes
from lictor.track import scanned
from lictor.track.image import Detail, ImageBuilder
from lictor.track.processes import Tracker
from lictor.track.redact import Redactor
from lictor.wire.records import NamespaceInodes

_log = log.get("agent")
_HOUSEKEEPING_S = 60.0
_GC_YOUNG = 20_000  # objects


class Parts(NamedTuple):
    """What surfaces may look at while they are opened."""

    sensor: ProcessSensor
    tracker: Tracker
    reader: Reader
    policies: Policies


OpenSinks = Callable[["Agent"], Awaitable[Sequence[EventSink]]]


class Agent:
    """One agent. `reread` gives the settings anew for SIGHUP; surfaces that can follow add to `on_reload`."""

    def __init__(self, settings: Settings, reread: Callable[[], Settings] | None = None) -> None:
        self.settings = settings
        self._reread = reread
        self.on_reload: list[Callable[[Settings], None]] = [lambda found: log.setup(found.log_level, found.log_format)]
        self.clock = WallClock()
        self.json = JsonWriter(
            self.clock,
            node_name(settings),
            settings.cluster_name,
            settings.extras,
            with_ancestors(settings.enable_ancestors),
        )
        self.sinks: list[EventSink] = []
        self.squeeze: list[Callable[[bool], None]] = []  # queues that can do with less room
        self.parts: Parts
        self._status = ""
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ask the agent to end; `run` returns when everything is drained."""
        self._stop.set()

    def reload(self) -> None:
        """Read the settings again; take over what can be changed now, and name what cannot."""
        assert self._reread is not None
        notify.reloading()
        try:
            self.settings, changed, waiting = take_over(self.settings, self._reread())
        except LictorError as error:
            _log.error("nothing is changed: %s", error)
        else:
            for follow in self.on_reload:
                follow(self.settings)
            _log.info("settings are read again; changed: %s", ", ".join(map(option, changed)) or "nothing")
            if waiting:
                _log.warning("these wait for a restart: %s", ", ".join(map(option, waiting)))
        notify.ready(self._status)

    async def run(self, open_sinks: OpenSinks) -> None:
        """Run until told to stop. Raises LictorError for what stands in the way at the start."""
        preflight.check()
        settings = self.settings
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        if self._reread is not None:
            loop.add_signal_handler(signal.SIGHUP, self.reload)
        with only_one(settings.pid_file):
            sensor = ProcessSensor(
                Sizes(
                    settings.rb_size,
                    settings.bulk_rb_size,
                    settings.process_table_entries,
                    settings.max_argument_bytes,
                    settings.enable_process_environment_variables,
                    cgroup_rate(settings),
                )
            )
            try:
                sensor.start()
                await self._follow(sensor, open_sinks)
            finally:
                sensor.close()

    async def _follow(self, sensor: ProcessSensor, open_sinks: OpenSinks) -> None:
        settings = self.settings
        detail = _detail(settings)
        own = procfs.host_namespaces()
        host = NamespaceInodes(*(own.get(name, 0) for name in NamespaceInodes._fields))
        tracker = Tracker(ImageBuilder(sensor.decoder, self.clock, detail, host))
        present = scanned.enter(tracker, sensor.scan(), sensor.hierarchy)
        reader = Reader(sensor, tracker)
        kept_in = settings.persist_grpc_policies_dir if settings.persist_grpc_policies else ""
        policies = Policies(sensor, tracker, reader, kept_in)
        self.parts = Parts(sensor, tracker, reader, policies)
        try:
            directory = await self._load_policies(policies)
            self.sinks.extend(await open_sinks(self))
            await self._run(present, directory)
        finally:
            policies.close()

    async def _load_policies(self, policies: Policies) -> PolicyDirectory | None:
        """Those of the settings, and those that were kept. Raises LictorError for the first that cannot be loaded."""
        settings = self.settings
        for file in settings.policy:
            await load_file(policies.manager, file)
        directory = None
        if settings.policy_dir:
            directory = PolicyDirectory(lambda: policies.manager, settings.policy_dir)
            await directory.load()
        if settings.persist_grpc_policies:
            await policies.manager.restore()
        return directory

    async def _run(self, present: Sequence[Event], directory: PolicyDirectory | None) -> None:
        sensor, tracker, reader, policies = self.parts
        settings = self.settings
        pump = Pump(sensor, reader, self.sinks)
        # What is there now stays. An event lives for one batch, so a look at the young once per batch finds nothing.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_YOUNG, 10, 10)
        pump.publish(present)
        pump.start()
        self._status = f"process sensor attached, {len(present)} processes present"
        _log.info("Lictor %s is ready: %s", __version__, self._status)
        tasks = [asyncio.create_task(self._keep_house(tracker), name="housekeeping")]
        if directory is not None:
            tasks.append(asyncio.create_task(directory.watch(), name="policy directory"))
        memory = MemoryGuard(settings.memory_limit, self._steps(tracker), lambda event: pump.publish([event]))
        self.on_reload.append(lambda found: setattr(memory, "limit", found.memory_limit))
        tasks.append(asyncio.create_task(memory.run(), name="memory"))
        if (period := notify.watchdog_period()) is not None:
            tasks.append(asyncio.create_task(_show_life(period), name="watchdog"))
        try:
            with announced(settings.info_file, settings):
                notify.ready(self._status)
                stopped: asyncio.Future[bool] = asyncio.create_task(self._stop.wait(), name="stop")
                await asyncio.wait((stopped, pump.failed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            notify.stopping()
            policies.detach()
            sensor.detach()
            if not pump.failed.done():
                pump.stop()
            for sink in self.sinks:
                await sink.close()
            for task in tasks:
                task.cancel()
        if pump.failed.done():
            await pump.failed

    def _steps(self, tracker: Tracker) -> list[Step]:
        """What is given up beyond the memory ceiling, in this order."""

        def squeeze(narrow: bool) -> None:
            for one in self.squeeze:
                one(narrow)

        return [
            Step("what can be made again is not kept", tracker.shed, lambda: None),
            Step(
                "long arguments are in the event of their exec only",
                lambda: tracker.keep_long_arguments(False),
                lambda: tracker.keep_long_arguments(True),
            ),
            Step("queues have an eighth of their room", lambda: squeeze(True), lambda: squeeze(False)),
        ]

    async def _keep_house(self, tracker: Tracker) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            self.clock.resync()
            present = procfs.present()
            tracker.audit(present)
            self.parts.policies.audit(present)


def _detail(settings: Settings) -> Detail:
    redactor = None
    if settings.redaction_filters:
        from lictor.api.filters import redaction_list

        redactor = Redactor(redaction_list(settings.redaction_filters, "redaction-filters"))
    return Detail(
        node_name(settings),
        settings.enable_process_cred,
        settings.enable_process_ns,
        settings.extras,
        redactor,
        frozenset(split_paths(settings.filter_environment_variables)),
    )


async def _show_life(period: float) -> None:
    """A loop that is stuck shows none, and the service manager starts the agent anew."""
    while True:
        notify.alive()
        await asyncio.sleep(period)
