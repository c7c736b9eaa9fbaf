"""Each file of bpf/read/ run alone: what it must read, and everything that can be wrong with an address or a length."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import ENTRY, FAULT, RETURN, TRUNCATED, Runs

from lictor.catalog.types import TYPES, Family
from lictor.policy.plan import Read, Source, Step
from lictor.sensors.encode import TYPES as KERNEL_TYPES
from lictor.track.container import container_id

pytestmark = pytest.mark.kernel
PAGE = mmap.PAGESIZE
ROOM = 4096  # TEXT_ROOM, bpf/read/field.h
BAD_DESCRIPTOR, NOT_SUPPORTED, READ_AGAIN, DELETED = 9, 95, 16, 8
# Nothing; a page that no process has; not canonical; the last page of the kernel's half.
NOWHERE = (0, 16, 1 << 63, 2**64 - 4096)


def argument(kind: str, **more: object) -> Read:
    return Read(slot=0, type=kind, source=Source.ARGUMENT, **more)  # type: ignore[arg-type]


LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p


@contextmanager
def pages(count: int) -> Iterator[int]:
    """Memory of this process that nobody has touched, with nothing behind it; gives its address."""
    size = (count + 1) * PAGE
    address = LIBC.mmap(None, ctypes.c_size_t(size), 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    assert not LIBC.mprotect(ctypes.c_void_p(address), count * PAGE, mmap.PROT_READ | mmap.PROT_WRITE)
    yield address
    LIBC.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))


@dataclass(frozen=True)
class Text:
    name: str
    data: bytes
    wanted: bytes | None = None
    flags: int = 0


@pytest.mark.parametrize(
    "row",
    [
        Text("empty", b"\0", b""),
        Text("one", b"x\0y", b"x"),
        Text("bytes that are no text", b"\xff\x01\x80\n\0", b"\xff\x01\x80\n"),
        Text("the longest path", b"a" * 4095 + b"\0", b"a" * 4095),
        Text("as long as there is room", b"a" * 4096 + b"\0", b"a" * 4096, TRUNCATED),
        Text("longer", b"a" * 4097 + b"\0", b"a" * 4096, TRUNCATED),
        Text("very long", b"a" * 10000 + b"\0", b"a" * 4096, TRUNCATED),
    ],
    ids=lambda row: row.name,
)
def test_strings(runs: Runs, row: Text) -> None:
    runs.use(argument("string"))
    held = ctypes.create_string_buffer(row.data)
    for address in (runs.put(row.data), ctypes.addressof(held)):
        found = runs.read(address)
        assert (found.error, found.data, found.flags) == (0, row.wanted, row.flags)


def test_a_string_without_end(runs: Runs) -> None:
    """The last bytes before memory that is not there: with an end it is read, without it is no string."""
    runs.use(argument("string", user=True))
    with pages(1) as address:
        ctypes.memset(address, ord("x"), PAGE)
        assert runs.read(address + PAGE - 8).error == FAULT
        ctypes.memset(address + PAGE - 1, 0, 1)
        assert runs.read(address + PAGE - 8).data == b"x" * 7


def test_memory_that_is_not_resident(runs: Runs) -> None:
    """At entry it cannot be told; when the call returns it is read again, and marked."""
    for again in (False, True):
        runs.use(argument("string", user=True), again=again)
        with pages(1) as address:
            found = runs.read(address)
            assert (found.error, found.undecided) == (FAULT, again)
            ctypes.memmove(address, b"there\0", 6)
            found = runs.read(address, phase=RETURN)
            assert (found.error, found.data, found.flags) == (0, b"there", READ_AGAIN if again else 0)


@pytest.mark.parametrize("kind", [one.name for one in TYPES.values() if one.memory])
def test_addresses_of_the_kernel_are_not_followed_for_a_process(runs: Runs, kind: str) -> None:
    if kind not in KERNEL_TYPES:
        pytest.skip("not a type of its own in the kernel")
    runs.use(argument(kind, user=True))
    assert runs.read(runs.put(b"secret of the kernel\0"), 4).error == FAULT


POINTERS = [
    one.name
    for one in TYPES.values()
    if one.name in KERNEL_TYPES
    and one.family not in (Family.NUMBER, Family.SYSCALL, Family.NOTHING)
    and one.name not in ("fd", "const_buf", "data_loc")
]


@pytest.mark.parametrize("kind", POINTERS)
@pytest.mark.parametrize("address", NOWHERE)
def test_addresses_that_lead_nowhere(runs: Runs, kind: str, address: int) -> None:
    runs.use(argument(kind, size_index=1) if TYPES[kind].sized else argument(kind))
    found = runs.read(address, 8)
    assert (found.error, found.data) == (FAULT, b"")


@pytest.mark.parametrize(
    ("size", "length", "flags"),
    [(0, 0, 0), (1, 1, 0), (7, 7, 0), (ROOM - 1, ROOM - 1, 0), (ROOM, ROOM, 0), (ROOM + 1, ROOM, TRUNCATED),
     (1 << 40, ROOM, TRUNCATED), (2**64 - 1, ROOM, TRUNCATED)],
)  # fmt: skip
def test_buffers(runs: Runs, size: int, length: int, flags: int) -> None:
    data = os.urandom(ROOM + 64)
    runs.use(argument("char_buf", size_index=1))
    found = runs.read(runs.put(data), size)
    assert (found.error, found.data, found.flags, found.extra) == (0, data[:length], flags, size)


def test_a_buffer_that_ends_early(runs: Runs) -> None:
    runs.use(argument("char_buf", size_index=1, user=True))
    with pages(1) as address:
        ctypes.memset(address, 7, PAGE)
        assert runs.read(address + PAGE - 8, 8).data == b"\7" * 8
        assert runs.read(address + PAGE - 8, 9).error == FAULT


@pytest.mark.parametrize(("result", "length"), [(3, 3), (0, 0), (-14, 0), (100, 8)])
def test_a_buffer_that_the_call_fills(runs: Runs, result: int, length: int) -> None:
    """No more of it than the call says it wrote, nor than there was room for."""
    runs.use(argument("char_buf", size_index=1, at_return=True))
    found = runs.read(runs.put(b"12345678abcdefgh"), 8, phase=RETURN, result=result)
    assert found.data == b"12345678"[:length]


def vector(*parts: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("<QQ", *part) for part in parts)


@pytest.mark.parametrize("count", [0, 1, 3, 63, 64])
def test_vectors(runs: Runs, count: int) -> None:
    data = os.urandom(count * 8)
    base = runs.put(data, 8192)
    parts = [(base + 8 * n, 8) for n in range(count)]
    runs.use(argument("char_iovec", size_index=1))
    found = runs.read(runs.put(vector(*parts)), count)
    assert (found.error, found.data, found.extra) == (0, data, 8 * count)


def test_vectors_with_empty_parts_and_bad_ones(runs: Runs) -> None:
    base = runs.put(b"whole", 8192)
    runs.use(argument("char_iovec", size_index=1))
    assert runs.read(runs.put(vector((16, 0), (base, 5), (0, 0))), 3).data == b"whole"
    assert runs.read(runs.put(vector((base, 5), (16, 1))), 2).error == FAULT
    with pages(1) as address:
        ctypes.memmove(address + PAGE - 16, vector((base, 5)), 16)
        assert runs.read(address + PAGE - 16, 1).data == b"whole"
        assert runs.read(address + PAGE - 16, 2).error == FAULT


def test_vectors_that_are_longer_than_what_is_kept(runs: Runs) -> None:
    data = os.urandom(6000)
    base = runs.put(data, 8192)
    runs.use(argument("char_iovec", size_index=1))
    found = runs.read(runs.put(vector((base, 3000), (base + 3000, 3000))), 2)
    assert (found.data, found.extra, found.flags) == (data[:ROOM], 6000, TRUNCATED)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(("text", "length"), [(b"", 1), (b"x", 2), (b"whole text", 11), (b"whole text", 4)])
def test_dynamic_fields(runs: Runs, relative: bool, text: bytes, length: int) -> None:
    at = 64
    word = (at - (12 if relative else 0)) | length << 16
    record = runs.put(bytes(8) + struct.pack("<I", word) + bytes(at - 12) + text + b"\0")
    runs.use(Read(slot=0, type="data_loc", source=Source.FIELD, index=8, dynamic=True, relative=relative))
    assert runs.read(record).data == text[:length]
    assert runs.read(16).error == FAULT


NUMBERS = {"int8": (1, True), "uint8": (1, False), "int16": (2, True), "uint16": (2, False), "int32": (4, True),
           "uint32": (4, False), "int64": (8, True), "uint64": (8, False)}  # fmt: skip


def as_number(value: int, bits: int, signed: bool) -> int:
    """A number of so many bits as the engine keeps it: 64 of them, a negative one in two's complement."""
    value &= (1 << bits) - 1
    return (value - (1 << bits) if signed and value >> (bits - 1) else value) & (1 << 64) - 1


