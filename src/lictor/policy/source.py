"""Policy text becomes a tree of nodes that know where they stand. Never fails: what is wrong becomes a `Fault`.

YAML as Kubernetes reads it (1.1 with anchors and merge keys), and stricter: no key twice, one document, no tags.
libyaml gives the events; the tree is built without recursion, so depth cannot hurt.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 4 << 20
MAX_NODES = 500_000  # aliases counted as often as they are used

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING_TAGS = (None, "!", "tag:yaml.org,2002:str")
_COLLECTION_TAGS = (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_INTEGER = re.compile(r"[-+]?(0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z|[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})


class Node:
    """A place in the text: `line` and `column` count from 1."""

    __slots__ = ("column", "line", "weight")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column
        self.weight = 1


class Scalar(Node):
    """A single value, as written. `plain`: without quotes, so that it may be something else than a string."""

    __slots__ = ("plain", "text")

    def __init__(self, line: int, column: int, text: str, plain: bool) -> None:
        super().__init__(line, column)
        self.text = text
        self.plain = plain

    @property
    def kind(self) -> str:
        """`string`, `integer`, `number`, `boolean` or `nothing`."""
        if not self.plain:
            return "string"
        return _plain_kind(self.text)

    def integer(self) -> int | None:
        """The whole number that is written here, or None."""
        return integer(self.text) if self.plain else None

    def boolean(self) -> bool | None:
        if not self.plain or self.text not in _TRUE | _FALSE:
            return None
        return self.text in _TRUE


class Sequence(Node):
    __slots__ = ("items",)

    def __init__(self, line: int, column: int) -> None:
        super().__init__(line, column)
        self.items: list[Node] = []


class Mapping(Node):
    """`keys` says where each key stands."""

    __slots__ = ("entries", "keys")

    def __init__(self, line: int, column: int) -> None:
        super().__init__(line, column)
        self.entries: dict[str, Node] = {}
        self.keys: dict[str, Node] = {}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that YAML, or Lictor's reading of it, does not allow. `code` is a diagnostic's."""

    code: str
    at: Node
    message: str
    hint: str = ""


@dataclass(slots=True)
class Source:
    """A read file: its tree, where there is one, and its faults."""

    root: Node | None = None
    faults: list[Fault] = field(default_factory=list)


def read(data: bytes) -> Source:
    """The tree of one policy document."""
    source = Source()
    if len(data) > MAX_BYTES:
        source.faults.append(Fault("too-large", Node(1, 1), f"the file has more than {MAX_BYTES >> 20} MiB"))
        return source
    try:
        text = _decode(data)
    except UnicodeDecodeError as error:
        at = _place(data[: error.start].decode("utf-8", "replace"))
        source.faults.append(Fault("yaml-syntax", at, f"byte {data[error.start]:#04x} is not UTF-8"))
        return source
    builder = _Builder(source)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if not builder.take(event):
                break
    except yaml.YAMLError as error:
        source.faults.append(_syntax(error, text))
    except ValueError as error:  # libyaml's wrapper on versions of YAML it does not know
        source.faults.append(Fault("yaml-syntax", Node(1, 1), str(error)))
    return source


def integer(text: str) -> int | None:
    """A whole number in decimal, hex (0x), octal (0 or 0o) or binary (0b), with a sign if it has one."""
    if not _INTEGER.match(text):
        return None
    digits = text.replace("_", "").lstrip("+-")
    if not digits.strip("0bxo") and digits[-1] in "box":
        return None
    octal = len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567"
    value = _limited_int(digits, 8 if octal else 0)
    return -value if text[0] == "-" else value


def _limited_int(digits: str, base: int) -> int:
    """Longer than any number of 64 bits is only known to be too big: no digits are worth minutes."""
    return int(digits[:100], base)


def _plain_kind(text: str) -> str:
    if text in _NULLS:
        return "nothing"
    if text in _TRUE or text in _FALSE:
        return "boolean"
    if integer(text) is not None:
        return "integer"
    return "number" if _FLOAT.match(text) else "string"


