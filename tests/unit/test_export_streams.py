"""Unix sockets and named pipes: readers that come late, go away, and do not read."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import threading
from pathlib import Path

import pytest
from receivers import DEADLINE_S, lines, number_of, running, until


class Reader:
    """Accepts one connection after the other and keeps what it reads, until told to stop."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.numbers: list[int] = []
        self.gaps: list[bytes] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._listening.settimeout(DEADLINE_S)
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        connection, _ = self._listening.accept()
        self._connection = connection
        for line in connection.makefile("rb"):
            if b"rate_limit_info" in line:
                self.gaps.append(line)
            elif line.endswith(b"\n"):
                self.numbers.append(number_of(line))

    def die(self) -> None:
        if self._connection is not None:
            self._connection.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(DEADLINE_S)


def test_a_unix_socket_that_comes_late_and_dies_under_load(tmp_path: Path) -> None:
    path = tmp_path / "reader.sock"

    async def main() -> None:
        async with running(f"unix://{path}", tmp_path / "spool") as one:
            one.delivery.take(lines(0, 100))
            await until(lambda: one.count("retries") > 0, "a failed attempt")
            first = Reader(path)
            await until(lambda: len(first.numbers) >= 100, "what waited")
            for start in range(100, 1100, 10):
                one.delivery.take(lines(start, 10))
                if start == 500:
                    first.die()
            second = Reader(path)
            await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
            second.die()
            assert set(first.numbers) | set(second.numbers) == set(range(1100))
            # In order, and again only what the first may not have read.
            assert second.numbers == sorted(second.numbers)
            assert (one.count("taken"), one.count("lost"), one.count("rejected")) == (1100, 0, 0)
            assert one.count("delivered") == 1100

    asyncio.run(main())


@pytest.mark.accounts("lictor_export_events_lost_total")
def test_a_full_spool_is_a_gap_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "reader.sock"

    async def main() -> None:
        async with running(f"unix://{path}", tmp_path / "spool", limit=200_000) as one:
            for start in range(0, 1000, 10):
                one.delivery.take(lines(start, 10, "x" * 300))
            lost = one.count("lost")
            assert 0 < lost < 1000
            kept: list[bytes] = []
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(str(path))
                listening.listen()

                def read() -> None:
                    connection, _ = listening.accept()
                    kept.extend(connection.makefile("rb"))

                reader = threading.Thread(target=read, daemon=True)
                reader.start()
                await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
                one.delivery.take(lines(5000, 1))
                await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
            gaps = [line for line in kept if b"rate_limit_info" in line]
            assert len(gaps) == 1
            assert f'"number_of_dropped_process_events":"{lost}"'.encode() in gaps[0]
            assert b"the spool is full" in gaps[0]
            events = [number_of(line) for line in kept if b"rate_limit_info" not in line]
            assert events == [*range(1000 - lost), 5000]
            assert kept.index(gaps[0]) == 1000 - lost

    asyncio.run(main())


@pytest.mark.accounts("lictor_export_damaged_bytes_total")
def test_what_the_disk_does_not_give_back_is_counted_and_told(tmp_path: Path) -> None:
    path, spool = tmp_path / "reader.sock", tmp_path / "spool"

    async def main() -> None:
        async with running(f"unix://{path}", spool) as one:
            one.delivery.take(lines(0, 100))
            await until(lambda: one.count("retries") > 0, "a failed attempt")
        (kept,) = spool.glob("*.events")
        size = kept.stat().st_size
        with kept.open("r+b") as file:
            file.seek(size // 2)
            file.write(b"?")
        # A later segment: what is damaged at the very end would be cut off as half written.
        shutil.copy(kept, kept.with_name("000000000009.events"))
        with kept.with_name("000000000009.events").open("r+b") as file:
            file.truncate(0)
        reader = Reader(path)
        async with running(f"unix://{path}", spool) as one:
            one.delivery.take(lines(100, 100))
            await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
            assert one.count("damaged_bytes") == size
            assert one.count("delivered") == 101
        reader.die()
        assert reader.numbers == list(range(100, 200))
        assert [f"{size} bytes of the spool".encode() in gap for gap in reader.gaps] == [True]

    asyncio.run(main())


def test_what_was_not_delivered_is_delivered_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "reader.sock"

    async def first() -> None:
        async with running(f"unix://{path}", tmp_path / "spool") as one:
            one.delivery.take(lines(0, 500))
            await until(lambda: one.count("retries") > 0, "a failed attempt")

    async def second() -> None:
        reader = Reader(path)
        async with running(f"unix://{path}", tmp_path / "spool") as one:
            await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
        reader.die()
        assert reader.numbers == list(range(500))

    asyncio.run(first())
    asyncio.run(second())


def test_a_reader_that_does_not_read_has_nothing(tmp_path: Path) -> None:
    path = tmp_path / "reader.sock"

    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            async with running(f"unix://{path}", tmp_path / "spool") as one:
                one.delivery.take(lines(0, 10))
                connection, _ = await asyncio.to_thread(listening.accept)
                # It is all in the socket's buffer, and none of it counts.
                await until(lambda: one.count("connected") == 1, "the connection")
                await asyncio.sleep(0)
                assert one.count("delivered") == 0
                reading = connection.makefile("rb")
                got = [number_of(await asyncio.to_thread(reading.readline)) for _ in range(10)]
                await asyncio.wait_for(one.delivery.until_empty(), DEADLINE_S)
                assert got == list(range(10))
                assert one.count("delivered") == 10
                connection.close()

    asyncio.run(main())


def test_a_named_pipe_whose_reader_changes(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def read(last: int) -> list[int]:
        # A pipe ends when its writer notices that the reader before us is gone; readers open it again.
        found: list[int] = []
        while last not in found:
            with path.open("rb") as pipe:
                while last not in found and (line := pipe.readline()).endswith(b"\n"):
                    found.append(number_of(line))
        return found

    async def main() -> None:
        async with running(f"fifo://{path}", tmp_path / "spool") as one:
            one.delivery.take(lines(0, 50))
            await until(lambda: one.count("retries") > 0, "a failed attempt: nobody reads")
            assert await asyncio.to_thread(read, 49) == list(range(50))
            one.delivery.take(lines(50, 50))
            # What the first reader took in its last moment may come again.
            assert set(range(50, 100)) <= set(await asyncio.to_thread(read, 99))

    asyncio.run(main())


def test_a_file_is_no_named_pipe(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "file"
    path.write_text("")

    async def main() -> None:
        async with running(f"fifo://{path}", tmp_path / "spool") as one:
            await until(lambda: one.count("retries") > 0, "the refusal")

    asyncio.run(main())
    assert path.read_text() == ""
    assert "is no named pipe" in caplog.text
