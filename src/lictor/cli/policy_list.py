"""`lictor policy list|stats|domains`: what the agent says of its policies."""

from __future__ import annotations

from typing import Any

import click

from lictor.cli.remote import ask_one, output_option, remote_options, show_json, take_remote
from lictor.cli.render import safe, table
from lictor.clock import NANOSECONDS

HEADS = ("ID", "NAME", "DOMAIN", "STATE", "FILTERID", "NAMESPACE", "SENSORS", "KERNELMEMORY", "MODE")
COUNTS = ("NPOST", "NENFORCE", "NMONITOR")
_STATS_HEADS = (
    "POLICY", "HOOK", "SELECTOR", "LABEL", "MATCHES", "POST", "NOPOST", "LIMITED", "DROPPED", "FAILED", "ENFORCED",
    "MONITORED", "TIME",
)  # fmt: skip
_TOTALS = ("values that conditions asked for could not be read", "matches whose return could not be waited for")
_ENFORCING = ("signal", "override", "notify_enforcer", "set")
_EXAMPLES = """
\b
Examples:
  lictor policy list
  lictor policy list --domain static -o json
"""


@click.command(help="Show the agent's policies and their states." + _EXAMPLES)
@click.option("--domain", default="", help="Only those of a domain: static, grpc, k8s …")
@output_option
@remote_options
def list_command(domain: str, output: str, **options: Any) -> None:
    found = policies(domain, options)
    if output == "json":
        show_json(found)
        return
    for line in table([_row(one) for one in found.policies], (*HEADS, *COUNTS)):
        click.echo(line)
    for one in found.policies:
        if one.error:
            click.echo(f"\n{safe(one.name)}: " + "\n".join(map(safe, one.error.splitlines())))


@click.command(
    help="Show what each selector of the agent's policies counted: matches, events (POST), matches without one "
    "(NOPOST), events that a rate limit held back (LIMITED) or that found no room in the ring (DROPPED), values that "
    "could not be read (FAILED), actions. TIME is how long the policy took on the hook, with all its selectors: an "
    "estimate, as one run of 32 is timed.\n\n\b\nExamples:\n  lictor policy stats\n"
    "  lictor policy stats file-monitoring -o json"
)
@click.argument("names", nargs=-1, metavar="[NAME…]")
@output_option
@remote_options
def stats_command(names: tuple[str, ...], output: str, **options: Any) -> None:
    from lictor.api import ours

    found = policies("", options)
    chosen = [one for one in found.policies if not names or one.name in names]
    rows = [(one, row) for one in chosen for row in one.stats.selector_action_counters]
    if output == "json":
        show_json([_stats_object(one, row) for one, row in rows])
        return
    for line in table([_stats_row(one, row) for one, row in rows], _STATS_HEADS):
        click.echo(line)
    for one in chosen:
        for count, what in zip(ours.of(one.stats, len(_TOTALS)), _TOTALS, strict=True):
            if count:
                click.echo(f"{safe(one.name)}: {count} {what}")


@click.command(help="Show who the agent's policies come from.")
@output_option
@remote_options
def domains_command(output: str, **options: Any) -> None:
    from lictor.api.pb.tetragon import sensors_pb2 as pb

    found = ask_one(take_remote(options), "ListDomains", pb.ListDomainsRequest(), pb.ListDomainsResponse)
    if output == "json":
        show_json(list(found.domains))
    else:
        click.echo("\n".join(map(safe, found.domains)))


def policies(domain: str, options: dict[str, Any]) -> Any:
    from lictor.api.pb.tetragon import sensors_pb2 as pb

    request = pb.ListTracingPoliciesRequest(domain=domain)
    return ask_one(take_remote(options), "ListTracingPolicies", request, pb.ListTracingPoliciesResponse)


def state(one: Any) -> str:
    """`enabled`, `load_error`, …"""
    from lictor.api.pb.tetragon import sensors_pb2 as pb

    return pb.TracingPolicyState.Name(one.state).removeprefix("TP_STATE_").lower()


def mode(one: Any) -> str:
    from lictor.api.pb.tetragon import sensors_pb2 as pb

    return pb.TracingPolicyMode.Name(one.mode).removeprefix("TP_MODE_").lower()


def _row(one: Any) -> tuple[str, ...]:
    counters = one.stats.action_counters
    enforced, monitored = _sums(counters)
    return (
        str(one.id),
        one.name,
        one.domain,
        state(one),
        str(one.filter_id),
        one.namespace or "(global)",
        ",".join(one.sensors),
        f"{one.kernel_memory_bytes / 1e6:.2f} MB",
        mode(one),
        str(counters.post),
        str(enforced),
        str(monitored),
    )


def _sums(counters: Any) -> tuple[int, int]:
    return (
        sum(getattr(counters, name) for name in _ENFORCING),
        sum(getattr(counters, f"monitor_{name}") for name in _ENFORCING),
    )


def _counted(row: Any) -> dict[str, int]:
    """What our agent tells beside the reference's counters."""
    from lictor.api import ours

    return dict(zip(ours.OF_SELECTORS, ours.of(row, len(ours.OF_SELECTORS)), strict=True))


def _stats_row(one: Any, row: Any) -> tuple[str, ...]:
    counters = row.action_counters
    counted = _counted(row)
    where = f"{row.hook_index.value}.{row.selector_index.value}"
    held = (counted["limited"], counted["lost"], counted["failed_reads"])
    numbers = (counted["matches"], counters.post, counters.nopost, *held, *_sums(counters))
    time = f"{counted['hook_ns'] / NANOSECONDS:.6f} s"
    return (one.name, row.hook, where, row.selector_label, *map(str, numbers), time)


def _stats_object(one: Any, row: Any) -> dict[str, Any]:
    counters = row.action_counters
    return {
        "policy": one.name,
        "namespace": one.namespace,
        "hook": row.hook,
        "hook_index": row.hook_index.value,
        "selector_index": row.selector_index.value,
        "label": row.selector_label,
        "counters": {field.name: getattr(counters, field.name) for field in counters.DESCRIPTOR.fields},
        **_counted(row),
    }
