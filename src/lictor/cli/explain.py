"""`lictor explain`: what a field of a policy means and may be, from the same model that checks policies."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import click

from lictor.cli.options import examples
from lictor.cli.remote import output_option, show_json
from lictor.errors import LictorError

_KINDS = ("tracingpolicy", "tracingpolicies", "tgtp", "tracingpolicynamespaced", "tracingpoliciesnamespaced", "tgtpn")
_DEEPEST = 8
Schema = dict[str, Any]


@click.command(
    help=examples(
        "Say what a field of a policy means, and what it may be.",
        "lictor explain tracingpolicy",
        "lictor explain tracingpolicy.spec.kprobes.selectors.matchArgs",
        "lictor explain -R spec.kprobes.args",
    )
)
@click.argument("field", default="tracingpolicy")
@click.option("-R", "--recursive", is_flag=True, help="Name the fields below it too, without their meanings.")
@output_option
def command(field: str, recursive: bool, output: str) -> None:
    # Imported here: the document model is not needed for the help of other commands.
    from lictor.policy.schema import json_schema

    whole = json_schema()
    found = find(whole, [part for part in field.split(".") if part])
    if output == "json":
        show_json(found | {"fields": {name: _shown(whole, one) for name, one in _fields(whole, found)}})
        return
    for line in _lines(whole, field, found, recursive):
        click.echo(line)


def find(whole: Schema, path: list[str]) -> Schema:
    """The schema of a field. Raises LictorError with the nearest names for one that there is not."""
    if path and path[0].lower() in _KINDS:
        path = path[1:]
    at, trodden = whole, "tracingpolicy"
    for name in path:
        known = dict(_fields(whole, at))
        if name not in known:
            near = get_close_matches(name, known, n=1)
            names = ", ".join(known) or "none"
            hint = f"did you mean {trodden}.{near[0]}?" if near else f"there are: {names}"
            raise LictorError(f"{trodden} has no field {name}", hint)
        at, trodden = known[name], f"{trodden}.{name}"
    return at


def _fields(whole: Schema, one: Schema) -> Iterator[tuple[str, Schema]]:
    below = _resolved(whole, one)
    yield from below.get("properties", {}).items()


def _resolved(whole: Schema, one: Schema) -> Schema:
    """What a field is made of: behind references, lists, and maps."""
    while True:
        if "$ref" in one:
            one = whole["$defs"][one["$ref"].rpartition("/")[2]]
        elif isinstance(one.get("items"), dict):
            one = one["items"]
        elif isinstance(one.get("additionalProperties"), dict):
            one = one["additionalProperties"]
        else:
            return one


def _type(whole: Schema, one: Schema) -> str:
    if one.get("type") == "array":
        return f"[]{_type(whole, one.get('items', {}))}"
    if isinstance(one.get("additionalProperties"), dict):
        return f"map of {_type(whole, one['additionalProperties'])}"
    if "$ref" in one:
        return str(one["$ref"].rpartition("/")[2])
    found = one.get("type", "any")
    return " or ".join(found) if isinstance(found, list) else str(found)


def _shown(whole: Schema, one: Schema) -> dict[str, str]:
    return {"type": _type(whole, one), "description": one.get("description", "")}


def _lines(whole: Schema, field: str, found: Schema, recursive: bool) -> Iterator[str]:
    below = _resolved(whole, found)
    yield f"FIELD: {field} <{_type(whole, found)}>"
    for text in dict.fromkeys(one.get("description", "") for one in (found, below)):
        if text:
            yield f"  {text}"
    for key, label in (("enum", "one of"), ("default", "default"), ("minimum", "at least"), ("maximum", "at most")):
        if key in below:
            value = below[key]
            yield f"  {label}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
    for key, label in (("minItems", "at least"), ("maxItems", "at most")):
        if key in found:
            yield f"  {label} {found[key]} of them"
    needed = set(below.get("required", ()))
    fields = list(_fields(whole, found))
    if fields:
        yield "FIELDS:"
    if recursive:
        yield from _tree(whole, found, 1)
        return
    width = max((len(name) for name, _ in fields), default=0)
    for name, one in fields:
        must = " (required)" if name in needed else ""
        yield f"  {name:{width}}  <{_type(whole, one)}>{must} {one.get('description', '')}".rstrip()


def _tree(whole: Schema, at: Schema, depth: int) -> Iterator[str]:
    for name, one in _fields(whole, at):
        yield f"{'  ' * depth}{name} <{_type(whole, one)}>"
        if depth < _DEEPEST:
            yield from _tree(whole, one, depth + 1)
