"""Keeps the reader going: asleep while nothing happens, polling while something does.

The kernel wakes us at most once per `wake_interval_ns` (bpf/lib/emit.h) and says nothing of the records in between.
So after a wake-up we poll with a longer period until a poll finds nothing; then every later record is more than an
interval away from the last wake and wakes us itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lictor import log
from lictor.model.event import Event
from lictor.model.sink import EventSink
from lictor.pipeline.reader import Reader
from lictor.sensors.process import ProcessSensor

_log = log.get("pipeline")
POLL_S = 0.02  # longer than the kernel's wake interval of 10 ms, and the bound on an event's latency
LOSS_POLL_S = 1.0


class Pump:
    """Runs on the event loop from `start` to `stop`. An error inside a round ends it through `failed`."""

    def __init__(self, sensor: ProcessSensor, reader: Reader, sinks: Sequence[EventSink]) -> None:
        self._sensor = sensor
        self._reader = reader
        self._sinks = sinks
        self._loop = asyncio.get_running_loop()
        self._fds = (sensor.priority.fd, sensor.bulk.fd)
        self._timer: asyncio.TimerHandle | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self.failed: asyncio.Future[bool] = self._loop.create_future()

    def start(self) -> None:
        self._sleep()
        self._check_losses()

    def publish(self, events: Sequence[Event]) -> None:
        for sink in self._sinks:
            sink.accept(events)

    def stop(self) -> None:
        """Stop and hand on what is left in the rings. The sensor should be detached by now."""
        self._unwatch()
        for handle in (self._timer, self._watchdog):
            if handle is not None:
                handle.cancel()
        more = True
        while more:
            last = self._reader.round()
            more = last.more
            if last.events:
                self.publish(last.events)
        if told := [*self._reader.losses(), *self._reader.throttled()]:
            self.publish(told)

    def _sleep(self) -> None:
        # Adding a descriptor looks at it at once: what came since the last poll is not missed.
        self._timer = None
        for fd in self._fds:
            self._loop.add_reader(fd, self._wake)

    def _unwatch(self) -> None:
        for fd in self._fds:
            self._loop.remove_reader(fd)

    def _wake(self) -> None:
        self._unwatch()
        self._poll()

    def _poll(self) -> None:
        try:
            found = self._reader.round()
            if found.events:
                self.publish(found.events)
        except Exception as error:  # whatever it is, the agent must not go on deaf
            if not self.failed.done():
                self.failed.set_exception(error)
            return
        if found.found:
            self._timer = self._loop.call_later(0 if found.more else POLL_S, self._poll)
        else:
            self._sleep()

    def _check_losses(self) -> None:
        losses = self._reader.losses()
        for loss in losses:
            fields = log.fields(dropped=loss.dropped, where=loss.where, reason=loss.reason)
            _log.warning("lost %d records: %s, %s", loss.dropped, loss.where, loss.reason, extra=fields)
        if told := [*losses, *self._reader.throttled()]:
            self.publish(told)
        self._watchdog = self._loop.call_later(LOSS_POLL_S, self._check_losses)
