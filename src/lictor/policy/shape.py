"""What a field of a policy may hold, declared once: it reads and checks a node, and describes itself as a schema.

A part of a policy is a class of `document.py` whose attributes are fields made here. An instance holds only what the
text gives; the class holds the defaults. `part.spots` says which fields the text gives, and where.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

from lictor.policy import retired
from lictor.policy.diagnostics import Problems, did_you_mean, one_of
from lictor.policy.source import Mapping, Node, Scalar, Sequence

_MANY = 8  # with a hint, longer lists of what is possible are more to read than to learn from
BAD: Any = object()  # what a kind returns for a node that it reported

_NAMES = {"nothing": "nothing", "integer": "a number", "number": "a number", "boolean": "true or false"}


class Kind(ABC):
    """One kind of value. `word` names it in messages."""

    word = ""

    @abstractmethod
    def read(self, node: Node, problems: Problems) -> Any:
        """The value, or BAD when the node was reported."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """As OpenAPI v3 has it; a part is `{"$ref": name}`."""

    def wrong(self, node: Node, problems: Problems, hint: str = "") -> Any:
        if not hint and isinstance(node, Scalar) and node.kind == "nothing":
            hint = "give it a value, or remove the field"
        problems.add("wrong-type", node, f"found {described(node)}", expected=self.word, hint=hint)
        return BAD


def described(node: Node) -> str:
    """A node, for messages."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    assert isinstance(node, Scalar)
    shown = node.text if len(node.text) <= 60 else node.text[:57] + "…"
    kind = node.kind
    return "nothing" if kind == "nothing" else f"{_NAMES.get(kind, 'the text')} `{shown}`"


class Text(Kind):
    """A string. A number without quotes is taken as it is written, with a warning: an API server refuses it."""

    word = "text"

    def __init__(self, pattern: str = "", least: int = 0, most: int = 0) -> None:
        self.pattern, self.least, self.most = pattern, least, most

    def read(self, node: Node, problems: Problems) -> Any:
        if not isinstance(node, Scalar):
            return self.wrong(node, problems)
        if node.plain and (kind := node.kind) != "string":
            if kind in ("nothing", "boolean"):
                return self.wrong(node, problems, f'write "{node.text}" for the text' if node.text else "")
            problems.add("number-as-text", node, f"`{node.text}` is a number where text belongs", hint="quote it")
        return node.text if self._fits(node, problems) else BAD

    def _fits(self, node: Scalar, problems: Problems) -> bool:
        size = len(node.text)
        if self.pattern and not re.fullmatch(self.pattern, node.text):
            problems.add("bad-value", node, f"`{node.text[:60]}` does not fit", expected=f"a text as {self.pattern}")
            return False
        if size >= self.least and (not self.most or size <= self.most):
            return True
        limits = f"{self.least} to {self.most} characters"
        problems.add("bad-length", node, f"the text has {size} characters", expected=limits)
        return False

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "string"}
        if self.pattern:
            found["pattern"] = self.pattern
        if self.least:
            found["minLength"] = self.least
        if self.most:
            found["maxLength"] = self.most
        return found


class Choice(Kind):
    """One of some words. `aliases` are other spellings, in lower case, that are taken with a note."""

    def __init__(self, words: tuple[str, ...], aliases: dict[str, str] | None = None) -> None:
        self.words = words
        self.word = one_of(words, 60)
        self._known = frozenset(words)
        self._aliases = aliases or {}

    def read(self, node: Node, problems: Problems) -> Any:
        if isinstance(node, Scalar):
            if node.text in self._known:
                return node.text
            if (canonical := self._aliases.get(node.text)) is not None:
                problems.add("alias", node, f"`{node.text}` is an alias of `{canonical}`", hint=f"write `{canonical}`")
                return canonical
            hint = retired.VALUES.get(node.text) or did_you_mean(node.text, self.words)
            expected = "" if hint and len(self.words) > _MANY else self.word
            problems.add("unknown-value", node, f"`{node.text[:60]}` is not known here", expected=expected, hint=hint)
            return BAD
        return self.wrong(node, problems)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.words)}


