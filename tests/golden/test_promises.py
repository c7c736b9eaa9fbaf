"""docs/reference/enforcement.md: what the policies of the library promise on the saved machines, and by which attacks
that was tried. `pytest tests/golden --update` rewrites it.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from attacks.row import LIBRARY, Attack, Outcome
from attacks.table import ATTACKS
from machines import machine

from lictor.catalog.guarantees import PROMISES
from lictor.policy.compile import Compiled, compile_policy
from lictor.policy.plan import AttachKind, Guarantee

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "enforcement.md"
# The attacks are carried out on these; the last is locked down, and has programs of cgroups only.
MACHINES = ("6.1-debian", "6.12-debian", "6.12-lictor", "6.18-lockdown")
_ORDER = list(Guarantee)
_HEAD = """# What the policies of the library promise

Made by `pytest tests/golden --update`. Each policy denies or kills; each attack does what the policy forbids, and is
tried without the policy, in monitor and in enforce mode (`tests/attacks`). *gets through*: a known way around the rule,
tried to show that it still is one. *as promised*: stopped where the promise is that. How often: [proofs](../proofs.md).

"""
_LATER = {Outcome.DETOUR: " (gets through)", Outcome.RACE: " (now and then)", Outcome.AS_PROMISED: " (as promised)"}


def compiled(attack: Attack, where: str) -> Compiled:
    return compile_policy(attack.policy_file.read_bytes(), attack.policy, machine(where))


def promised(found: Compiled) -> tuple[str, str]:
    """(method, guarantee) of the weakest hook; why not, if it is refused."""
    if found.plan is None:
        return "", "refused"
    made = [hook.enforcement for hook in found.plan.hooks if hook.enforcement is not None]
    worst = max(made, key=lambda one: _ORDER.index(one.guarantee))
    method = worst.method.value if worst.method else "signal" if worst.guarantee is not Guarantee.NONE else ""
    return method, worst.guarantee.value


def cell(attack: Attack, where: str) -> str:
    return ": ".join(filter(None, promised(compiled(attack, where))))


def page() -> str:
    by_policy: dict[str, list[Attack]] = defaultdict(list)
    for attack in ATTACKS:
        by_policy[attack.policy].append(attack)
    lines = [f"| policy | {' | '.join(MACHINES)} | attacks |", "|" + "---|" * (len(MACHINES) + 2)]
    for policy in sorted(by_policy):
        attacks = by_policy[policy]
        tried = "; ".join(one.name + _LATER.get(one.outcome, "") for one in attacks)
        lines.append(f"| {policy} | {' | '.join(cell(attacks[0], where) for where in MACHINES)} | {tried} |")
    return _HEAD + "\n".join(lines) + "\n"


def test_page_of_promises(update: bool) -> None:
    if update:
        PAGE.write_text(page())
    assert page() == PAGE.read_text()


def test_every_policy_of_the_library_is_attacked() -> None:
    assert {one.policy_file for one in ATTACKS} >= set(LIBRARY.rglob("*.yaml"))


def test_every_promise_of_the_catalogue_is_shown_by_an_attack() -> None:
    """But those on functions of programs, which no kernel before 7.x can change: a program can do without them."""
    shown = {promised(compiled(one, where)) for one in ATTACKS for where in MACHINES}
    preempted = {("fmod_ret", "best effort"), ("kprobe.override", "best effort")}  # the same attacks, preempt=full
    wanted = {(one.method, one.guarantee) for one in PROMISES if one.method != "uprobe"}
    assert wanted <= shown | preempted
    assert any(one.outcome is Outcome.AS_PROMISED for one in ATTACKS)
    assert AttachKind.UPROBE.value in {one.method for one in PROMISES}


_SENT = """
apiVersion: cilium.io/v1alpha1
kind: TracingPolicy
metadata: {name: sent}
spec:
  lsmhooks:
  - hook: socket_sendmsg
    args: [{index: 0, type: socket}]
    selectors:
    - matchArgs: [{index: 0, operator: DAddr, values: [10.0.0.0/8]}]
      matchActions: [{action: Override, argError: -1}]
"""


@pytest.mark.parametrize(("where", "whole"), [("6.1-debian", False), ("6.12-debian", True)])
def test_splice_passes_by_the_hook_for_sending_before_linux_6_5(where: str, whole: bool) -> None:
    _, guarantee = promised(compile_policy(_SENT.encode(), "sent", machine(where)))
    assert guarantee == ("prevented" if whole else "best effort")
