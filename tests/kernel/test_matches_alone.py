"""The conditions of bpf/match/ run alone, and what they say compared with what Python says of the same values."""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import RETURN, Runs

from lictor.policy.plan import CelOp, CelStep, Cost, Filter, OperandSet, Read, SetKind, Source, Subject

pytestmark = pytest.mark.kernel
NO, YES, LATER = 0, 1, 2
TYPES = {"int32": (32, True), "uint32": (32, False), "int64": (64, True), "uint64": (64, False)}
# Numbers near each other and near the ends, so that limits are hit.
NEAR = st.sampled_from([0, 1, 2, 3, 127, 128, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1])
RAW = NEAR | st.integers(0, 2**64 - 1)


def condition(operator: str, **more: Any) -> Filter:
    return Filter(subject=Subject.SLOT, operator=operator, cost=next(iter(Cost)), **more)


def value_of(raw: int, kind: str) -> int:
    bits, signed = TYPES[kind]
    raw &= (1 << bits) - 1
    return raw - (1 << bits) if signed and raw >> (bits - 1) else raw


def number(kind: str) -> Read:
    return Read(slot=0, type=kind, source=Source.ARGUMENT)


@given(raw=RAW, operands=st.lists(RAW, min_size=1, max_size=30), kind=st.sampled_from(sorted(TYPES)), no=st.booleans())
def test_equal(runs: Runs, raw: int, operands: list[int], kind: str, no: bool) -> None:
    wanted = sorted({value_of(one, kind) for one in operands})
    few = len(wanted) <= 4
    one = condition("Equal", negated=no, numbers=tuple(wanted) if few else (), set=None if few else 0)
    sets = [] if few else [OperandSet(kind=SetKind.NUMBERS, numbers=tuple(wanted))]
    runs.use(number(kind))
    with runs.condition(one, sets) as kept:
        for candidate in (raw, *operands):
            assert kept.holds(candidate) == ((value_of(candidate, kind) in wanted) is not no)


@given(
    raw=st.lists(RAW, min_size=1, max_size=5),
    ends=st.lists(RAW, min_size=2, max_size=30),
    kind=st.sampled_from(sorted(TYPES)),
    no=st.booleans(),
)
def test_ranges(runs: Runs, raw: list[int], ends: list[int], kind: str, no: bool) -> None:
    points = sorted({value_of(one, kind) for one in ends})
    spans = tuple(zip(points[::2], points[1::2], strict=False))
    if not spans:
        return
    signed = TYPES[kind][1]
    few = len(spans) <= 4
    one = condition("InRange", negated=no, signed=signed, ranges=spans if few else (), set=None if few else 0)
    sets = [] if few else [OperandSet(kind=SetKind.RANGES, ranges=spans, signed=signed)]
    runs.use(number(kind))
    around = [point + step for point in points for step in (-1, 0, 1)]
    with runs.condition(one, sets) as kept:
        for candidate in (*raw, *around):
            inside = any(least <= value_of(candidate, kind) <= greatest for least, greatest in spans)
            assert kept.holds(candidate) == (inside is not no)


@given(raw=RAW, mask=RAW, no=st.booleans())
def test_masks(runs: Runs, raw: int, mask: int, no: bool) -> None:
    runs.use(number("uint64"))
    with runs.condition(condition("Mask", negated=no, numbers=(mask,))) as kept:
        assert kept.holds(raw) == (bool(raw & mask) is not no)


# A small alphabet: beginnings and ends coincide often.
SHORT = st.binary(max_size=8).map(lambda text: bytes(97 + byte % 3 for byte in text))
LONG = st.builds(lambda text, count: (text * count)[:4096], SHORT, st.sampled_from([1, 7, 63, 64, 65, 512]))
TEXT = SHORT | LONG | st.binary(max_size=200)
MEMBER = (SHORT | LONG.map(lambda text: text[:255]) | st.binary(max_size=100)).filter(bool)
HOW: dict[str, tuple[SetKind, Callable[[bytes, bytes], bool]]] = {
    "Equal": (SetKind.STRINGS, lambda text, one: text == one),
    "Prefix": (SetKind.PREFIXES, bytes.startswith),
    "Postfix": (SetKind.POSTFIXES, bytes.endswith),
    "SubString": (SetKind.SUBSTRINGS, lambda text, one: one in text),
    "SubStringIgnCase": (SetKind.SUBSTRINGS_IGNORE_CASE, lambda text, one: one.lower() in text.lower()),
}


