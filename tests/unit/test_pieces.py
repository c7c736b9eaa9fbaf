"""Values in pieces: joined as far as they came, told as cut where one is missing, forgotten when room is wanted."""

from __future__ import annotations

from lictor.track.pieces import Pieces
from lictor.wire.hooks import FLAG_CHAINED, FLAG_TRUNCATED, Field, HookRecord, Piece

HEAD = b"a" * 8


def record(time: int, total: int) -> HookRecord:
    field = Field(11, FLAG_CHAINED | FLAG_TRUNCATED, total, HEAD)
    return HookRecord(time, 1, 10, 10, 1, 1, 1, 1, 0, 0, 1, 0, {3: field, 4: Field(5, 0, 7, b"")})


def piece(time: int, offset: int, data: bytes) -> Piece:
    return Piece(time, 10, 3, offset, data)


def test_pieces_are_joined_for_every_record_of_their_run() -> None:
    pieces = Pieces()
    pieces.add(piece(5, 8, b"b" * 8))
    pieces.add(piece(5, 16, b"c" * 4))
    for _ in range(2):
        joined = pieces.join(record(5, 20))
        assert joined.values[3] == Field(11, FLAG_CHAINED, 20, HEAD + b"b" * 8 + b"c" * 4)
        assert joined.values[4] == Field(5, 0, 7, b"")
    assert pieces.join(record(6, 20)).values[3].data == HEAD


def test_a_lost_piece_ends_the_value() -> None:
    pieces = Pieces()
    pieces.add(piece(5, 16, b"c" * 4))
    assert pieces.join(record(5, 20)).values[3] == Field(11, FLAG_CHAINED | FLAG_TRUNCATED, 20, HEAD)


def test_the_oldest_run_makes_room() -> None:
    pieces = Pieces(budget=20)
    for time in (1, 2, 3):
        pieces.add(piece(time, 8, b"b" * 8))
    found = [len(pieces.join(record(time, 16)).values[3].data) for time in (1, 2, 3)]
    assert found == [8, 16, 16]