def _decode(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _place(before: str) -> Node:
    """The place after a text."""
    return Node(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _syntax(error: yaml.YAMLError, text: str) -> Fault:
    if isinstance(error, yaml.reader.ReaderError):
        at = _place(text.encode()[: error.position].decode("utf-8", "replace"))
        character = error.character if isinstance(error.character, int) else ord(error.character[:1] or b"\0")
        return Fault("yaml-syntax", at, f"character {character:#x} may not stand in YAML")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    at = Node(mark.line + 1, mark.column + 1) if mark else Node(1, 1)
    problem = getattr(error, "problem", None) or "this is not YAML"
    hint = ""
    lines = text.split("\n")
    if at.line <= len(lines) and "\t" in lines[at.line - 1][: at.column]:
        hint = "indent with spaces, not tabs"
    elif "mapping values are not allowed" in problem:
        hint = "quote a value that contains `: `, or check the indentation"
    return Fault("yaml-syntax", at, problem, hint)


class _Frame:
    """A collection that is being built. `key` waits for its value; `skip` drops it: the key is there already."""

    __slots__ = ("anchor", "key", "merges", "node", "skip")

    def __init__(self, node: Mapping | Sequence, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.key: Scalar | None = None
        self.skip = False
        self.merges: list[Node] = []


class _Builder:
    """Takes libyaml's events one by one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._stack: list[_Frame] = []
        self._anchors: dict[str, Node] = {}
        self._documents = 0

    def take(self, event: Any) -> bool:
        """False: enough, stop reading."""
        kind = type(event)
        if kind is yaml.ScalarEvent:
            mark = event.start_mark
            if event.tag not in _STRING_TAGS:
                self._bad_tag(event)
            node = Scalar(mark.line + 1, mark.column + 1, event.value, event.implicit[0])
            return self._add(node, event.anchor)
        if kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            self._open(event, Mapping if kind is yaml.MappingStartEvent else Sequence)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            return self._close()
        elif kind is yaml.AliasEvent:
            return self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            self._anchors.clear()
        return True

    def _fault(self, code: str, at: Node, message: str, hint: str = "") -> None:
        self._source.faults.append(Fault(code, at, message, hint))

    def _bad_tag(self, event: Any) -> None:
        self._fault(
            "yaml-tag", _start(event), f"tag `{event.tag}` has no meaning in a policy", "write the value without"
        )

    def _open(self, event: Any, make: type[Mapping] | type[Sequence]) -> None:
        if event.tag not in _COLLECTION_TAGS:
            self._bad_tag(event)
        at = event.start_mark
        self._stack.append(_Frame(make(at.line + 1, at.column + 1), event.anchor))

    def _close(self) -> bool:
        frame = self._stack.pop()
        node = frame.node
        children = node.entries.values() if isinstance(node, Mapping) else node.items
        for merged in frame.merges:
            self._merge(node, merged)
        node.weight = 1 + sum(child.weight for child in children)
        if node.weight > MAX_NODES:
            self._fault("too-large", node, f"more than {MAX_NODES} values, aliases included")
            return False
        return self._add(node, frame.anchor)

    def _alias(self, event: Any) -> bool:
        target = self._anchors.get(event.anchor)
        if target is None:
            self._fault("yaml-syntax", _start(event), f"no anchor `&{event.anchor}` before this alias")
            target = Scalar(event.start_mark.line + 1, event.start_mark.column + 1, "", False)
        return self._add(target, None)

    def _add(self, node: Node, anchor: str | None) -> bool:
        if anchor:
            self._anchors[anchor] = node
        if not self._stack:
            return self._document(node)
        frame = self._stack[-1]
        owner = frame.node
        if isinstance(owner, Sequence):
            owner.items.append(node)
        elif frame.key is None:
            self._key(frame, owner, node)
        else:
            if frame.skip:
                frame.skip = False
            elif frame.key.plain and frame.key.text == "<<":
                frame.merges.append(node)
            else:
                owner.entries[frame.key.text] = node
            frame.key = None
        return True

    def _key(self, frame: _Frame, owner: Mapping, node: Node) -> None:
        if not isinstance(node, Scalar):
            self._fault("yaml-syntax", node, "a key must be a single word, not a list or a mapping")
            frame.key, frame.skip = Scalar(node.line, node.column, "", False), True
            return
        frame.key = node
        first = owner.keys.setdefault(node.text, node)
        if first is not node and not (node.plain and node.text == "<<"):
            self._fault(
                "duplicate-key", node, f"`{node.text}` is here for the second time", f"first: line {first.line}"
            )
            frame.skip = True

    def _merge(self, owner: Mapping | Sequence, merged: Node) -> None:
        for one in merged.items if isinstance(merged, Sequence) else [merged]:
            if not isinstance(one, Mapping) or not isinstance(owner, Mapping):
                self._fault("yaml-syntax", one, "`<<` takes a mapping, or a list of mappings")
                continue
            for key, value in one.entries.items():
                if key not in owner.entries:
                    owner.entries[key] = value
                    owner.keys[key] = one.keys[key]

    def _document(self, node: Node) -> bool:
        if self._documents == 1:
            self._source.root = node
        elif not (isinstance(node, Scalar) and node.plain and node.text in _NULLS):
            self._fault(
                "several-documents", node, "a second document begins here", "one policy per file: put it into another"
            )
            return False
        return True


def _start(event: Any) -> Node:
    return Node(event.start_mark.line + 1, event.start_mark.column + 1)


def inside(at: Node, text: str, offset: int) -> Node:
    """The place `offset` characters into a scalar's text; its beginning if the text has several lines."""
    if "\n" in text:
        return at
    quote = 0 if isinstance(at, Scalar) and at.plain else 1
    return Node(at.line, at.column + quote + offset)