@given(value=st.integers(0, 2**64 - 1), kind=st.sampled_from(sorted(NUMBERS)))
def test_numbers(runs: Runs, value: int, kind: str) -> None:
    size, signed = NUMBERS[kind]
    runs.use(argument(kind))
    assert runs.read(value).extra == as_number(value, 8 * size, signed)
    runs.use(Read(slot=0, type=kind, source=Source.FIELD, index=8, size=size))
    record = runs.put(bytes(8) + struct.pack("<Q", value))
    assert runs.read(record).extra == as_number(value, 8 * size, signed)


@given(value=st.integers(0, 2**64 - 1), bits=st.integers(1, 63), data=st.data(), signed=st.booleans())
def test_bit_fields(runs: Runs, value: int, bits: int, data: st.DataObject, signed: bool) -> None:
    shift = data.draw(st.integers(0, 64 - bits))
    kind = "int64" if signed else "uint64"
    runs.use(argument(kind, steps=(Step(offset=8),), size=8, bits=bits, shift=shift))
    at = runs.put(bytes(8) + struct.pack("<Q", value))
    assert runs.read(at).extra == as_number(value >> shift, bits, signed)


@given(offsets=st.lists(st.integers(0, 120).map(lambda n: 8 * n), min_size=1, max_size=15), broken=st.integers(0, 20))
def test_steps(runs: Runs, offsets: list[int], broken: int) -> None:
    """From one struct to the next; a pointer that is missing on the way is told by its place."""
    steps = [Step(offset=offset, dereference=True) for offset in offsets]
    for number, offset in enumerate(offsets):
        following = runs.kernel + 1024 * (number + 1)
        runs.put(struct.pack("<Q", 0 if number == broken else following), 1024 * number + offset)
    runs.put(b"found\0", 1024 * len(offsets))
    runs.use(argument("string", steps=tuple(steps)))
    found = runs.read(runs.kernel)
    if broken < len(offsets):
        assert (found.error, found.extra >> 32) == (FAULT, broken + 1)
    else:
        assert (found.error, found.data) == (0, b"found")


