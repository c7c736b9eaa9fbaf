"""The export process: fed by the agent, killed, started anew, ended; and the URLs that lead to it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from receivers import DEADLINE_S, WRITER, event, number_of

from lictor.errors import LictorError
from lictor.export import targets
from lictor.export.exports import Exports
from lictor.export.feed import Feed
from lictor.export.worker import Plan


def plan(directory: Path, *urls: str) -> Plan:
    return Plan(urls, str(directory / "spool"), 64 << 20, "node-1", "", True, "info", "text", drain_s=0.2)


def feed(directory: Path, *urls: str, room: int = 8 << 20) -> Feed:
    return Feed(WRITER.line, targets.parse_all(urls), plan(directory, *urls), room)


class Listening:
    """A unix socket that is read by whoever asks for lines."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.socket.settimeout(DEADLINE_S)

    def numbers_until(self, last: int) -> list[int]:
        """Every event up to `last`, over as many connections as it takes."""
        found: list[int] = []
        while last not in found:
            connection, _ = self.socket.accept()
            connection.settimeout(DEADLINE_S)
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    found.append(number_of(line))
                    if found[-1] == last:
                        break
        return found


def test_a_killed_process_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "sock"
    listening = Listening(path)

    async def main() -> None:
        outlet = feed(tmp_path, f"unix://{path}")
        sink = Exports(WRITER.line, [outlet])
        for number in range(300):
            sink.accept([event(number)])
            if number == 150:
                os.kill(outlet.pid, signal.SIGKILL)
        numbers = await asyncio.to_thread(listening.numbers_until, 299)
        assert set(numbers) == set(range(300))
        assert (outlet.lost, outlet.restarts) == (0, 1)
        await sink.close()
        assert outlet.written == 300

    asyncio.run(main())
    listening.socket.close()


def test_it_has_no_rights_that_it_does_not_need(tmp_path: Path) -> None:
    async def main() -> None:
        outlet = feed(tmp_path, f"unix://{tmp_path}/sock")
        sink = Exports(WRITER.line, [outlet])
        sink.accept([event(1)])
        end = time.monotonic() + DEADLINE_S
        while outlet.written < 1 and time.monotonic() < end:
            await asyncio.sleep(0.01)
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{outlet.pid}/status").read_text().splitlines())
        await sink.close()
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == "1"
        assert os.geteuid() != 0 or int(status["CapBnd"], 16) == 0

    asyncio.run(main())


def test_what_is_not_delivered_at_the_end_waits_for_the_next_agent(tmp_path: Path) -> None:
    path = tmp_path / "sock"

    async def begin() -> None:
        sink = Exports(WRITER.line, [feed(tmp_path, f"unix://{path}")])
        sink.accept([event(number) for number in range(50)])
        await sink.close()

    async def end() -> None:
        listening = Listening(path)
        sink = Exports(WRITER.line, [feed(tmp_path, f"unix://{path}")])
        sink.accept([event(50)])
        assert await asyncio.to_thread(listening.numbers_until, 50) == list(range(51))
        await sink.close()
        listening.socket.close()

    asyncio.run(begin())
    asyncio.run(end())


def test_a_process_that_stands_still_never_slows_the_agent(tmp_path: Path) -> None:
    async def main() -> None:
        outlet = feed(tmp_path, f"unix://{tmp_path}/sock", room=100_000)
        sink = Exports(WRITER.line, [outlet])
        os.kill(outlet.pid, signal.SIGSTOP)
        before = time.thread_time()
        for number in range(5000):
            sink.accept([event(number)])
        assert time.thread_time() - before < 2.0
        assert outlet.lost > 0
        os.kill(outlet.pid, signal.SIGCONT)
        await sink.close()
        assert outlet.written + outlet.lost == 5000

    asyncio.run(main())


