"""Records in, events out: who came from whom, in every order in which the kernel can tell it."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lictor.clock import WallClock
from lictor.kernel.objects import Object, object_path
from lictor.model.event import Event
from lictor.model.process import Process
from lictor.track.image import Detail, Image, ImageBuilder
from lictor.track.processes import TICK_NS, Tracker
from lictor.wire.records import NOTHING_CHAINED, Chunk, Decoder, Exec, Field, NamespaceInodes, ProcessFlag

with Object(object_path("process")) as _object:
    DECODER = Decoder(_object.btf)
    MEMBERS = {member.name: member for member in _object.btf.struct("exec_record")}
    FIXED = _object.btf.size_of("exec_record")

CLONED, UNKNOWN = int(ProcessFlag.CLONED), int(ProcessFlag.UNKNOWN)
Key = tuple[int, int]  # tgid, ktime


def make_tracker(chunk_budget: int = 16 << 20) -> Tracker:
    builder = ImageBuilder(DECODER, WallClock(0), Detail("node"), NamespaceInodes(*range(1, 11)))
    tracker = Tracker(builder, chunk_budget)
    tracker.cgroups.learn(0, "/")
    return tracker


def exec_record(key: Key, *, parent: Key = (0, 0), previous: int = 0, flags: int = 0, **more: Any) -> Exec:
    """An exec as the decoder gives it: file name and executable as `binary`, arguments from `argv`."""
    binary: bytes = more.get("binary", b"/bin/x")
    argv: bytes = b"".join(word + b"\0" for word in more.get("argv", (binary,)))
    paths = {Field.FILENAME: binary, Field.EXE: binary, Field.CWD: b"/", Field.CGROUP: b""}
    fixed = bytearray(FIXED)
    lengths = MEMBERS["inline_len"]
    for field, value in paths.items():
        struct.pack_into("<H", fixed, lengths.offset + 2 * field, len(value))
    struct.pack_into("<I", fixed, MEMBERS["process_flags"].offset, flags)
    struct.pack_into("<I", fixed, MEMBERS["nlink"].offset, 1)
    struct.pack_into("<Q", fixed, MEMBERS["cgroup_id"].offset, more.get("cgroup_id", 0))
    common = bytes(fixed[lengths.offset + 2 * Field.CGROUP :]) + b"".join(paths.values())
    chained = bytearray(NOTHING_CHAINED)
    if "chained_args" in more:
        struct.pack_into("<I", chained, 4 * Field.ARGS, more["chained_args"])
        argv = b""
    total = more.get("chained_args", len(argv))
    tgid, ktime = key
    return ktime, ktime, tgid, previous, parent[1], parent[0], total, 0, bytes(chained), common, argv, b""


def process(event: Event | None) -> Process:
    assert event is not None
    assert event.process is not None
    return event.process.process


def parent_of(event: Event | None) -> str:
    assert event is not None
    return event.parent.process.binary if event.parent is not None else ""


def exec_id(key: Key) -> str:
    return base64.b64encode(f"node:{key[1]}:{key[0]}".encode()).decode()


def test_a_parent_nobody_saw_is_shown_by_its_key() -> None:
    tracker = make_tracker()
    started = tracker.exec(exec_record((11, 300), parent=(10, 100), previous=200, flags=UNKNOWN, binary=b"/bin/ls"))
    again = tracker.exec(exec_record((12, 310), parent=(10, 100), previous=210, flags=UNKNOWN, binary=b"/bin/ls"))
    for event in (started, again):
        assert event.parent is not None
        parent = event.parent.process
        assert (parent.exec_id, parent.pid, parent.binary, parent.flags) == (exec_id((10, 100)), 10, "", "unknown")
    assert tracker.misses == 1  # found the second time
    orphan = tracker.exec(exec_record((13, 320)))
    assert orphan.parent is None


def test_fork_exec_exit() -> None:
    tracker = make_tracker()
    tracker.exec(exec_record((10, 100), binary=b"/bin/sh"))
    tracker.clone((200, 200, 11, 100, 10, CLONED))
    started = tracker.exec(exec_record((11, 300), parent=(10, 100), previous=200, flags=CLONED, binary=b"/bin/ls"))
    ended = tracker.exit((400, 300, 11, 100, 10, 0, 3 << 8))
    assert (process(started).binary, parent_of(started)) == ("/bin/ls", "/bin/sh")
    assert process(started).parent_exec_id == exec_id((10, 100))
    assert process(ended) == process(started)
    assert parent_of(ended) == "/bin/sh"


def test_a_second_exec_has_the_first_as_parent() -> None:
    tracker = make_tracker()
    tracker.exec(exec_record((10, 100), binary=b"/bin/sh"))
    second = tracker.exec(exec_record((10, 200), previous=100, binary=b"/bin/ls"))
    assert parent_of(second) == "/bin/sh"


def test_an_id_that_is_used_again_is_another_process() -> None:
    tracker = make_tracker()
    tracker.exec(exec_record((1, 1), binary=b"/init"))
    for start in range(10, 1000, 10):
        tracker.clone((start, start, 77, 1, 1, CLONED))
        begun = tracker.exec(exec_record((77, start + 1), parent=(1, 1), previous=start, flags=CLONED))
        ended = tracker.exit((start + 2, start + 1, 77, 1, 1, 0, 0))
        assert process(begun).exec_id == process(ended).exec_id == exec_id((77, start + 1))
        assert parent_of(begun) == parent_of(ended) == "/init"


def test_an_id_used_again_after_a_lost_exit() -> None:
    tracker = make_tracker()
    tracker.exec(exec_record((1, 1), binary=b"/init"))
    tracker.exec(exec_record((77, 10), parent=(1, 1), binary=b"/old"))
    tracker.clone((20, 20, 77, 1, 1, CLONED))
    ended = tracker.exit((30, 20, 77, 1, 1, CLONED, 0))
    assert process(ended).binary == "/init"
    assert process(ended).exec_id == exec_id((77, 20))


def test_a_lost_clone_is_made_up_for_by_the_exec() -> None:
    tracker = make_tracker()
    tracker.exec(exec_record((10, 100), binary=b"/bin/sh"))
    started = tracker.exec(exec_record((11, 300), parent=(10, 100), previous=200, flags=CLONED))
    assert parent_of(started) == "/bin/sh"


def test_a_parent_that_has_ended_is_still_named() -> None:
    tracker = make_tracker()
    tracker.exec(exec_record((10, 100), binary=b"/bin/sh"))
    tracker.clone((200, 200, 11, 100, 10, CLONED))
    tracker.exit((210, 100, 10, 0, 0, 0, 0))
    for number in range(5000):  # far beyond what is kept of the dead
        tracker.exec(exec_record((5000 + number, 1000 + number)))
        tracker.exit((0, 1000 + number, 5000 + number, 0, 0, 0, 0))
    started = tracker.exec(exec_record((11, 9000), parent=(10, 100), previous=200, flags=CLONED))
    assert parent_of(started) == "/bin/sh"
    assert len(tracker) < 3000


def test_an_exit_is_told_once() -> None:
    tracker = make_tracker()
    tracker.exec(exec_record((10, 100)))
    assert tracker.exit((200, 100, 10, 0, 0, 0, 0)) is not None
    assert tracker.exit((200, 100, 10, 0, 0, 0, 0)) is None


def test_a_process_without_a_table_entry_keeps_its_image() -> None:
    """Its exec names it by the time of the exec, its end by its birth; and every thread may tell of the end."""
    tracker = make_tracker()
    tracker.exec(exec_record((1, 1), binary=b"/init"))
    tracker.clone((50, 50, 10, 1, 1, CLONED))
    begun = tracker.exec(exec_record((10, 100), parent=(1, 1), previous=40, flags=UNKNOWN, binary=b"/bin/a"))
    ended = tracker.exit((200, 40, 10, 0, 0, UNKNOWN, 0))
    assert parent_of(begun) == parent_of(ended) == "/init"
    assert process(ended) == process(begun)
    assert tracker.exit((201, 40, 10, 0, 0, UNKNOWN, 0)) is None


@pytest.mark.accounts("tetragon_process_cache_misses_total")
def test_who_is_not_known_is_counted_and_told_all_the_same() -> None:
    tracker = make_tracker()
    tracker.exec(exec_record((10, 100)))
    known = [tracker.exec(exec_record((11 + n, 200), parent=(10, 100), flags=CLONED)) for n in range(5)]
    orphans = [tracker.exec(exec_record((31 + n, 200), parent=(21 + n, 100), flags=CLONED)) for n in range(7)]
    for number in range(5):
        tracker.exit((300, 200, 11 + number, 100, 10, 0, 0))
    strangers = [tracker.exit((300, 200, 41 + n, 100, 10, 0, 0)) for n in range(3)]
    assert all(process(event).flags for event in (*known, *orphans, *strangers))
    assert (tracker.misses, tracker.forgotten) == (len(orphans), len(strangers))


@pytest.mark.accounts("lictor_unnamed_cgroups_total")
def test_a_cgroup_whose_path_was_not_told() -> None:
    tracker = make_tracker()
    tracker.cgroups.learn(7, f"/machine/{'a' * 64}")
    events = [tracker.exec(exec_record((10 + n, 100), cgroup_id=7 + n % 2)) for n in range(9)]
    named = [event for event in events if process(event).docker]
    assert len(named) == 5
    assert tracker.unnamed_cgroups == len(events) - len(named)


def test_the_end_of_nobody_known() -> None:
    tracker = make_tracker()
    ended = tracker.exit((200, 100, 10, 7, 1, 0, 9))
    assert process(ended).flags == "unknown"
    assert process(ended).exec_id == exec_id((10, 100))
    assert tracker.forgotten == 1


def test_births_that_were_rounded_on_one_side_match() -> None:
    tracker = make_tracker()
    tracker.add_scanned(Image(10, 5 * TICK_NS, None, 0, tracker.builder.clone_of(Image(10, 5 * TICK_NS, None))))
    started = tracker.exec(exec_record((10, 9 * TICK_NS), previous=5 * TICK_NS + 1234))
    assert started.parent is not None
    assert tracker.misses == 0


def test_a_chain_of_execs_does_not_keep_all_it_was() -> None:
    tracker = make_tracker()
    tracker.exec(exec_record((10, 1)))
    for now in range(2, 10_000):
        event = tracker.exec(exec_record((10, now), previous=now - 1))
    image: Image | None = tracker.find(10, now)
    depth = 0
    while image is not None:
        image, depth = image.parent, depth + 1
    assert depth < 200
    assert process(event).parent_exec_id == exec_id((10, now - 1))
    assert len(tracker) < 3000


def test_arguments_come_from_the_chunks() -> None:
    tracker = make_tracker()
    words = b"/bin/x\0" + b"y" * 9000 + b"\0"
    for offset in range(0, len(words), 4096):
        piece = words[offset : offset + 4096]
        tracker.chunks.add(Chunk(100, 10, Field.ARGS, offset, len(piece)), piece)
    event = tracker.exec(exec_record((10, 100), chained_args=len(words)))
    assert process(event).arguments == "y" * 9000
    assert "truncArgs" not in process(event).flags
    assert tracker.chunks.held == 0


def test_a_chunk_that_was_lost_is_admitted() -> None:
    tracker = make_tracker()
    tracker.chunks.add(Chunk(100, 10, Field.ARGS, 0, 4096), b"/bin/x\0" + b"y" * 4089)
    event = tracker.exec(exec_record((10, 100), chained_args=9000))
    assert "truncArgs" in process(event).flags
    assert event.process is not None
    assert event.process.extra is not None
    assert event.process.extra.truncated_bytes == 9000 - 4096


@pytest.mark.accounts("lictor_argument_bytes_evicted_total")
def test_chunks_that_nobody_claims_stay_within_the_budget() -> None:
    tracker = make_tracker(chunk_budget=1 << 20)
    for tgid in range(1000):
        tracker.chunks.add(Chunk(1, tgid, Field.ARGS, 0, 4096), bytes(4096))
    assert tracker.chunks.held <= 1 << 20
    assert tracker.chunks.evicted_bytes == 1000 * 4096 - tracker.chunks.held


def test_templates_are_bounded() -> None:
    tracker = make_tracker()
    for number in range(5000):
        tracker.exec(exec_record((10, number + 1), previous=number, binary=f"/bin/{number}".encode()))
    assert len(tracker._templates) <= 2048


def test_a_memory_ceiling_costs_text_but_no_process() -> None:
    tracker = make_tracker()
    long = b"y" * 20_000
    begun = tracker.exec(exec_record((10, 100), binary=b"/bin/sh", argv=(b"sh", long)))
    assert begun.process is not None
    assert long.decode() in begun.process.json()
    tracker.shed()
    assert long.decode() in begun.process.json()
    tracker.keep_long_arguments(False)
    child = tracker.exec(exec_record((11, 200), parent=(10, 100), flags=CLONED, binary=b"/bin/ls"))
    assert parent_of(child) == "/bin/sh"
    assert child.parent is not None
    assert len(child.parent.process.arguments) < 5000
    assert "truncArgs" in child.parent.process.flags
    tracker.keep_long_arguments(True)
    again = tracker.exec(exec_record((12, 300), binary=b"/bin/sh", argv=(b"sh", long)))
    assert len(process(again).arguments) == 20_000


@pytest.mark.accounts("lictor_exits_missed_total")
def test_a_process_that_vanished_is_let_go_at_the_second_look() -> None:
    tracker = make_tracker()
    tracker.exec(exec_record((10, 100)))
    tracker.exec(exec_record((11, 100)))
    tracker.audit({11})
    assert tracker.find(10, 100) is not None
    tracker.exec(exec_record((12, 100)))
    tracker.audit({11, 12})
    assert tracker.ends_missed == 1
    found = tracker.find(10, 100)
    assert found is not None
    assert found.exited
    assert len(tracker) == 3


class Machine(RuleBasedStateMachine):
    """A machine with few ids: forks, execs and ends in any order. The tracker must agree with plain book-keeping."""

    @initialize()
    def boot(self) -> None:
        self.tracker = make_tracker()
        self.now = 1
        self.live: dict[int, dict[str, Any]] = {}
        self.tracker.exec(exec_record((1, 1), binary=b"/init"))
        self.live[1] = {"ktime": 1, "binary": "/init", "parent": (0, 0), "cloned": False}

    def tick(self) -> int:
        self.now += 1
        return self.now

    @rule(data=st.data(), child=st.integers(2, 6))
    def fork(self, data: st.DataObject, child: int) -> None:
        if child in self.live:
            return
        creator = data.draw(st.sampled_from(sorted(self.live)))
        above = self.live[creator]
        now = self.tick()
        self.tracker.clone((now, now, child, above["ktime"], creator, CLONED))
        self.live[child] = {
            "ktime": now,
            "binary": above["binary"],
            "parent": (creator, above["ktime"]),
            "parent_binary": above["binary"],
            "cloned": True,
        }

    @rule(data=st.data(), name=st.sampled_from(["/bin/a", "/bin/b"]))
    def exec(self, data: st.DataObject, name: str) -> None:
        tgid = data.draw(st.sampled_from(sorted(self.live)))
        was = self.live[tgid]
        now = self.tick()
        record = exec_record(
            (tgid, now),
            parent=was["parent"],
            previous=was["ktime"],
            flags=CLONED if was["cloned"] else 0,
            binary=name.encode(),
        )
        event = self.tracker.exec(record)
        wanted = was["parent_binary"] if was["cloned"] else was["binary"]
        assert (process(event).binary, parent_of(event)) == (name, wanted)
        above = was["parent"] if was["cloned"] else (tgid, was["ktime"])
        assert process(event).parent_exec_id == exec_id(above)
        self.live[tgid] = was | {"ktime": now, "binary": name, "cloned": False, "parent_binary": wanted}

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        candidates = sorted(set(self.live) - {1})
        if not candidates:
            return
        tgid = data.draw(st.sampled_from(candidates))
        was = self.live.pop(tgid)
        flags = CLONED if was["cloned"] else 0
        event = self.tracker.exit((self.tick(), was["ktime"], tgid, *reversed(was["parent"]), flags, 0))
        assert process(event).binary == was["binary"]
        assert process(event).exec_id == exec_id((tgid, was["ktime"]))
        assert parent_of(event) == was["parent_binary"]

    @invariant()
    def nobody_is_missing(self) -> None:
        if hasattr(self, "tracker"):
            assert self.tracker.misses <= 1  # init's own exec has no parent
            assert self.tracker.forgotten == 0


TestMachine = Machine.TestCase
TestMachine.settings = settings(settings.get_profile("lictor"), stateful_step_count=40)


@pytest.mark.parametrize("packed", [b"", b"\0" * 10])
def test_a_common_part_that_is_cut_is_refused(packed: bytes) -> None:
    with pytest.raises(struct.error):
        DECODER.common(packed)
