"""CEL over numbers, lowered to the stack machine of the plan.

The part of the Common Expression Language that has a meaning here: variables of 32 or 64 bits, literals, `+ - ! && ||`,
comparisons, casts (`int32(x)` …), bit functions (`and(a, b)`, `or`, `xor`, `not`). Types are checked as CEL does: both
sides of an operator are of one type; a literal takes the other side's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lictor.policy.plan import CelOp, CelStep

MAX_STEPS, MAX_STACK, MAX_VALUES, MAX_NESTING = 128, 16, 7, 32

_TOKEN = re.compile(
    r"\s*(?:(?P<number>0[xX][0-9a-fA-F]+|[0-9]+)(?P<suffix>[uU]?)(?![\w.])|(?P<word>[A-Za-z_]\w*)"
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|[-+!<>(),]))"
)
_BITS = {"and": CelOp.AND, "or": CelOp.OR, "xor": CelOp.XOR}
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_LEAST, _GREATEST = -(1 << 63), (1 << 64) - 1


class CelError(ValueError):
    """What is wrong, `offset` characters into the text."""

    def __init__(self, message: str, offset: int, hint: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that expressions can name: its slot, bits (32 or 64) and sign."""

    slot: int
    bits: int
    signed: bool


@dataclass(frozen=True, slots=True)
class _Term:
    """Compiled code and its type: `bool`, `int32` …, or `literal`, which still takes any; `value` is the literal's."""

    type: str
    code: tuple[CelStep, ...]
    offset: int
    value: int = 0


def lower(text: str, variables: Mapping[str, Variable]) -> tuple[CelStep, ...]:
    """The expression's code: it leaves 1 or 0. Raises CelError."""
    parser = _Parser(text, variables)
    term = parser.either(0)
    parser.expect_end()
    if term.type != "bool":
        raise CelError("the expression is a number, not true or false", term.offset, "compare it, as in `… == 0`")
    if len(term.code) > MAX_STEPS:
        raise CelError(f"the expression takes {len(term.code)} steps, {MAX_STEPS} are possible", 0)
    if len({step.value for step in term.code if step.op is CelOp.LOAD}) > MAX_VALUES:
        raise CelError(f"the expression names more than {MAX_VALUES} values", 0)
    if (depth := stack_depth(term.code)) > MAX_STACK:
        raise CelError(f"the expression keeps {depth} values at once, {MAX_STACK} are possible", 0)
    return term.code


def stack_depth(code: tuple[CelStep, ...]) -> int:
    """The most values that are on the stack at once."""
    pushes = {CelOp.CONSTANT: 1, CelOp.LOAD: 1}
    neutral = {CelOp.NOT, CelOp.LOGICAL_NOT, CelOp.SIGN_EXTEND_32, CelOp.ZERO_EXTEND_32}
    neutral |= {CelOp.JUMP_IF_ZERO, CelOp.JUMP_IF_NOT_ZERO}
    now = most = 0
    for step in code:
        now += pushes.get(step.op, 0 if step.op in neutral else -1)
        most = max(most, now)
    return most


