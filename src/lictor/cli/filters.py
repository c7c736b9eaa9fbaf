"""The filter options of commands that show events: one row per field of a filter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from lictor.model.event import EventType
from lictor.pipeline.fields import FieldFilter, split_paths
from lictor.pipeline.filters import EventFilter

EVENT_NAMES = {
    kind.name.removeprefix("PROCESS_").lower(): kind for kind in EventType if kind.name.startswith("PROCESS_")
}

# Field of the filter -> its options and what they mean. Each may be given again; any of the values is enough.
_TEXTS: dict[str, tuple[tuple[str, ...], str]] = {
    "binary_regex": (("--binary-regex", "--process", "--processes"), "binary (RE2)"),
    "arguments_regex": (("--arguments-regex",), "arguments (RE2)"),
    "parent_binary_regex": (("--parent-binary-regex",), "binary of the parent (RE2)"),
    "parent_arguments_regex": (("--parent-arguments-regex",), "arguments of the parent (RE2)"),
    "ancestor_binary_regex": (("--ancestor-binary-regex",), "binary of a process above the parent (RE2)"),
    "namespace": (("-n", "--namespace", "--namespaces"), "Kubernetes namespace"),
    "namespace_regex": (("--namespace-regex",), "Kubernetes namespace (RE2)"),
    "pod_regex": (("--pod-regex", "--pod", "--pods"), "name of the pod (RE2)"),
    "container_name_regex": (("--container-name-regex", "--containers"), "name of the container (RE2)"),
    "container_id": (("--container-id",), "container id (RE2)"),
    "labels": (("-l", "--labels"), "labels of the pod, as a selector"),
    "policy_names": (("--policy-names",), "policy that made the event"),
    "cel_expression": (("--cel-expression",), "CEL expression over the event's message"),
}


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of filters; `take_filter` takes their values from those of the command."""
    for option in reversed(_options()):
        command = option(command)
    return command


def take_filter(values: dict[str, Any]) -> list[EventFilter]:
    """The allow list that the options describe, of no filter or of one. Their values are gone from `values` then."""
    names = (*_TEXTS, "pid", "pid_set", "in_init_tree")
    given = {name: values.pop(name) for name in names}
    if values.pop("host"):
        given["namespace"] = (*given["namespace"], "")
    kinds = tuple(_kind(word) for word in split_paths(values.pop("event_types")))
    found = EventFilter(event_set=kinds, **given)
    return [] if found == EventFilter() else [found]


def _options() -> list[Callable[..., Any]]:
    kinds = ", ".join(EVENT_NAMES)
    return [
        click.option("-e", "--event-types", multiple=True, help=f"Only these kinds, comma separated: {kinds}."),
        click.option("--pid", type=int, multiple=True, help="Only events of this process."),
        click.option("--pid-set", type=int, multiple=True, help="Only events of this process and its descendants."),
        *(
            click.option(*names, name, multiple=True, help=f"Only events with this {meaning}.")
            for name, (names, meaning) in _TEXTS.items()
        ),
        click.option("--host", is_flag=True, help="Only events of processes outside of pods."),
        click.option("--in-init-tree/--not-in-init-tree", default=None, help="Whether started by a container's init."),
    ]


def _kind(word: str) -> EventType:
    name = word.lower().removeprefix("process_")
    if name not in EVENT_NAMES:
        raise click.BadParameter(f"{word} is no event type; there are {', '.join(EVENT_NAMES)}")
    return EVENT_NAMES[name]


def field_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `-f` and `-F`."""
    for option in (
        click.option("-F", "--exclude-fields", multiple=True, help="Without these fields, e.g. process.ns,parent."),
        click.option("-f", "--include-fields", multiple=True, help="Only these fields, e.g. process.binary,args."),
    ):
        command = option(command)
    return command


def field_filters(include: tuple[str, ...], exclude: tuple[str, ...]) -> list[FieldFilter]:
    """What `-f` and `-F` ask for."""
    pairs = ((split_paths(include), True), (split_paths(exclude), False))
    return [FieldFilter(paths, keep) for paths, keep in pairs if paths]