class Integer(Kind):
    word = "a whole number"

    def __init__(self, bits: int = 32, least: int | None = None) -> None:
        self._bits, self._least = bits, least
        self._range = (-(1 << bits - 1) if least is None else least, (1 << bits - 1) - 1)

    def read(self, node: Node, problems: Problems) -> Any:
        value = node.integer() if isinstance(node, Scalar) else None
        if value is None:
            quoted = isinstance(node, Scalar) and Scalar(0, 0, node.text, True).integer() is not None
            return self.wrong(node, problems, "write it without quotes" if quoted else "")
        low, high = self._range
        if not low <= value <= high:
            problems.add("out-of-range", node, f"{value} is out of range", expected=f"{low} to {high}")
            return BAD
        return value

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "integer", "format": f"int{self._bits}"}
        if self._least is not None:
            found["minimum"] = self._least
        return found


class Unsigned32(Integer):
    """A number of 32 bits without sign, as a process id has it."""

    def __init__(self) -> None:
        super().__init__(32)
        self._range = (0, (1 << 32) - 1)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "format": "int64", "minimum": 0}


class Flag(Kind):
    word = "true or false"

    def read(self, node: Node, problems: Problems) -> Any:
        value = node.boolean() if isinstance(node, Scalar) else None
        return self.wrong(node, problems) if value is None else value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Many(Kind):
    """A list. The result is a tuple of what could be read; `Part.item` gives the place of each."""

    def __init__(self, of: Kind | type[Part], most: int = 0) -> None:
        self.of = PartOf(of) if isinstance(of, type) else of
        self.word = f"a list of {self.of.word}" if self.of.word else "a list"
        self.most = most

    def read(self, node: Node, problems: Problems) -> Any:
        if not isinstance(node, Sequence):
            hint = "write it as a list: `- …`" if isinstance(node, Mapping) or _is_text(node) else ""
            return self.wrong(node, problems, hint)
        if self.most and len(node.items) > self.most:
            problems.add("too-many", node.items[self.most], f"{len(node.items)} entries", expected=f"up to {self.most}")
        read = self.of.read
        found = [read(item, problems) for item in node.items]
        if BAD in found:  # keep what is good: values and places must stay side by side
            node.items = [item for item, value in zip(node.items, found, strict=True) if value is not BAD]
            found = [value for value in found if value is not BAD]
        return tuple(found)

    def schema(self) -> dict[str, Any]:
        found = {"type": "array", "items": self.of.schema()}
        return found | ({"maxItems": self.most} if self.most else {})


def _is_text(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind != "nothing"


class Named(Kind):
    """A mapping from free names to values."""

    def __init__(self, of: Kind | type[Part]) -> None:
        self.of = PartOf(of) if isinstance(of, type) else of
        self.word = "a mapping of names"

    def read(self, node: Node, problems: Problems) -> Any:
        if not isinstance(node, Mapping):
            return self.wrong(node, problems)
        found = {name: self.of.read(value, problems) for name, value in node.entries.items()}
        return {name: value for name, value in found.items() if value is not BAD}

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.of.schema()}


class Anything(Kind):
    """What others own; not looked at."""

    def read(self, node: Node, problems: Problems) -> Any:  # noqa: ARG002 (shape of all kinds)
        return node

    def schema(self) -> dict[str, Any]:
        return {"x-kubernetes-preserve-unknown-fields": True}


class PartOf(Kind):
    def __init__(self, part: type[Part]) -> None:
        self.part = part
        self.word = part.WORD

    def read(self, node: Node, problems: Problems) -> Any:
        if not isinstance(node, Mapping):
            return self.wrong(node, problems)
        return self.part.read(node, problems)

    def schema(self) -> dict[str, Any]:
        return {"$ref": self.part.__name__}


class Field:
    """An attribute of a part, as the text has it. `default` None says nothing about a default in the schema."""

    def __init__(self, kind: Kind, doc: str, required: bool, default: Any, name: str, shown_default: bool) -> None:
        self.kind, self.doc, self.required = kind, doc, required
        self.default, self.name, self.shown_default = default, name, shown_default
        self.attribute = ""


