"""`lictor debug maps|progs|enable-stats`: what an agent holds in the kernel, and what that costs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lictor.cli.options import examples
from lictor.cli.remote import output_option, show_json
from lictor.cli.render import table
from lictor.daemon.settings import DEFAULTS
from lictor.errors import LictorError

if TYPE_CHECKING:
    from lictor.kernel.held import HeldProgram

_COUNTING = Path("/proc/sys/kernel/bpf_stats_enabled")


def _of_the_agent(command: Callable[..., Any]) -> Callable[..., Any]:
    text = f"The agent's process; default: what {DEFAULTS['pid_file']} says."
    return click.option("--pid", type=click.IntRange(1), help=text)(command)


@click.command(
    help=examples(
        "Show the maps of the agent on this machine and the kernel memory of each, largest first. Root.",
        "lictor debug maps",
        "lictor debug maps -n 5 -o json",
    )
)
@click.option("-n", "--lines", type=click.IntRange(1), help="Only so many.")
@output_option
@_of_the_agent
def maps_command(lines: int | None, output: str, pid: int | None) -> None:
    from lictor.kernel.held import maps_of

    found = _looked(maps_of, pid)
    total = sum(one.bytes for one in found)
    shown = found[:lines]
    if output == "json":
        show_json({"maps": [one._asdict() for one in shown], "total_bytes": total})
        return
    rows = [(str(one.id), one.name, one.type, str(one.entries), str(one.bytes)) for one in shown]
    for line in table(rows, ("ID", "NAME", "TYPE", "ENTRIES", "BYTES")):
        click.echo(line)
    click.echo(f"{len(found)} maps, {total / (1 << 20):.1f} MB")


@click.command(
    help=examples(
        "Show the programs of the agent on this machine, how often each ran, and for how long. Root. Runs are counted "
        "while `lictor debug enable-stats` runs, or for as long as --for says.",
        "lictor debug progs",
        "lictor debug progs --for 5 -o json",
    )
)
@click.option("--for", "seconds", type=click.FloatRange(0, 3600), default=0.0, help="Count for so many seconds first.")
@output_option
@_of_the_agent
def progs_command(seconds: float, output: str, pid: int | None) -> None:
    from lictor.kernel.held import counting_runs, programs_of

    found = _looked(programs_of, pid)
    if seconds:
        with _allowed(), counting_runs():
            time.sleep(seconds)
            found = _since(found, _looked(programs_of, pid))
    if output == "json":
        show_json({"seconds": seconds, "programs": [one._asdict() for one in found]})
        return
    rows = [
        (str(one.id), one.name, one.type, str(one.runs), _each(one), str(one.misses), str(one.instructions))
        for one in found
    ]
    for line in table(rows, ("ID", "NAME", "TYPE", "RUNS", "NS EACH", "SKIPPED", "INSTRUCTIONS")):
        click.echo(line)
    if not seconds and _COUNTING.read_text().strip() == "0" and not any(one.runs for one in found):
        click.echo("Runs are not counted just now: add `--for 5`.", err=True)


@click.command(
    help=examples(
        "Have the kernel count how often BPF programs run, and for how long, until this command ends. That costs every "
        "program some time. Root.",
        "lictor debug enable-stats --for 60 &",
    )
)
@click.option("--for", "seconds", type=click.FloatRange(0.1), help="End after so many seconds; without it, at Ctrl-C.")
def enable_stats_command(seconds: float | None) -> None:
    from lictor.kernel.held import counting_runs

    with _allowed(), counting_runs():
        click.echo("counting; `lictor debug progs` and the metrics tetragon_overhead_program_* show it", err=True)
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(seconds if seconds is not None else float(1 << 30))


def _since(before: list[HeldProgram], now: list[HeldProgram]) -> list[HeldProgram]:
    known = {one.id: one for one in before}
    found = []
    for one in now:
        old = known.get(one.id)
        runs, spent, misses = (old.runs, old.time_ns, old.misses) if old is not None else (0, 0, 0)
        found.append(one._replace(runs=one.runs - runs, time_ns=one.time_ns - spent, misses=one.misses - misses))
    return sorted(found, key=lambda one: -one.time_ns)


def _each(one: HeldProgram) -> str:
    return str(one.time_ns // one.runs) if one.runs else "-"


def _looked(look: Callable[[int], Any], pid: int | None) -> Any:
    number = pid or agent_pid()
    try:
        found = look(number)
    except OSError as error:
        remedy = "run it as root" if isinstance(error, PermissionError) else "start the agent, or name it with --pid"
        raise LictorError(f"process {number} cannot be looked at: {error.strerror}", remedy) from error
    if not found:
        raise LictorError(f"process {number} holds nothing of BPF", "name the agent's process with --pid")
    return found


def agent_pid() -> int:
    try:
        return int(Path(DEFAULTS["pid_file"]).read_text())
    except (OSError, ValueError) as error:
        raise LictorError(
            f"the agent's process is not known: {DEFAULTS['pid_file']} does not say", "name it with --pid"
        ) from error


@contextlib.contextmanager
def _allowed() -> Any:
    from lictor.kernel.libbpf import KernelError

    try:
        yield
    except KernelError as error:
        raise LictorError(f"runs cannot be counted: {error}", "run it as root") from error
