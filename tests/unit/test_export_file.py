"""The export file on real file systems: rotation, a full disk, links, and somebody else's logrotate."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lictor.errors import LictorError
from lictor.export.exports import Exports
from lictor.export.file import FileOutlet, RotatedFile, Rotation
from lictor.model.event import Event, LossEvent


def line(event: Event) -> str:
    assert isinstance(event, LossEvent)
    return f"{event.dropped} {event.where}\n"


def events(count: int, width: int = 1) -> list[Event]:
    return [LossEvent(0, number, "x" * width, "") for number in range(count)]


def test_mode_and_content(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    outlet = FileOutlet(str(path), line, Rotation())
    sink = Exports(line, [outlet])
    sink.accept(events(3))
    asyncio.run(sink.close())
    assert path.read_bytes() == b"0 x\n1 x\n2 x\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (outlet.written, outlet.lost) == (3, 0)


def test_rotation_keeps_so_many_backups_compressed(tmp_path: Path) -> None:
    file = RotatedFile(tmp_path / "events.json", Rotation(max_bytes=100, backups=2, compress=True))
    for number in range(6):
        assert file.write(b"%d" % number * 89 + b"\n", 1) == 0
    file.close()
    backups = sorted(tmp_path.glob("events-*"))
    assert [p.suffix for p in backups] == [".gz", ".gz"]
    assert [gzip.decompress(p.read_bytes())[:1] for p in backups] == [b"3", b"4"]
    assert (tmp_path / "events.json").read_bytes()[:1] == b"5"


def test_a_file_moved_away_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    file = RotatedFile(path, Rotation())
    file.write(b"one\n", 1)
    path.rename(tmp_path / "moved")
    file._looked = -10.0  # as if the second between two looks had passed
    file.write(b"two\n", 1)
    file.close()
    assert path.read_bytes() == b"two\n"
    assert (tmp_path / "moved").read_bytes() == b"one\n"


def test_links_and_missing_directories_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(LictorError, match="symbolic link"):
        RotatedFile(tmp_path / "link", Rotation())
    with pytest.raises(LictorError, match="create its directory"):
        RotatedFile(tmp_path / "none" / "file", Rotation())


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.accounts("lictor_export_events_lost_total")
def test_a_full_disk_costs_whole_lines_and_writing_resumes(tiny_disk: Path) -> None:
    path = tiny_disk / "events.json"
    file = RotatedFile(path, Rotation(max_bytes=1 << 30))
    lost = file.write(b"".join(b"%05d\n" % n for n in range(20_000)), 20_000)
    kept = path.read_bytes()
    assert kept.endswith(b"\n")
    assert lost == 20_000 - kept.count(b"\n")
    assert 0 < lost < 20_000
    os.truncate(path, 0)
    assert file.write(b"again\n", 1) == 0
    file.close()
    assert path.read_bytes().endswith(b"again\n")
