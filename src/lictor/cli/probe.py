"""`lictor probe`: what this kernel can do, what Lictor uses for what, and what is missing and why."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from lictor import __version__
from lictor.cli.options import examples
from lictor.cli.remote import output_option, show_json
from lictor.cli.render import BOLD, DIM, GREEN, RED, RESET, YELLOW, wants_color
from lictor.errors import EXIT_CANNOT_RUN, LictorError
from lictor.host import features, preflight
from lictor.host.build_options import build_options
from lictor.host.features import REQUIRED, Finding, Machine

# How policies can be carried out; of the names of abilities.
_HOOKS = ("fentry", "fexit", "kprobe.multi", "kprobe", "kretprobe", "tracepoint", "raw_tp", "uprobe")
_DENIALS = ("lsm", "fmod_ret", "bpf_override_return", "cgroup/connect", "cgroup_skb", "bpf_send_signal")


@click.command(
    help=examples(
        "Show what this kernel can do, and what Lictor will use for what.",
        "lictor probe",
        "lictor probe -o json",
        "lictor probe config",
    )
)
@click.argument("what", type=click.Choice(["abilities", "config"]), default="abilities")
@click.option("--json", "as_json", is_flag=True, help="The same as `-o json`.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True)
@output_option
def command(what: str, as_json: bool, color: str, output: str) -> None:
    """`what`: abilities, found by trying; or options that the kernel was built with."""
    as_json = as_json or output == "json"
    if what == "config":
        options = build_options()
        if as_json:
            show_json(options)
        else:
            for name, value in options.items():
                click.echo(f"{name:32} {value}")
        return
    preflight.check()
    facts = features.machine()
    found = features.find(facts)
    ready = all(one.available for one in found if one.ability.name in REQUIRED)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_object(facts, found, ready)), indent=2))
    else:
        for line in _lines(facts, found, ready, wants_color(color)):
            click.echo(line)
    if not ready:
        missing = ", ".join(one.ability.name for one in found if one.ability.name in REQUIRED and not one.available)
        raise LictorError(f"Lictor cannot run here: {missing} is missing", "the table says why", EXIT_CANNOT_RUN)


def _object(facts: Machine, found: list[Finding], ready: bool) -> dict[str, Any]:
    return {
        "version": __version__,
        "ready": ready,
        "machine": {
            "release": facts.release,
            "architecture": facts.architecture,
            "lockdown": facts.lockdown,
            "lsm": facts.lsm,
            "cgroup": facts.cgroup,
            "capabilities": f"{facts.capabilities:016x}",
        },
        "features": [
            {
                "name": one.ability.name,
                "available": one.available,
                "required": one.ability.name in REQUIRED,
                "use": one.ability.use,
                "otherwise": one.ability.otherwise,
                "reason": one.reason,
            }
            for one in found
        ],
        "uses": dict(_uses(found)),
    }


def _uses(found: list[Finding]) -> list[tuple[str, str]]:
    """What Lictor does on this machine, and with what."""
    has = {one.ability.name for one in found if one.available}
    return [
        ("process events", "tp_btf sched_process_fork, exec and exit" if has >= REQUIRED else "cannot be had"),
        (
            "raised privileges",
            "fentry security_bprm_committing_creds: exact" if "fentry" in has else "derived from the new image",
        ),
        ("processes that live already", "/proc"),
        ("hooks of policies", ", ".join(name for name in _HOOKS if name in has) or "none can be had"),
        ("denials", ", ".join(name for name in _DENIALS if name in has) or "none can be had"),
    ]


def _lines(facts: Machine, found: list[Finding], ready: bool, color: bool) -> list[str]:
    def paint(code: str, text: str) -> str:
        return f"{code}{text}{RESET}" if color else text

    lockdown = facts.lockdown or "not shown by this kernel"
    lines = [
        f"Kernel      {facts.release} on {facts.architecture}",
        f"Lockdown    {lockdown}",
        f"LSMs        {', '.join(facts.lsm) or 'not shown by this kernel'}",
        f"Cgroups     {facts.cgroup}",
        "",
        paint(BOLD, f"{'ABILITY':22} {'HERE':5} {'FOR':36} WITHOUT IT"),
    ]
    for one in found:
        ability = one.ability
        mark = paint(GREEN, f"{'yes':5}") if one.available else paint(YELLOW, f"{'no':5}")
        without = ability.otherwise or ("Lictor cannot run" if ability.name in REQUIRED else "none")
        lines.append(f"{ability.name:22} {mark} {ability.use:36} {paint(DIM, without) if one.available else without}")
        if not one.available:
            lines.append(f"{'':22} {paint(DIM, one.reason)}")
    lines += ["", paint(BOLD, "Lictor uses here")]
    lines += [f"  {what:28} {how}" for what, how in _uses(found)]
    lines += ["", paint(GREEN, "Ready.") if ready else paint(RED, "Not ready.")]
    return lines