@given(
    texts=st.lists(TEXT, min_size=1, max_size=4),
    members=st.lists(MEMBER, min_size=1, max_size=12),
    operator=st.sampled_from(sorted(HOW)),
    no=st.booleans(),
)
def test_texts(runs: Runs, texts: list[bytes], members: list[bytes], operator: str, no: bool) -> None:
    kind, holds = HOW[operator]
    operands = OperandSet(kind=kind, texts=tuple(sorted({one.decode("latin-1") for one in members})))
    runs.use(Read(slot=0, type="char_buf", source=Source.ARGUMENT, size_index=1))
    related = [one + texts[0] for one in members[:2]] + [texts[0] + one for one in members[:2]] + members[:2]
    with runs.condition(condition(operator, negated=no, set=0), [operands]) as kept:
        for text in (*texts, *(one[:4096] for one in related), b""):
            wanted = any(holds(text, one) for one in members)
            assert kept.holds(runs.put(text), len(text)) == (wanted is not no), (text, members)


def address(text: str) -> bytes:
    """A struct sockaddr."""
    six = ":" in text
    family = socket.AF_INET6 if six else socket.AF_INET
    return struct.pack("<HH", family, 0) + bytes(4 if six else 0) + socket.inet_pton(family, text) + bytes(16)


FOUR = st.integers(0, 2**32 - 1).map(lambda n: str(ipaddress.IPv4Address(n)))
SIX = st.integers(0, 2**128 - 1).map(lambda n: str(ipaddress.IPv6Address(n)))


@given(
    addresses=st.lists(FOUR | SIX | FOUR.map(lambda one: f"::ffff:{one}"), min_size=1, max_size=4),
    lengths=st.lists(st.tuples(st.booleans(), st.integers(0, 128), RAW), min_size=1, max_size=6),
    no=st.booleans(),
)
def test_networks(runs: Runs, addresses: list[str], lengths: list[tuple[bool, int, int]], no: bool) -> None:
    """Networks around the addresses, and others. What is mapped from version 4 is in networks of version 4, too."""
    networks: set[ipaddress.IPv4Network | ipaddress.IPv6Network] = set()
    for number, (near, length, other) in enumerate(lengths):
        base = ipaddress.ip_address(addresses[number % len(addresses)])
        if not near:
            base = type(base)(other & (1 << base.max_prefixlen) - 1)
        networks.add(ipaddress.ip_network((int(base), length % (base.max_prefixlen + 1)), strict=False))
    fours = tuple(sorted((int(one[0]), one.prefixlen) for one in networks if one.version == 4))
    sixes = tuple(sorted((int(one[0]), one.prefixlen) for one in networks if one.version == 6))
    sets = [OperandSet(kind=SetKind.ADDRESSES4, networks=fours)] if fours else []
    sets += [OperandSet(kind=SetKind.ADDRESSES6, networks=sixes)] if sixes else []
    one = condition("SAddr", negated=no, set=0 if fours else None, set6=len(sets) - 1 if sixes else None)
    runs.use(Read(slot=0, type="sockaddr", source=Source.ARGUMENT))
    with runs.condition(one, sets) as kept:
        for text in addresses:
            asked = ipaddress.ip_address(text)
            mapped = asked.ipv4_mapped if isinstance(asked, ipaddress.IPv6Address) else None
            inside = any(asked in one or (mapped is not None and mapped in one) for one in networks)
            assert kept.holds(runs.put(address(text))) == (inside is not no), (text, networks)


