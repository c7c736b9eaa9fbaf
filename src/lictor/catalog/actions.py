"""Actions: what each takes and where it can be used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ActionRow:
    """`required` and `optional` are the parameters; `sections` the hook sections that can have it. `enforces`: it acts
    on the process or the call, so that mode `monitor` leaves it out. `at_return`: it can be a matchReturnAction.
    """

    name: str
    sections: tuple[str, ...]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    enforces: bool = False
    at_return: bool = True


_POST = ("rateLimit", "rateLimitScope", "kernelStackTrace", "userStackTrace", "imaHash")
_REGISTERS = ("argRegs", "argNewSymbol", "argNewAddr", "argNewOffset")
_ALL = ("kprobes", "fentries", "tracepoints", "lsmhooks", "uprobes", "usdts")
_SIGNALS = ("kprobes", "tracepoints", "lsmhooks", "uprobes", "usdts")
_FUNCTIONS = ("kprobes", "fentries")

ACTIONS = {
    row.name: row
    for row in (
        ActionRow("Post", _ALL, optional=_POST),
        ActionRow("Sigkill", _SIGNALS, enforces=True),
        ActionRow(
            "Override",
            ("kprobes", "lsmhooks", "uprobes"),
            optional=("argError", *_REGISTERS),
            enforces=True,
            at_return=False,
        ),
        ActionRow("GetUrl", ("kprobes", "tracepoints"), required=("argUrl",)),
        ActionRow("DnsLookup", ("kprobes", "tracepoints"), required=("argFqdn",)),
        ActionRow("NoPost", _ALL),
        ActionRow("Signal", _SIGNALS, required=("argSig",), enforces=True),
        ActionRow("TrackSock", _FUNCTIONS, required=("argSock",), at_return=False),
        ActionRow("UntrackSock", _FUNCTIONS, required=("argSock",), at_return=False),
        ActionRow("NotifyEnforcer", ("kprobes", "tracepoints"), optional=("argError", "argSig"), enforces=True),
        ActionRow("CleanupEnforcerNotification", ("kprobes", "tracepoints")),
        ActionRow("Set", ("usdts",), required=("argIndex", "argValue"), enforces=True, at_return=False),
    )
}
