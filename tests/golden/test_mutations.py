"""No change of a good policy breaks the compiler, on no machine: it gives a plan, or says where and why not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st
from machines import NAMES, machine

from lictor.policy.codes import CODES
from lictor.policy.compile import compile_policy

EXAMPLES = sorted((Path(__file__).parents[2] / "policies" / "examples").rglob("*.yaml"))
TEXTS = [path.read_text() for path in EXAMPLES]
DOCUMENTS = [yaml.safe_load(text) for text in TEXTS]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value of a document."""
    found = [path] if path else []
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found += places(one, (*path, key))
    return found


def value_at(document: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        document = document[step]
    return document


# Every value of every example, to be put where it does not belong.
SCRAPS = [value_at(document, path) for document in DOCUMENTS for path in places(document)]


PIECES = ("", "\t", ":", "- ", "{", "]", "\0", "\x1b", "'", "&a ", "*a", "é", "\n\n", "#", "|")


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """An example in which values were left out, or taken from elsewhere, its own place or another's."""
    text = draw(st.sampled_from(TEXTS))
    document = yaml.safe_load(text)
    for _ in range(draw(st.integers(1, 3))):
        known = places(document)
        if not known:
            break
        path = draw(st.sampled_from(known))
        holder = value_at(document, path[:-1])
        if draw(st.booleans()):
            holder[path[-1]] = copy.deepcopy(draw(st.sampled_from(SCRAPS)))
        else:
            del holder[path[-1]]
    return yaml.safe_dump(document, sort_keys=False).encode()


@given(changed(), st.sampled_from(NAMES))
def test_changed_documents(data: bytes, name: str) -> None:
    found = compile_policy(data, "changed.yaml", machine(name))
    assert (found.plan is None) == bool(found.errors)
    lines = data.count(b"\n") + 1
    for one in found.diagnostics:
        assert one.code in CODES
        assert one.message
        assert 1 <= one.line <= lines


@given(st.sampled_from(TEXTS), st.data())
def test_changed_texts(text: str, data: st.DataObject) -> None:
    """Text cut, or with characters put in: often no YAML any more."""
    at = data.draw(st.integers(0, len(text)))
    upto = data.draw(st.integers(at, min(len(text), at + 40)))
    put = data.draw(
        st.sampled_from(["", "\t", ":", "- ", "{", "]", "\0", "\x1b", "'", "&a ", "*a", "é", "\n\n", "#", "|"])
    )
    compiled = compile_policy((text[:at] + put + text[upto:]).encode(), "changed.yaml", machine(NAMES[0]))
    assert (compiled.plan is None) == bool(compiled.errors) or not compiled.diagnostics
