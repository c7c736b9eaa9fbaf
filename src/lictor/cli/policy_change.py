"""`lictor policy add|modify|delete|enable|disable|set-mode`: changes that the agent makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click
import yaml

from lictor.cli.policy_input import read
from lictor.cli.remote import Remote, ask_one, output_option, remote_options, take_remote
from lictor.errors import LictorError

MODES = click.Choice(["enforce", "monitor"])


def _command(text: str, *examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    lines = "".join(f"  {one}\n" for one in examples)
    return click.command(help=f"{text}\n\n\b\nExamples:\n{lines}")


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say which policies are meant, and which agent."""
    for option in (
        remote_options,
        output_option,
        click.option("--domain", default="grpc", show_default=True, help="Who the policies come from."),
        click.option("-n", "--namespace", default="", help="Of policies that have a namespace."),
    ):
        command = option(command)
    return command


@_command(
    "Give policies to the agent, which puts them in force. `-` is standard input.",
    "lictor policy add file-monitoring.yaml",
    "lictor policy add --mode monitor enforce.yaml   # say what it would do, do nothing",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--mode", type=MODES, help="What its enforcing actions do, whatever the policy says.")
@click.option("--domain", default="grpc", show_default=True, help="Who the policies come from.")
@output_option
@remote_options
def add_command(files: tuple[str, ...], mode: str | None, domain: str, output: str, **options: Any) -> None:
    remote = take_remote(options)
    for file in files:
        _add(remote, file, _text(file, mode), domain)
        _say(output, file, "added")


@_command(
    "Replace policies of the agent, each at once: there is no moment without. One that cannot be loaded leaves the old "
    "one in force.",
    "lictor policy modify file-monitoring.yaml",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--mode", type=MODES, help="What its enforcing actions do, whatever the policy says.")
@click.option("--domain", default="grpc", show_default=True, help="Who the policies come from.")
@output_option
@remote_options
def modify_command(files: tuple[str, ...], mode: str | None, domain: str, output: str, **options: Any) -> None:
    remote = take_remote(options)
    for file in files:
        _add(remote, file, _text(file, mode), domain, replace=True)
        _say(output, file, "replaced")


@_command("Take policies out of the agent.", "lictor policy delete file-monitoring")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@_where
def delete_command(names: tuple[str, ...], namespace: str, domain: str, output: str, **options: Any) -> None:
    remote = take_remote(options)
    for name in names:
        _delete(remote, name, namespace, domain)
        _say(output, name, "deleted")


@_command("Switch policies on again.", "lictor policy enable file-monitoring")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@_where
def enable_command(names: tuple[str, ...], namespace: str, domain: str, output: str, **options: Any) -> None:
    remote = take_remote(options)
    for name in names:
        _configure(remote, name=name, namespace=namespace, domain=domain, enable=True)
        _say(output, name, "enabled")


@_command("Switch policies off, and keep them.", "lictor policy disable file-monitoring")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@_where
def disable_command(names: tuple[str, ...], namespace: str, domain: str, output: str, **options: Any) -> None:
    remote = take_remote(options)
    for name in names:
        _configure(remote, name=name, namespace=namespace, domain=domain, enable=False)
        _say(output, name, "disabled")


@_command(
    "Let a policy enforce, or only say what it would have done.",
    "lictor policy set-mode file-enforcement enforce --for 10m",
)
@click.argument("name")
@click.argument("mode", type=MODES)
@click.option("--for", "period", metavar="TIME", help="Only so long, e.g. 10m: then as before, even without the agent.")
@_where
def set_mode_command(
    name: str, mode: str, period: str | None, namespace: str, domain: str, output: str, **options: Any
) -> None:
    from lictor.api import ours
    from lictor.api.pb.tetragon import sensors_pb2 as pb

    number = pb.TracingPolicyMode.Value(f"TP_MODE_{mode.upper()}")
    request = pb.ConfigureTracingPolicyRequest(name=name, namespace=namespace, domain=domain, mode=number)
    if period is not None:
        ours.put(request, _seconds(period))
    ask_one(take_remote(options), "ConfigureTracingPolicy", request, pb.ConfigureTracingPolicyResponse)
    _say(output, name, f"{mode} for {period}" if period else mode)


def _seconds(text: str) -> int:
    number, unit = text[:-1], {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    if unit is None or not number.isascii() or not number.isdigit() or not int(number):
        raise LictorError(f"`--for {text}` is no time", "give a number and s, m or h, e.g. `--for 10m`")
    return int(number) * unit


def _say(output: str, what: str, word: str) -> None:
    """What was done, for people or as a JSON line."""
    click.echo(json.dumps({"policy": what, "done": word}) if output == "json" else f"{what}: {word}")


def _add(remote: Remote, file: str, text: str, domain: str, replace: bool = False) -> None:
    from lictor.api import ours
    from lictor.api.pb.tetragon import sensors_pb2 as pb

    request = pb.AddTracingPolicyRequest(yaml=text, domain=domain)
    if replace:
        ours.put(request, 1)
    try:
        ask_one(remote, "AddTracingPolicy", request, pb.AddTracingPolicyResponse)
    except LictorError as error:
        raise LictorError(f"{file}: {error.message}", error.remedy) from error


def _delete(remote: Remote, name: str, namespace: str, domain: str) -> None:
    from lictor.api.pb.tetragon import sensors_pb2 as pb

    request = pb.DeleteTracingPolicyRequest(name=name, namespace=namespace, domain=domain)
    ask_one(remote, "DeleteTracingPolicy", request, pb.DeleteTracingPolicyResponse)


def _configure(remote: Remote, **values: Any) -> None:
    from lictor.api.pb.tetragon import sensors_pb2 as pb

    request = pb.ConfigureTracingPolicyRequest(**values)
    ask_one(remote, "ConfigureTracingPolicy", request, pb.ConfigureTracingPolicyResponse)


def _text(file: str, mode: str | None) -> str:
    """A file's policy; with a mode, the option that says so is put into it."""
    raw = read(file)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise LictorError(f"{file} is no text: {error}", "policies are YAML in UTF-8") from error
    return text if mode is None else _with_mode(file, text, mode)


def _with_mode(file: str, text: str, mode: str) -> str:
    document = _document(file, text)
    spec = document.setdefault("spec", {})
    if not isinstance(spec, dict):
        return text  # the agent says what is wrong with it
    options = [one for one in spec.get("options") or [] if not _is_mode(one)]
    spec["options"] = [*options, {"name": "policy-mode", "value": mode}]
    changed: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return changed


def _is_mode(option: Any) -> bool:
    return isinstance(option, dict) and option.get("name") == "policy-mode"


def _document(file: str, text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LictorError(f"{file} is no YAML: {error}", "`lictor policy check` explains") from error
    if not isinstance(found, dict):
        raise LictorError(f"{file} is no policy", "`lictor policy check` explains")
    return found
