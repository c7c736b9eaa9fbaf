"""The filter options of commands that show events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lictor.model.event import EventType
from lictor.pipeline.filters import EventFilter

EVENT_NAMES = {
    kind.name.removeprefix("PROCESS_").lower(): kind for kind in EventType if kind.name.startswith("PROCESS_")
}


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--pid`, `--binary-regex` and `--event-types`."""
    for option in (
        click.option("--pid", type=int, multiple=True, help="Only events of this process; may be given again."),
        click.option("--binary-regex", multiple=True, help="Only events whose binary matches (RE2)."),
        click.option(
            "-e",
            "--event-types",
            help=f"Only these kinds, comma separated: {', '.join(EVENT_NAMES)}.",
        ),
    ):
        command = option(command)
    return command


def event_filter(pid: tuple[int, ...], binary_regex: tuple[str, ...], event_types: str | None) -> list[EventFilter]:
    """The allow list that the options describe: empty, or one filter."""
    kinds = []
    for word in (event_types or "").replace(",", " ").split():
        name = word.lower().removeprefix("process_")
        if name not in EVENT_NAMES:
            raise click.BadParameter(f"{word} is no event type; there are {', '.join(EVENT_NAMES)}")
        kinds.append(EVENT_NAMES[name])
    found = EventFilter(binary_regex, pid, tuple(kinds))
    return [] if found == EventFilter() else [found]