class Part:
    """A mapping of a policy with known fields."""

    FIELDS: ClassVar[dict[str, Field]] = {}
    WORD: ClassVar[str] = "a mapping"
    RULES: ClassVar[tuple[tuple[str, str], ...]] = ()  # CEL rules of the custom resource, with what they mean
    _REQUIRED: ClassVar[tuple[str, ...]] = ()

    node: Mapping
    spots: dict[str, Node]
    wrong: frozenset[str] = frozenset()  # fields that could not be read: they have their default

    def __init_subclass__(cls, word: str = "a mapping") -> None:
        cls.WORD = word
        own = {}
        for attribute, value in list(vars(cls).items()):
            if isinstance(value, Field):
                value.attribute = attribute
                value.name = value.name or _camel(attribute)
                own[value.name] = value
                setattr(cls, attribute, value.default)
        cls.FIELDS = {**cls.FIELDS, **own}
        cls._REQUIRED = tuple(name for name, field in cls.FIELDS.items() if field.required)

    @classmethod
    def read(cls, node: Mapping, problems: Problems) -> Self:
        part = cls()
        part.node = node
        part.spots = node.entries
        fields = cls.FIELDS
        for name, value in node.entries.items():
            field = fields.get(name)
            if field is None:
                cls._unknown(name, node, problems)
                continue
            found = field.kind.read(value, problems)
            if found is BAD:
                part.wrong |= {name}
            else:
                setattr(part, field.attribute, found)
        for name in cls._REQUIRED:
            if name not in node.entries:
                problems.add("missing-field", node, f"`{name}` is missing", expected=fields[name].doc)
        part.check(problems)
        return part

    def check(self, problems: Problems) -> None:
        """What the fields must be together; a part with such rules overrides this."""

    @classmethod
    def _unknown(cls, name: str, node: Mapping, problems: Problems) -> None:
        hint = f"it belongs into {HOMES[name]}" if name in HOMES else retired.FIELDS.get(name, "")
        hint = hint or did_you_mean(name, (known for known in cls.FIELDS if known not in node.entries))
        expected = "" if hint and len(cls.FIELDS) > _MANY else one_of(cls.FIELDS, 30)
        problems.add("unknown-field", node.keys[name], f"`{name[:60]}` is no field here", expected=expected, hint=hint)

    def at(self, field: str) -> Node:
        """Where a field stands; the part itself where the text does not give it."""
        return self.spots.get(field, self.node)

    def item(self, field: str, number: int) -> Node:
        """Where an entry of a list stands."""
        node = self.spots.get(field)
        if isinstance(node, Sequence) and number < len(node.items):
            return node.items[number]
        return self.at(field)

    def has(self, field: str) -> bool:
        return field in self.spots

    def empty(self, field: str) -> bool:
        """The text has an empty list there, not one whose entries are all wrong."""
        node = self.spots.get(field)
        return isinstance(node, Sequence) and node.weight == 1


HOMES: dict[str, str] = {}  # field -> where it belongs, for hints; filled by the document


def _camel(attribute: str) -> str:
    first, *rest = attribute.split("_")
    return first + "".join(word.capitalize() for word in rest)


def text(
    doc: str, *, name: str = "", required: bool = False, default: str | None = None, least: int = 0, most: int = 0
) -> Any:
    """A string, empty where the text does not give it."""
    return Field(Text("", least, most), doc, required, default or "", name, default is not None)


def choice(
    words: tuple[str, ...],
    doc: str,
    *,
    name: str = "",
    required: bool = False,
    default: str | None = None,
    aliases: dict[str, str] | None = None,
) -> Any:
    return Field(Choice(words, aliases), doc, required, default or "", name, default is not None)


def flag(doc: str, *, name: str = "", default: bool | None = None) -> Any:
    return Field(Flag(), doc, False, bool(default), name, default is not None)


def number(doc: str, *, name: str = "", required: bool = False, bits: int = 32, least: int | None = None) -> Any:
    """A whole number, 0 where the text does not give it: ask `has`."""
    return Field(Integer(bits, least), doc, required, 0, name, False)


def many(of: Kind | type[Part], doc: str, *, name: str = "", required: bool = False, most: int = 0) -> Any:
    return Field(Many(of, most), doc, required, (), name, False)


def one(of: type[Part], doc: str, *, name: str = "", required: bool = False) -> Any:
    """A part; None where the text does not give it."""
    return Field(PartOf(of), doc, required, None, name, False)


def named(of: Kind | type[Part], doc: str, *, name: str = "") -> Any:
    return Field(Named(of), doc, False, {}, name, False)


def anything(doc: str, *, name: str = "") -> Any:
    return Field(Anything(), doc, False, None, name, False)
