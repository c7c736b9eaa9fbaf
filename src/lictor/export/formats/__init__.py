"""Other forms of events: tables (`*.yaml`) say what goes where, `mapping.py` carries it out."""

from __future__ import annotations

from collections.abc import Callable

Convert = Callable[[bytes], bytes]
"""From an event's JSON line, without its newline, to the text for the receiver."""


def convert_to(name: str) -> Convert | None:
    """The conversion to a format of `targets.FORMATS`; None for our own, which needs none."""
    if name == "json":
        return None
    from lictor.export.formats import cef, nested

    return cef.converter() if name == "cef" else nested.converter(name)
