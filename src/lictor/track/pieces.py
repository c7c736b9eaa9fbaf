"""Values that came in pieces: kept until the records of their run are in, within a budget of bytes."""

from __future__ import annotations

from collections import OrderedDict

from lictor.wire.hooks import FLAG_CHAINED, FLAG_TRUNCATED, Field, HookRecord, Piece

BUDGET = 16 << 20
_Run = tuple[int, int]  # thread, time


class Pieces:
    """Runs by age. One run's pieces serve every record of it, so they stay until the budget wants their room."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._budget = budget
        self._runs: OrderedDict[_Run, dict[int, list[Piece]]] = OrderedDict()
        self._size = 0

    def add(self, piece: Piece) -> None:
        self._runs.setdefault((piece.tid, piece.time), {}).setdefault(piece.slot, []).append(piece)
        self._size += len(piece.data)
        while self._size > self._budget and len(self._runs) > 1:
            _, gone = self._runs.popitem(last=False)
            self._size -= sum(len(one.data) for pieces in gone.values() for one in pieces)

    def join(self, record: HookRecord) -> HookRecord:
        """The record with its values in full, as far as the pieces are there."""
        chained = [slot for slot, field in record.values.items() if field.flags & FLAG_CHAINED]
        if not chained:
            return record
        run = self._runs.get((record.tid, record.time), {})
        return record._replace(
            values=record.values | {slot: _joined(record.values[slot], run.get(slot, [])) for slot in chained}
        )


def _joined(field: Field, pieces: list[Piece]) -> Field:
    data = bytearray(field.data)
    for piece in pieces:
        if piece.offset != len(data):
            break  # one before it was lost
        data += piece.data
    flags = field.flags if len(data) < field.extra else field.flags & ~FLAG_TRUNCATED
    return field._replace(data=bytes(data), flags=flags)
