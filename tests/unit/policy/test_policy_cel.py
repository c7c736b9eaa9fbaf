"""CEL over numbers: the code that an expression becomes computes what the expression says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.policy.cel import CelError, Variable, lower, stack_depth
from lictor.policy.plan import CelOp, CelStep

MASK = (1 << 64) - 1
VARIABLES = {
    "arg0": Variable(0, 32, True),
    "arg1": Variable(1, 32, False),
    "arg2": Variable(2, 64, True),
    "arg3": Variable(3, 64, False),
}


def signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def run(code: tuple[CelStep, ...], slots: list[int]) -> int:
    """The stack machine as the kernel has it: 64 bits, two's complement."""
    stack: list[int] = []
    at = 0
    two: dict[CelOp, Callable[[int, int], int]] = {
        CelOp.ADD: lambda a, b: a + b,
        CelOp.SUBTRACT: lambda a, b: a - b,
        CelOp.AND: lambda a, b: a & b,
        CelOp.OR: lambda a, b: a | b,
        CelOp.XOR: lambda a, b: a ^ b,
        CelOp.EQUAL: lambda a, b: int(a == b),
        CelOp.NOT_EQUAL: lambda a, b: int(a != b),
        CelOp.LESS: lambda a, b: int(a < b),
        CelOp.LESS_EQUAL: lambda a, b: int(a <= b),
        CelOp.SIGNED_LESS: lambda a, b: int(signed(a) < signed(b)),
        CelOp.SIGNED_LESS_EQUAL: lambda a, b: int(signed(a) <= signed(b)),
    }
    one: dict[CelOp, Callable[[int], int]] = {
        CelOp.NOT: lambda a: ~a,
        CelOp.LOGICAL_NOT: lambda a: int(not a),
        CelOp.SIGN_EXTEND_32: lambda a: (a & 0xFFFFFFFF) - ((a & 0x80000000) << 1),
        CelOp.ZERO_EXTEND_32: lambda a: a & 0xFFFFFFFF,
    }
    while at < len(code):
        step = code[at]
        at += 1
        if step.op is CelOp.CONSTANT:
            stack.append(step.value & MASK)
        elif step.op is CelOp.LOAD:
            stack.append(slots[step.value] & MASK)
        elif step.op is CelOp.POP:
            stack.pop()
        elif step.op in (CelOp.JUMP_IF_ZERO, CelOp.JUMP_IF_NOT_ZERO):
            at += step.value if bool(stack[-1]) is (step.op is CelOp.JUMP_IF_NOT_ZERO) else 0
        elif step.op in one:
            stack.append(one[step.op](stack.pop()) & MASK)
        else:
            right, left = stack.pop(), stack.pop()
            stack.append(two[step.op](left, right) & MASK)
    assert len(stack) == 1
    return stack[0]


@pytest.mark.parametrize(
    ("text", "slots", "result"),
    [
        ("arg0 == 1", [1, 0, 0, 0], 1),
        ("arg0 == -1", [-1, 0, 0, 0], 1),
        ("arg0 < 0 && arg1 > 5u", [-3, 6, 0, 0], 1),
        ("arg0 < 0 && arg1 > 5", [3, 6, 0, 0], 0),
        ("arg0 == 1 || arg0 == 2 || arg0 == 3", [3, 0, 0, 0], 1),
        ("!(arg0 == 1)", [1, 0, 0, 0], 0),
        ("arg0 + 1 == -2147483648", [2147483647, 0, 0, 0], 1),
        ("arg1 - 1 == 0xffffffff", [0, 0, 0, 0], 1),
        ("int64(arg0) + arg2 == 4", [1, 0, 3, 0], 1),
        ("uint32(arg0) == 4294967295u || false", [-1, 0, 0, 0], 1),
        ("and(arg3, 0xf0) == 0x30", [0, 0, 0, 0x35], 1),
        ("or(arg1, 1) >= 7", [0, 6, 0, 0], 1),
        ("xor(arg3, arg3) == 0", [0, 0, 0, 99], 1),
        ("not(arg1) == 0xfffffffe", [0, 1, 0, 0], 1),
        ("-arg2 == 5", [0, 0, -5, 0], 1),
        ("1 + 2 == arg2", [0, 0, 3, 0], 1),
        ("(arg0 == 1) == (arg2 == 1)", [0, 0, 0, 0], 1),
        ("arg3 > 9223372036854775808", [0, 0, 0, MASK], 1),
        ("true", [0, 0, 0, 0], 1),
    ],
)
def test_expressions(text: str, slots: list[int], result: int) -> None:
    assert run(lower(text, VARIABLES), slots) == result


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("", 0, "ends here"),
        ("arg0", 0, "is a number"),
        ("arg0 ==", 7, "ends here"),
        ("arg0 == arg1", 5, "two types"),
        ("arg9 == 1", 0, "no variable"),
        ("arg0 * 2 == 4", 5, "no meaning"),
        ("foo(arg0) == 1", 0, "no function"),
        ("arg0 == 1 && arg1", 13, "this is a number"),
        ("!arg0", 1, "true or false"),
        ("arg0 == 4294967296", 8, "is no int32"),
        ("(arg0 == 1", 10, "`)` is missing"),
        ("arg0 == 1 arg1", 10, "not expected"),
        ("arg0 == 99999999999999999999", 8, "64 bits"),
        ("(arg0 == 1) < (arg0 == 2)", 12, "compares numbers"),
    ],
)
def test_mistakes_have_a_place(text: str, offset: int, message: str) -> None:
    with pytest.raises(CelError) as error:
        lower(text, VARIABLES)
    assert (error.value.offset, message in str(error.value)) == (offset, True), str(error.value)


def test_what_is_too_much() -> None:
    many = {f"arg{slot}": Variable(slot, 64, True) for slot in range(8)}
    with pytest.raises(CelError, match="7 values"):
        lower(" + ".join(many) + " == 0", many)
    with pytest.raises(CelError, match="steps"):
        lower(" || ".join(["arg0 == 1"] * 60), VARIABLES)
    with pytest.raises(CelError, match="nested"):
        lower("(" * 500 + "true" + ")" * 500, VARIABLES)
    deep = "arg2 + (" * 20 + "arg2" + ")" * 20 + " == 0"
    with pytest.raises(CelError, match="at once"):
        lower(deep, VARIABLES)


def test_the_right_side_is_left_out_where_the_left_one_decides() -> None:
    code = lower("arg0 == 1 && arg1 == 2", VARIABLES)
    jump = next(at for at, step in enumerate(code) if step.op is CelOp.JUMP_IF_ZERO)
    assert jump + 1 + code[jump].value == len(code)
    assert stack_depth(code) == 2


@given(st.text(alphabet="arg0123 ()&|!=<>+-u,intx", max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    code: tuple[CelStep, ...] = ()
    offset = 0
    try:
        code = lower(text, VARIABLES)
    except CelError as error:
        offset = error.offset
    assert 0 <= offset <= len(text)
    assert not code or run(code, [0, 0, 0, 0]) in (0, 1)