def test_memory_of_a_process_leads_to_none_of_the_kernel(runs: Runs) -> None:
    secret = runs.put(b"secret\0", 2048)
    pointer = ctypes.c_uint64(secret)
    steps = (Step(offset=0, dereference=True), Step(offset=0, dereference=True))
    runs.use(argument("string", steps=steps, user=True))
    assert runs.read(ctypes.addressof(pointer)).error == FAULT


def test_descriptors(runs: Runs, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 100] * 20)
    deep.mkdir(parents=True)
    name = deep / "file"
    name.touch()
    runs.use(argument("fd"))
    fd = os.open(name, os.O_RDONLY)
    shown = os.readlink(f"/proc/self/fd/{fd}").encode()
    found = runs.read(fd)
    assert (found.error, found.data, found.extra & 0o777) == (0, shown, name.stat().st_mode & 0o777)
    name.unlink()
    found = runs.read(fd)
    assert (found.data, found.flags) == (shown + b" (deleted)", DELETED)
    os.close(fd)
    for number in (fd, -1, 1 << 20, 1 << 31, 2**32 - 1):
        assert runs.read(number).error == BAD_DESCRIPTOR


def test_socket_addresses(runs: Runs) -> None:
    runs.use(argument("sockaddr"))
    port = struct.pack(">H", 8080)
    four = struct.pack("<H", socket.AF_INET) + port + socket.inet_aton("10.1.2.3")
    six = struct.pack("<H", socket.AF_INET6) + port + bytes(4) + socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    for data, family, number, address in (
        (four, socket.AF_INET, 8080, four[4:8]),
        (six, socket.AF_INET6, 8080, six[8:24]),
        (b"\0\0" + four[2:], 0, 8080, four[4:8]),
        (struct.pack("<H", 17) + port, 17, 0, b""),
    ):
        found = runs.read(runs.put(data + bytes(32)))
        assert found.error == 0
        assert {family, number} <= set(struct.unpack("<10H", found.data[:4] + found.data[-16:])) | {0}
        assert address in found.data
    with pages(1) as end:
        for data, whole in ((four[:8], 8), (six, 24)):
            ctypes.memmove(end + PAGE - whole, data, whole)
            assert runs.read(end + PAGE - whole).error == 0
            ctypes.memmove(end + PAGE - whole + 1, data, whole - 1)
            assert runs.read(end + PAGE - whole + 1).error == FAULT


