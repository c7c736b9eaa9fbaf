"""The search by halves over lengths finds exactly what has a member as its beginning, or its end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lictor.policy.plan import SetKind
from lictor.sensors.numbers import Numbers
from lictor.sensors.sets import network_marks, search_marks, starts_of

texts = st.lists(st.text("ab", min_size=1, max_size=9).map(str.encode), min_size=1, max_size=12, unique=True)


def search(marks: dict[bytes, int], lengths: list[int], text: bytes, at_end: bool) -> bool:
    """As bpf/match/strings.h does."""
    low, high = 0, len(lengths)
    while low < high:
        middle = (low + high) // 2
        if lengths[middle] > len(text):
            high = middle
            continue
        part = text[len(text) - lengths[middle] :] if at_end else text[: lengths[middle]]
        mark = marks.get(part, 0)
        if not mark:
            high = middle
        elif mark & 1:
            return True
        else:
            low = middle + 1
    return False


def may_have_member(members: list[bytes], text: bytes, kind: SetKind) -> bool:
    """As may_have_part of bpf/match/strings.h."""
    least = min(map(len, members))
    bits = starts_of(kind, members, least)
    if len(text) < least:
        return False
    count = min(least, 8)
    word = text[:count] if kind is SetKind.PREFIXES else text[len(text) - count :]
    return bool(bits >> (int.from_bytes(word, "little") * 0x9E3779B97F4A7C15 % 2**64 >> 56) & 1)


@given(texts, st.text("ab", max_size=12).map(str.encode), st.booleans())
def test_no_text_with_a_member_is_left_out_by_its_first_bytes(members: list[bytes], text: bytes, at_end: bool) -> None:
    if any(text.endswith(member) if at_end else text.startswith(member) for member in members):
        assert may_have_member(members, text, SetKind.POSTFIXES if at_end else SetKind.PREFIXES)


@given(texts)
def test_no_member_is_left_out_by_its_last_bytes(members: list[bytes]) -> None:
    assert all(may_have_member(members, text, SetKind.STRINGS) for text in members)


def test_most_texts_are_left_out_by_their_first_bytes() -> None:
    members = [f"/etc/{number:04}".encode() for number in range(16)]
    others = [f"/run/{number:04}".encode() for number in range(1000)]
    assert sum(may_have_member(members, text, SetKind.PREFIXES) for text in others) < 150


@given(texts, st.text("ab", max_size=12).map(str.encode), st.booleans())
def test_search(members: list[bytes], text: bytes, at_end: bool) -> None:
    lengths = sorted({len(member) for member in members})
    found = search(search_marks(members, lengths, at_end), lengths, text, at_end)
    wanted = any(text.endswith(member) if at_end else text.startswith(member) for member in members)
    assert found == wanted


@given(st.lists(st.integers(1, 6), max_size=30), st.randoms(use_true_random=False))
def test_numbers_are_given_once_and_come_back_whole(counts: list[int], random: object) -> None:
    numbers = Numbers("things", 3, 203)
    taken = [(numbers.take(count), count) for count in counts]
    used = [one for first, count in taken for one in range(first, first + count)]
    assert len(used) == len(set(used)) == numbers.used
    assert all(3 <= one < 203 for one in used)
    random.shuffle(taken)  # type: ignore[attr-defined]
    for first, count in taken:
        numbers.give(first, count)
    assert numbers.used == 0
    assert numbers.take(200) == 3


networks = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 8)), min_size=1, max_size=8)


@given(networks, st.integers(0, 255))
def test_networks(members: list[tuple[int, int]], address: int) -> None:
    """As bpf/match/networks.h does, with addresses of 8 bits."""
    lengths = sorted({length for _, length in members})
    marks = network_marks(members, lengths, 8)
    low, high, found = 0, len(lengths), False
    while low < high and not found:
        middle = (low + high) // 2
        kept = 8 - lengths[middle]
        mark = marks.get((address >> kept << kept, lengths[middle]), 0)
        found = bool(mark & 1)
        low, high = (middle + 1, high) if mark else (low, middle)
    assert found == any(address >> 8 - length == member >> 8 - length for member, length in members)
