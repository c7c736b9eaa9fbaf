"""The agent: wires sensor, tracker, pipeline and sinks together, runs until told to stop, and drains.

Read it from `run` down. Start: check the machine, load and attach, open the surfaces, tell of the processes that
live, then follow the rings. Stop: detach first, so that nothing new comes, then hand on what is left.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Sequence

from lictor import __version__, log
from lictor.clock import WallClock
from lictor.daemon.settings import Settings, node_name
from lictor.host import preflight, procfs
from lictor.model.json import JsonWriter
from lictor.model.sink import EventSink
from lictor.pipeline.pump import Pump
from lictor.pipeline.reader import Reader
from lictor.sensors.process import ProcessSensor, Sizes
from lictor.track import scanned
from lictor.track.image import Detail, ImageBuilder
from lictor.track.processes import Tracker
from lictor.wire.records import NamespaceInodes

_log = log.get("agent")
_HOUSEKEEPING_S = 60.0
_GC_YOUNG = 20_000  # objects


class Agent:
    """One agent. Sinks are added by `add_sinks`, which runs once the writer of JSON lines is known."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = WallClock()
        self.json = JsonWriter(self.clock, node_name(settings), settings.cluster_name, settings.extras)
        self.sinks: list[EventSink] = []
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ask the agent to end; `run` returns when everything is drained."""
        self._stop.set()

    async def run(self, open_sinks: Callable[[Agent], Awaitable[Sequence[EventSink]]]) -> None:
        preflight.check()
        settings = self.settings
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        sensor = ProcessSensor(
            Sizes(
                settings.rb_size,
                settings.bulk_rb_size,
                settings.process_table_entries,
                settings.max_argument_bytes,
                settings.enable_process_environment_variables,
            )
        )
        try:
            sensor.start()
            await self._follow(sensor, open_sinks)
        finally:
            sensor.close()

    async def _follow(
        self, sensor: ProcessSensor, open_sinks: Callable[[Agent], Awaitable[Sequence[EventSink]]]
    ) -> None:
        settings = self.settings
        detail = Detail(node_name(settings), settings.enable_process_cred, settings.enable_process_ns, settings.extras)
        own = procfs.host_namespaces()
        host = NamespaceInodes(*(own.get(name, 0) for name in NamespaceInodes._fields))
        tracker = Tracker(ImageBuilder(sensor.decoder, self.clock, detail, host))
        present = scanned.enter(tracker, sensor.scan(), sensor.hierarchy)
        self.sinks.extend(await open_sinks(self))
        pump = Pump(sensor, Reader(sensor, tracker), self.sinks)
        # What is there now stays. An event lives for one batch, so a look at the young once per batch finds nothing.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_YOUNG, 10, 10)
        pump.publish(present)
        pump.start()
        _log.info("Lictor %s is ready: process sensor attached, %d processes present", __version__, len(present))
        housekeeping = asyncio.create_task(self._keep_house(tracker), name="housekeeping")
        try:
            stopped: asyncio.Future[bool] = asyncio.create_task(self._stop.wait(), name="stop")
            await asyncio.wait((stopped, pump.failed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            housekeeping.cancel()
            sensor.detach()
            if not pump.failed.done():
                pump.stop()
            for sink in self.sinks:
                await sink.close()
        if pump.failed.done():
            await pump.failed

    async def _keep_house(self, tracker: Tracker) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            self.clock.resync()
            tracker.audit(procfs.present())