@pytest.mark.parametrize(
    ("name", "size", "wanted"),
    [
        (b"/run/x\0", 9, b"/run/x"),
        (b"p" * 108, 110, b"p" * 108),
        (b"p" * 107 + b"\0", 110, b"p" * 107),
        (b"\0abc", 6, b"@abc"),
        (b"\0a\0c", 6, b"@a\0c"),
        (b"\0", 3, b"@"),
        (b"\0", 2, b"@"),
        (b"\0" + b"n" * 107, 110, b"@" + b"n" * 107),
        (b"\0" + b"n" * 108, 111, b"@"),
    ],
)
def test_unix_addresses(runs: Runs, name: bytes, size: int, wanted: bytes) -> None:
    runs.use(argument("sockaddr_un"))
    at = runs.put(struct.pack("<H", socket.AF_UNIX) + name + bytes(1))
    found = runs.read(at, size)
    assert (found.error, found.data) == (0, wanted)


def test_unix_addresses_of_another_family(runs: Runs) -> None:
    runs.use(argument("sockaddr_un"))
    found = runs.read(runs.put(struct.pack("<H", socket.AF_INET) + bytes(32)), 16)
    assert (found.error, found.extra, found.data) == (0, socket.AF_INET, b"")


@given(value=st.integers(0, 2**64 - 1))
def test_capability_sets(runs: Runs, value: int) -> None:
    runs.use(argument("kernel_cap_t"))
    assert runs.read(runs.put(struct.pack("<Q", value))).extra == value


def test_values_that_find_no_room(runs: Runs) -> None:
    """Room is kept for the heads of all that may come: a value that would take it is an error, not a shorter one."""
    runs.use(*(Read(slot=slot, type="char_buf", source=Source.ARGUMENT, size_index=1) for slot in range(16)))
    found = runs.read(runs.put(bytes(ROOM)), ROOM, slot=15, phase=ENTRY)
    assert (found.error, len(found.data)) == (0, ROOM)


POD = re.compile(
    r"(?:^|-)pod(?:[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?\Z"
)
HEX = st.text("0123456789abcdef", min_size=63, max_size=65) | st.text("0123456789abcdefg", min_size=64, max_size=64)
UID = st.from_regex(r"[0-9a-f]{8}([-_.][0-9a-f]{4}){3}[-_][0-9a-f]{11,12}", fullmatch=True) | st.text(
    "0123456789abcdefA", min_size=31, max_size=33
)
NAMES = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "docker-", "libpod-conmon-", "conmon-", "x", "a:b:", "pod", "kubepods-pod", "tripod"])
        | st.text("podcn-:", max_size=90),
        HEX | UID,
        st.sampled_from(["", ".scope", ".slice", ".service", "x"]),
    ),
) | st.text(st.characters(min_codepoint=1, max_codepoint=126, exclude_characters="/\n"), min_size=1, max_size=200)


@given(name=NAMES)
def test_names_of_cgroups(runs: Runs, name: str) -> None:
    """The kernel's half and regular expressions agree on what a cgroup is."""
    wanted = 2 if container_id(f"/{name}") else 1 if POD.search(name) else 0
    assert runs.workload(name.encode()) == wanted