BINARY: dict[CelOp, Callable[[int, int], int]] = {
    CelOp.ADD: lambda a, b: a + b, CelOp.SUBTRACT: lambda a, b: a - b, CelOp.AND: lambda a, b: a & b,
    CelOp.OR: lambda a, b: a | b, CelOp.XOR: lambda a, b: a ^ b, CelOp.EQUAL: lambda a, b: a == b,
    CelOp.NOT_EQUAL: lambda a, b: a != b, CelOp.LESS: lambda a, b: a < b, CelOp.LESS_EQUAL: lambda a, b: a <= b,
    CelOp.SIGNED_LESS: lambda a, b: turned(a) < turned(b), CelOp.SIGNED_LESS_EQUAL: lambda a, b: turned(a) <= turned(b),
}  # fmt: skip
UNARY: dict[CelOp, Callable[[int], int]] = {
    CelOp.NOT: lambda a: ~a, CelOp.LOGICAL_NOT: lambda a: not a, CelOp.ZERO_EXTEND_32: lambda a: a & 0xFFFFFFFF,
    CelOp.SIGN_EXTEND_32: lambda a: (a & 0xFFFFFFFF) - (1 << 32) if a >> 31 & 1 else a & 0xFFFFFFFF,
}  # fmt: skip


def turned(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


@st.composite
def expressions(draw: st.DrawFn, depth: int = 4) -> tuple[list[CelStep], Any]:
    """Steps, and what they come to for the two values they may load."""
    kind = draw(st.sampled_from(["constant", "load", "unary", "binary"])) if depth else "load"
    if kind == "constant":
        held = draw(RAW)
        return [CelStep(op=CelOp.CONSTANT, value=held)], lambda _: held
    if kind == "load":
        slot = draw(st.integers(0, 1))
        return [CelStep(op=CelOp.LOAD, value=slot)], lambda values: values[slot]
    if kind == "unary":
        op = draw(st.sampled_from(sorted(UNARY)))
        steps, of = draw(expressions(depth - 1))
        return [*steps, CelStep(op=op)], lambda values: int(UNARY[op](of(values))) & (1 << 64) - 1
    operation = draw(st.sampled_from(sorted(BINARY)))
    left, first = draw(expressions(depth - 1))
    right, second = draw(expressions(depth - 1))
    return (
        [*left, *right, CelStep(op=operation)],
        lambda values: int(BINARY[operation](first(values), second(values))) & (1 << 64) - 1,
    )


@given(made=expressions(), values=st.tuples(RAW, RAW), no=st.booleans())
def test_expressions(runs: Runs, made: tuple[list[CelStep], Any], values: tuple[int, int], no: bool) -> None:
    steps, of = made
    runs.use(*(Read(slot=slot, type="uint64", source=Source.ARGUMENT, index=slot) for slot in (0, 1)))
    with runs.condition(condition("CelExpr", negated=no, expression=tuple(steps))) as kept:
        assert kept.holds(*values) == (bool(of(values)) is not no)


OPERATORS = [
    ("string", condition("Equal", set=0), OperandSet(kind=SetKind.STRINGS, texts=("x",))),
    ("string", condition("SubString", set=0), OperandSet(kind=SetKind.SUBSTRINGS, texts=("x",))),
    ("sockaddr", condition("SAddr", set=0), OperandSet(kind=SetKind.ADDRESSES4, networks=((0, 0),))),
    ("sockaddr", condition("Family", numbers=(2,)), None),
    ("kernel_cap_t", condition("Equal", numbers=(0,)), None),
    ("file", condition("FileType", numbers=(0o100000,)), None),
]


@pytest.mark.parametrize("no", [False, True])
@pytest.mark.parametrize(("kind", "one", "operands"), OPERATORS)
def test_what_cannot_be_read_matches_nothing(
    runs: Runs, kind: str, one: Filter, operands: OperandSet | None, no: bool
) -> None:
    negated = condition(one.operator, negated=no, set=one.set, numbers=one.numbers)
    runs.use(Read(slot=0, type=kind, source=Source.ARGUMENT))
    with runs.condition(negated, [operands] if operands else []) as kept:
        for nowhere in (0, 16, 1 << 63, 2**64 - 4096):
            assert kept.holds(nowhere) == NO


def test_what_is_not_there_yet_is_decided_at_the_return(runs: Runs) -> None:
    one = condition("Equal", set=0)
    runs.use(Read(slot=0, type="string", source=Source.ARGUMENT, user=True), again=True)
    with runs.condition(one, [OperandSet(kind=SetKind.STRINGS, texts=("x",))]) as kept:
        assert kept.holds(16) == LATER
        assert kept.holds(16, phase=RETURN) == NO
        held = ctypes.create_string_buffer(b"x")
        assert kept.holds(ctypes.addressof(held)) == YES