class _Parser:
    """Recursive descent; each level takes the nesting so far."""

    def __init__(self, text: str, variables: Mapping[str, Variable]) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._variables = variables

    def either(self, nesting: int) -> _Term:
        return self._chain("||", CelOp.JUMP_IF_NOT_ZERO, self._both, nesting)

    def expect_end(self) -> None:
        word, offset = self._peek()
        if word:
            raise CelError(f"`{word}` is not expected here", offset)

    def _both(self, nesting: int) -> _Term:
        return self._chain("&&", CelOp.JUMP_IF_ZERO, self._relation, nesting)

    def _chain(self, sign: str, jump: CelOp, inner: object, nesting: int) -> _Term:
        assert callable(inner)
        left: _Term = inner(nesting)
        while self._take(sign):
            right: _Term = inner(nesting)
            for side in (left, right):
                if side.type != "bool":
                    raise CelError(f"`{sign}` joins what is true or false, this is a number", side.offset)
            code = (*left.code, CelStep(op=jump, value=len(right.code) + 1), CelStep(op=CelOp.POP), *right.code)
            left = _Term("bool", code, left.offset)
        return left

    def _relation(self, nesting: int) -> _Term:
        left = self._sum(nesting)
        sign, offset = self._peek()
        if sign not in _COMPARISONS:
            return left
        self._at += 1
        left, right = _alike(left, self._sum(nesting), offset)
        if left.type == "bool" and sign not in ("==", "!="):
            raise CelError(f"`{sign}` compares numbers", offset)
        return _compared(sign, left, right)

    def _sum(self, nesting: int) -> _Term:
        left = self._unary(nesting)
        while True:
            sign, offset = self._peek()
            if sign not in ("+", "-"):
                return left
            self._at += 1
            right = self._unary(nesting)
            if left.type == right.type == "literal":
                total = left.value + right.value if sign == "+" else left.value - right.value
                left = _literal(total, left.offset)
                continue
            left, right = _alike(left, right, offset)
            if left.type == "bool":
                raise CelError(f"`{sign}` takes numbers", offset)
            op = CelOp.ADD if sign == "+" else CelOp.SUBTRACT
            left = _narrow(_Term(left.type, (*left.code, *right.code, CelStep(op=op)), left.offset))

    def _unary(self, nesting: int) -> _Term:
        if nesting > MAX_NESTING:
            raise CelError("the expression is nested too deeply", self._peek()[1])
        offset = self._peek()[1]
        if self._take("!"):
            inner = self._unary(nesting + 1)
            if inner.type != "bool":
                raise CelError("`!` takes what is true or false", inner.offset, "`not(x)` turns the bits of a number")
            return _Term("bool", (*inner.code, CelStep(op=CelOp.LOGICAL_NOT)), offset)
        if self._take("-"):
            inner = self._unary(nesting + 1)
            if inner.type == "literal":
                return _literal(-inner.value, offset)
            if inner.type == "bool":
                raise CelError("`-` takes a number", inner.offset)
            code = (CelStep(op=CelOp.CONSTANT), *inner.code, CelStep(op=CelOp.SUBTRACT))
            return _narrow(_Term(inner.type, code, offset))
        return self._primary(nesting)

    def _primary(self, nesting: int) -> _Term:
        word, offset = self._peek()
        self._at += 1
        if word == "(":
            term = self.either(nesting + 1)
            self._expect(")")
            return term
        if word[:1].isdigit():
            return _literal(_value(word.rstrip("uU")), offset)
        if word in ("true", "false"):
            return _Term("bool", (CelStep(op=CelOp.CONSTANT, value=int(word == "true")),), offset)
        if self._peek()[0] == "(" and word.isidentifier():
            return self._call(word, offset, nesting)
        return self._variable(word, offset)

    def _variable(self, word: str, offset: int) -> _Term:
        found = self._variables.get(word)
        if found is not None:
            kind = f"{'' if found.signed else 'u'}int{found.bits}"
            return _Term(kind, (CelStep(op=CelOp.LOAD, value=found.slot),), offset)
        if not word:
            raise CelError("the expression ends here", offset, "something is missing")
        if not word.isidentifier():
            raise CelError(f"`{word}` is not expected here", offset)
        known = ", ".join(self._variables) or "none: the hook reads no numbers"
        raise CelError(f"no variable `{word}`", offset, f"variables are {known}")

    def _call(self, name: str, offset: int, nesting: int) -> _Term:
        self._expect("(")
        given = [self.either(nesting + 1)]
        while self._take(","):
            given.append(self.either(nesting + 1))
        self._expect(")")
        if name in ("int32", "uint32", "int64", "uint64", "int", "uint") and len(given) == 1:
            return _cast(given[0], name if name[-1].isdigit() else f"{name}64", offset)
        if name == "not" and len(given) == 1:
            inner = _number(given[0])
            return _narrow(_Term(inner.type, (*inner.code, CelStep(op=CelOp.NOT)), offset))
        if name in _BITS and len(given) == 2:
            left, right = _alike(given[0], given[1], offset)
            left, right = _number(left), _number(right)
            return _Term(left.type, (*left.code, *right.code, CelStep(op=_BITS[name])), offset)
        known = "int32(x), uint32(x), int64(x), uint64(x), and(x, y), or(x, y), xor(x, y), not(x)"
        raise CelError(f"no function `{name}` of {len(given)}", offset, f"functions are {known}")

    def _peek(self) -> tuple[str, int]:
        return self._tokens[min(self._at, len(self._tokens) - 1)]

    def _take(self, word: str) -> bool:
        if self._peek()[0] != word:
            return False
        self._at += 1
        return True

    def _expect(self, word: str) -> None:
        if not self._take(word):
            found, offset = self._peek()
            raise CelError(f"`{word}` is missing" + (f" before `{found}`" if found else ""), offset)


