"""`lictor policy generate`: policies to start from, as YAML."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

import click
import yaml

from lictor import regex
from lictor.cli.options import examples
from lictor.errors import LictorError

Hooks = list[dict[str, Any]]
_LIST = "generated"


@click.group(
    help=examples(
        "Print a policy to start from, as YAML.",
        "lictor policy generate empty > mine.yaml",
        "lictor policy generate all-syscalls-list -m /usr/bin/curl",
        "lictor policy generate ftrace-list -r '^tcp_.*connect'",
        "lictor policy generate uprobes -b /bin/bash | lictor policy add -",
    )
)
def command() -> None:
    pass


def _kind(name: str, text: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command whose result is the `spec` of the policy that is printed."""

    def decorate(function: Callable[..., dict[str, Any]]) -> click.Command:
        def run(policy_name: str, match_binary: tuple[str, ...], **options: Any) -> None:
            spec = function(**options)
            if match_binary:
                _limit(spec, match_binary)
            policy = {
                "apiVersion": "cilium.io/v1alpha1",
                "kind": "TracingPolicy",
                "metadata": {"name": policy_name or name},
                "spec": spec,
            }
            click.echo(yaml.safe_dump(policy, sort_keys=False, width=120), nl=False)

        run.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        run = click.option("-m", "--match-binary", multiple=True, help="Only for this program; may be repeated.")(run)
        run = click.option("--name", "policy_name", default="", help=f"Its name (default: {name}).")(run)
        return command.command(name, help=text)(run)

    return decorate


def _limit(spec: dict[str, Any], binaries: tuple[str, ...]) -> None:
    hooks = [hook for part in spec.values() for hook in part if "name" not in hook or "provider" in hook]
    if not hooks:
        raise LictorError("an empty policy has nothing to match a program", "leave out --match-binary")
    for hook in hooks:
        hook["selectors"] = [{"matchBinaries": [{"operator": "In", "values": list(binaries)}]}]


@_kind("empty", "A policy that does nothing.")
def empty() -> dict[str, Any]:
    return {}


@_kind("all-syscalls", "A hook on each system call of this machine.")
def all_syscalls() -> dict[str, Any]:
    from lictor.catalog import syscalls

    native = syscalls.NATIVE.get(platform.machine(), "x64")
    entries = sorted({call.entry for call in syscalls.every() if call.abi == native})
    return {"kprobes": [{"call": entry, "syscall": True, "ignore": {"callNotFound": True}} for entry in entries]}


@_kind("all-syscalls-list", "All system calls by one hook on a list that the agent fills.")
def all_syscalls_list() -> dict[str, Any]:
    return _of_list({"name": _LIST, "type": "generated_syscalls"}, syscall=True)


@_kind("ftrace-list", "All kernel functions whose names match, by one hook on a list that the agent fills.")
@click.option("-r", "--regex", "pattern", required=True, help="What their names look like (RE2).")
def ftrace_list(pattern: str) -> dict[str, Any]:
    regex.compile(pattern)
    return _of_list({"name": _LIST, "type": "generated_ftrace", "pattern": pattern}, syscall=False)


def _of_list(values: dict[str, Any], syscall: bool) -> dict[str, Any]:
    return {"lists": [values], "kprobes": [{"call": f"list:{_LIST}", "syscall": syscall}]}


@_kind("uprobes", "A hook on each function of a program that its symbol tables name.")
@click.option("-b", "--binary", required=True, help="The program or library.")
def uprobes(binary: str) -> dict[str, Any]:
    from lictor.host import elf

    return {"uprobes": [{"path": binary, "symbols": elf.functions_of(binary)}]}


@_kind("usdts", "A hook on each static probe (USDT) of a program.")
@click.option("-b", "--binary", required=True, help="The program or library.")
def usdts(binary: str) -> dict[str, Any]:
    from lictor.host import elf

    probes = elf.probes_of(binary)
    return {"usdts": [{"path": binary, "provider": provider, "name": name} for provider, name in probes]}