def test_targets_that_change_while_events_come(tmp_path: Path) -> None:
    """Each gets what came while it was a target; what one had not taken waits until it is one again."""
    first, second = Listening(tmp_path / "first"), Listening(tmp_path / "second")
    urls = {name: f"unix://{tmp_path}/{name}" for name in ("first", "second", "late")}

    async def main() -> None:
        outlet = feed(tmp_path, urls["first"], urls["late"])
        sink = Exports(WRITER.line, [outlet])
        sink.accept([event(number) for number in range(100)])
        assert await asyncio.to_thread(first.numbers_until, 99) == list(range(100))
        outlet.follow(targets.parse_all([urls["second"]]))
        while [name for name, _ in outlet.rows()] != [urls["second"]]:
            await asyncio.sleep(0.01)
        sink.accept([event(number) for number in range(100, 200)])
        assert await asyncio.to_thread(second.numbers_until, 199) == list(range(100, 200))
        outlet.follow([])
        while outlet.rows():
            await asyncio.sleep(0.01)
        sink.accept([event(200)])
        third = Listening(tmp_path / "late")
        outlet.follow(targets.parse_all([urls["late"]]))
        sink.accept([event(number) for number in range(300, 310)])
        late = await asyncio.to_thread(third.numbers_until, 309)
        assert [*dict.fromkeys(late)][:100] == list(range(100))
        assert set(late) >= {*range(300, 310)}
        await sink.close()
        assert outlet.lost == 0

    asyncio.run(main())


def test_what_stands_in_the_way_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(LictorError, match="set export-spool-dir"):
        feed(tmp_path, "unix:///x")
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(LictorError, match=r"pip install 'lictor\[nats\]'"):
        feed(tmp_path / "other", "nats://localhost/events")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sylog+tcp://h", r"did you mean syslog\+tcp://host:514"),
        ("/var/run/x", "use one of stdout"),
        ("unix://x/y", "write unix:///path"),
        ("unix:x", "write unix:///path"),
        ("stdout://x", "write stdout:"),
        ("syslog+tls://", r"write syslog\+tls://host:6514"),
        ("syslog+tcp://h:port", "cannot be read"),
        ("nats://h", "write nats://host:4222/subject"),
        ("https://u:secret@h/", "use the option password-file"),
        ("https://h/?formt=ecs", "did you mean format"),
        ("https://h/?format=xml", "use json, ecs, ocsf, cef"),
        ("https://h/?spool=much", "write a size such as 512M"),
        ("https://h/?cert=/x", "give both"),
        ("unix:///x?ca=/y", "has no option ca"),
        ("syslog+tcp://h?facility=99", "from 0 to 23"),
    ],
)
def test_urls_that_lead_nowhere(url: str, says: str) -> None:
    with pytest.raises(LictorError, match=says) as caught:
        targets.parse(url)
    assert "secret" not in str(caught.value)


def test_urls() -> None:
    kafka = targets.parse("kafka://a,b:9,[::1]:7/topic?format=ecs&spool=1G")
    assert kafka.hosts == (("a", 9092), ("b", 9), ("::1", 7))
    assert (kafka.path, kafka.format, kafka.spool_bytes) == ("topic", "ecs", 1 << 30)
    assert kafka.name == "kafka://a:9092,b:9,[::1]:7/topic"
    assert targets.parse("unix:///run/x.sock").name == "unix:///run/x.sock"
    assert targets.parse("stdout:").name == "stdout"
    # The spool stays the same when options change, and differs between targets.
    one, other = targets.parse("https://h/a?format=ecs"), targets.parse("https://h/b")
    assert one.directory == targets.parse("https://h/a").directory != other.directory
    with pytest.raises(LictorError, match="twice"):
        targets.parse_all(["https://h/a", "https://h/a?format=cef"])


def test_every_scheme_has_a_sender() -> None:
    from lictor.export.worker import sender_of

    for name, scheme in targets.SCHEMES.items():
        if name != "stdout":
            assert callable(sender_of(targets.parse(scheme.form)))
