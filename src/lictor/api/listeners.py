"""Clients that follow events: each with its own bounded queue, none of them ever waited for."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Sequence

from lictor.api.prune import pruned
from lictor.model.event import Event
from lictor.pipeline.aggregate import Aggregator
from lictor.pipeline.fields import FieldFilters
from lictor.pipeline.filters import everything
from lictor.pipeline.view import View

QUEUE_EVENTS = 10_000
QUEUE_BYTES = 16 << 20
ALL_QUEUES_BYTES = 256 << 20  # shared by the clients, when they are many
LONG_FRAME = 16 << 10  # such frames have half of the bytes; beyond it a brief form stands in
_EVENTS_AT_ONCE = 100  # whose frames exist at the same time
_FRAMES_PER_WRITE = 100


class Listener:
    """One client's queue of ready-made gRPC frames. What finds no room is counted in `dropped`, and told in turn."""

    def __init__(self, view: View, loss: Callable[[int], bytes]) -> None:
        self.wanted = None if view.wanted is everything else view.wanted
        self.fields = view.fields
        self.aggregator: Aggregator | None = None
        self._loss = loss
        self.room = QUEUE_BYTES
        self._frames: deque[bytes] = deque()
        self._held = 0
        self._untold = 0
        self.dropped = 0
        self._ready = asyncio.Event()
        self._closing = False

    def takes(self, frame: bytes) -> bool:
        """Whether there is room for a frame, whose length counts against half of the bytes if it is long."""
        room = self.room if len(frame) <= LONG_FRAME else self.room // 2
        return len(self._frames) < QUEUE_EVENTS and self._held + len(frame) <= room

    def put(self, frame: bytes) -> None:
        """Queue a frame, or count it."""
        held = self._held + len(frame)
        if self._untold or len(frame) > LONG_FRAME or held > self.room or len(self._frames) >= QUEUE_EVENTS:
            self._put_if_room(frame)
        else:
            self._frames.append(frame)
            self._held = held
            self._ready.set()

    def _put_if_room(self, frame: bytes) -> None:
        if not self.takes(frame):
            self.dropped += 1
            self._untold += 1
            return
        if self._untold:
            # In its place in the stream: after what came before the gap, before what comes after it.
            told = self._loss(self._untold)
            self._untold = 0
            self._frames.append(told)
            self._held += len(told)
        self._frames.append(frame)
        self._held += len(frame)
        self._ready.set()

    def close(self) -> None:
        """No more will come: `take` empties the queue and then gives nothing."""
        if self.aggregator is not None:
            self.aggregator.flush()
        self._closing = True
        self._ready.set()

    async def take(self) -> bytes:
        """The next frames in one piece; empty at the end of the stream."""
        while not self._frames:
            if self._untold:
                told, self._untold = self._loss(self._untold), 0
                return told
            if self._closing:
                return b""
            self._ready.clear()
            await self._ready.wait()
        piece = b"".join(self._frames.popleft() for _ in range(min(len(self._frames), _FRAMES_PER_WRITE)))
        self._held -= len(piece)
        return piece


class Listeners:
    """All of them. An event is encoded once for each distinct set of field filters, and only when somebody wants it."""

    def __init__(self, encode: Callable[[Event], bytes], loss: Callable[[int], Event]) -> None:
        self._encode = encode
        self._loss = loss
        self._all: dict[Listener, None] = {}
        self._dropped_before = 0
        self._narrow = 1
        self._gone = asyncio.Event()
        self._gone.set()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, view: View) -> Listener:
        listener = Listener(view, lambda dropped: frame(self._encode(self._loss(dropped))))
        if view.aggregation is not None:
            later = asyncio.get_running_loop().call_later
            listener.aggregator = Aggregator(
                view.aggregation.window, view.aggregation.room, later, lambda events: self._give(listener, events)
            )
        self._all[listener] = None
        self._share_room()
        self._gone.clear()
        return listener

    @property
    def dropped(self) -> int:
        """Events that found no room, of clients that are gone too."""
        return self._dropped_before + sum(one.dropped for one in tuple(self._all))

    def remove(self, listener: Listener) -> None:
        if listener in self._all:
            del self._all[listener]
            self._dropped_before += listener.dropped
            self._share_room()
        if not self._all:
            self._gone.set()

    def squeeze(self, narrow: bool) -> None:
        """Give the queues an eighth of their room, or all of it."""
        self._narrow = 8 if narrow else 1
        self._share_room()

    def _share_room(self) -> None:
        for listener in self._all:
            listener.room = min(QUEUE_BYTES, ALL_QUEUES_BYTES // len(self._all)) // self._narrow

    def accept(self, events: Sequence[Event]) -> None:
        if not self._all:
            return
        for start in range(0, len(events), _EVENTS_AT_ONCE):
            frames = _Frames(self._encode, events[start : start + _EVENTS_AT_ONCE])
            for listener in self._all:
                if listener.aggregator is None:
                    frames.put_wanted(listener)
                else:
                    self._aggregate(listener, frames.events)

    def _aggregate(self, listener: Listener, events: Sequence[Event]) -> None:
        assert listener.aggregator is not None
        for event in events:
            if listener.wanted is None or listener.wanted(event):
                listener.aggregator.put(event)

    def _give(self, listener: Listener, events: Sequence[Event]) -> None:
        frames = _Frames(self._encode, events)
        for number in range(len(events)):
            frames.put(number, listener)

    def close(self) -> None:
        for listener in self._all:
            listener.close()

    async def gone(self) -> None:
        """Return when the last client has left."""
        await self._gone.wait()


class _Frames:
    """The frames of some events: of all of each, and for each set of field filters, made when first asked."""

    def __init__(self, encode: Callable[[Event], bytes], events: Sequence[Event]) -> None:
        self._encode = encode
        self.events = events
        self._whole = [b""] * len(events)
        self._brief: dict[int, bytes] = {}
        self._made: dict[tuple[int, object], bytes] = {}

    def put_wanted(self, listener: Listener) -> None:
        """Give a listener what it wants of them. The loop is what every event pays for each client."""
        wanted, put, whole, encode = listener.wanted, listener.put, self._whole, self._encode
        simple = listener.fields is None
        for number, event in enumerate(self.events):
            if wanted is not None and not wanted(event):
                continue
            framed = whole[number]
            if not framed:
                framed = whole[number] = frame(encode(event))
            if simple and len(framed) <= LONG_FRAME:
                put(framed)
            else:
                self.put(number, listener)

    def put(self, number: int, listener: Listener) -> None:
        framed = self._for(number, listener.fields)
        if len(framed) > LONG_FRAME and not listener.takes(framed):
            event = self.events[number]
            brief = self._brief[number] = self._brief.get(number) or frame(self._encode(event.brief()))
            framed = _without(brief, listener.fields, event)
        listener.put(framed)

    def _for(self, number: int, fields: FieldFilters | None) -> bytes:
        whole = self._whole[number] = self._whole[number] or frame(self._encode(self.events[number]))
        if fields is None:
            return whole
        key = number, fields.key
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = _without(whole, fields, self.events[number])
        return found


def _without(framed: bytes, fields: FieldFilters | None, event: Event) -> bytes:
    pruning = fields.of(event.kind) if fields is not None else None
    return framed if pruning is None else frame(pruned(framed[FRAME_HEAD:], pruning))


FRAME_HEAD = 5


_head = struct.Struct(">BI").pack


def frame(message: bytes) -> bytes:
    """A message as it stands in a gRPC stream: not compressed, length, bytes."""
    return _head(0, len(message)) + message
