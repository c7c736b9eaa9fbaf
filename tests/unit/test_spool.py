"""The spool: whatever is done to it in whatever order, a record is read until it is settled, and in its order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lictor.export.spool import Position, Spool, split


class Life(RuleBasedStateMachine):
    """Against a list: what is not settled is what is read after a rewind or a restart."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self._place = tempfile.TemporaryDirectory()
        self.spool = self._open()
        self.waiting: list[bytes] = []
        self.read: list[Position] = []
        self.count = 0

    def _open(self) -> Spool:
        spool = Spool(Path(self._place.name), 1 << 40)
        spool._segment_bytes = 200
        return spool

    @rule(size=st.integers(0, 300))
    def append(self, size: int) -> None:
        self.count += 1
        lines = b"%d" % self.count + b"x" * size + b"\n"
        self.spool.append(lines, 1)
        self.waiting.append(lines)

    @rule()
    def take(self) -> None:
        record = self.spool.next()
        if len(self.read) == len(self.waiting):
            assert record is None
        else:
            assert record is not None
            assert record.lines == self.waiting[len(self.read)]
            self.read.append(record.end)

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        if self.read:
            at = data.draw(st.integers(0, len(self.read) - 1))
            whole = at == len(self.read) - 1
            if not whole:
                # Settling never moves the cursor forward of what was not read.
                before = self.spool.cursor
            self.spool.settle(self.read[at])
            if not whole:
                assert self.spool.cursor == before
            del self.read[: at + 1]
            del self.waiting[: at + 1]

    @rule()
    def rewind(self) -> None:
        self.spool.rewind()
        self.read.clear()

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.spool = self._open()
        self.read.clear()

    @invariant()
    def the_size_is_what_waits(self) -> None:
        assert self.spool.held == sum(12 + len(one) for one in self.waiting)

    def teardown(self) -> None:
        self.spool.close()
        self._place.cleanup()


TestLife = Life.TestCase


def test_what_is_settled_leaves_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    for _ in range(30):
        spool.append(b"x" * 9999 + b"\n", 1)
    assert not spool.fits(800 << 10)
    assert spool.fits(1 << 10)
    while (record := spool.next()) is not None:
        spool.settle(record.end)
    assert spool.held == 0
    assert len(list(tmp_path.glob("*.events"))) <= 1
    spool.close()


def test_a_torn_end_is_cut(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spool.append(b"whole\n", 1)
    spool.append(b"torn\n", 1)
    spool.close()
    file = next(tmp_path.glob("*.events"))
    os.truncate(file, file.stat().st_size - 2)
    spool = Spool(tmp_path, 1 << 20)
    spool.append(b"new\n", 1)
    found = [record.lines for record in iter(spool.next, None)]
    assert found == [b"whole\n", b"new\n"]
    spool.close()


def test_a_position_ahead_of_the_data_is_mended(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spool.append(b"one\n", 1)
    record = spool.next()
    assert record is not None
    spool.settle(record.end)
    spool.close()
    os.truncate(next(tmp_path.glob("*.events")), 0)
    spool = Spool(tmp_path, 1 << 20)
    spool.append(b"two\n", 1)
    assert [one.lines for one in iter(spool.next, None)] == [b"two\n"]
    spool.close()


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Spool(tmp_path / "file" / "spool", 1)


@given(st.lists(st.binary(max_size=50).map(lambda line: line.replace(b"\n", b"") + b"\n")), st.integers(1, 60))
def test_pieces_are_whole_lines(lines: list[bytes], size: int) -> None:
    pieces = split(b"".join(lines), size)
    assert b"".join(pieces) == b"".join(lines)
    assert all(one.endswith(b"\n") for one in pieces)
    assert all(len(one) <= size or one.count(b"\n") == 1 for one in pieces)


def test_damage_costs_the_rest_of_its_segment_and_is_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    spool._segment_bytes = 40
    for number in range(6):
        spool.append(b"%d" % number * 9 + b"\n", 1)
    spool.close()
    first = min(tmp_path.glob("*.events"))
    with first.open("r+b") as file:
        file.seek(15)
        file.write(b"?")
    spool = Spool(tmp_path, 1 << 20)
    found = [record.lines[:1] for record in iter(spool.next, None)]
    assert found == [b"2", b"3", b"4", b"5"]
    assert spool.damaged == 44
    spool.close()