def _tokens(text: str) -> list[tuple[str, int]]:
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            hint = (
                "only numbers, comparisons, + and - have a meaning in the kernel" if text[at] in "*/%?:[]{}\"'" else ""
            )
            raise CelError(f"`{text[at]}` has no meaning here", at, hint)
        word = match[0].strip()
        found.append((word, match.end() - len(word)))
        at = match.end()
    return [*found, ("", end)]


def _value(digits: str) -> int:
    """Decimal, whatever it begins with, or hex."""
    return int(digits, 16 if digits[:2] in ("0x", "0X") else 10)


def _literal(value: int, offset: int) -> _Term:
    if not _LEAST <= value <= _GREATEST:
        raise CelError("the number has more than 64 bits", offset)
    return _Term("literal", (CelStep(op=CelOp.CONSTANT, value=value),), offset, value)


def _typed(term: _Term, kind: str) -> _Term:
    """A literal as a number of a type."""
    if term.type != "literal":
        return term
    bits, signed = int(kind[-2:]), kind[0] == "i"
    least, greatest = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if not least <= term.value <= greatest:
        raise CelError(f"{term.value} is no {kind}", term.offset, f"{least} to {greatest}")
    return _Term(kind, term.code, term.offset)


def _alike(left: _Term, right: _Term, offset: int) -> tuple[_Term, _Term]:
    """Both sides as one type."""
    if left.type == right.type == "literal":
        return _typed(left, "int64"), _typed(right, "int64")
    if left.type != "bool":
        right = _typed(right, left.type) if left.type != "literal" else right
    if right.type != "bool":
        left = _typed(left, right.type)
    if left.type != right.type:
        names = [term.type.replace("literal", "a number") for term in (left, right)]
        raise CelError(f"{names[0]} and {names[1]} are two types", offset, "cast one, as in `int64(arg0)`")
    return left, right


def _number(term: _Term) -> _Term:
    if term.type == "bool":
        raise CelError("a number is needed here", term.offset)
    return _typed(term, "int64")


def _narrow(term: _Term) -> _Term:
    """What arithmetic of 64 bits left, as a value of the type's bits."""
    ops = {"int32": CelOp.SIGN_EXTEND_32, "uint32": CelOp.ZERO_EXTEND_32}
    op = ops.get(term.type)
    return _Term(term.type, (*term.code, CelStep(op=op)), term.offset) if op else term


def _cast(term: _Term, kind: str, offset: int) -> _Term:
    if term.type == "bool":
        raise CelError(f"`{kind}()` takes a number", term.offset)
    if term.type == "literal":
        return _typed(term, kind)
    return _narrow(_Term(kind, term.code, offset))


def _compared(sign: str, left: _Term, right: _Term) -> _Term:
    """`a > b` is `b < a`: there is nothing that the order of evaluation could change."""
    if sign in (">", ">="):
        return _compared({">": "<", ">=": "<="}[sign], right, left)
    signed = left.type[0] == "i"
    op = {
        "==": CelOp.EQUAL,
        "!=": CelOp.NOT_EQUAL,
        "<": CelOp.SIGNED_LESS if signed else CelOp.LESS,
        "<=": CelOp.SIGNED_LESS_EQUAL if signed else CelOp.LESS_EQUAL,
    }[sign]
    return _Term("bool", (*left.code, *right.code, CelStep(op=op)), min(left.offset, right.offset))
