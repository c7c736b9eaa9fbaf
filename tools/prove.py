#!/usr/bin/env python3
"""`make prove`: what takes longer than the tests may. Writes docs/proofs.md with the result of each proof.

python tools/prove.py [NAME…]      all of them, or those named; the rows of the others stay

Results of single attacks are kept in build/proofs: a run that was cut goes on where it was. Remove them to begin anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import attacked

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "docs" / "proofs.md"
PY = sys.executable
OWN = sorted(path.name for path in Path(os.environ.get("LICTOR_TEST_KERNELS", "/nonexistent")).glob("*/"))
SUITE = (PY, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/kernel")


@dataclass(frozen=True, slots=True)
class Proof:
    """A command that must succeed; the last line it prints is its result."""

    name: str
    says: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


LIVE_TABLES = tuple(f"tests/kernel/test_{name}.py" for name in ("hooks", "operators", "selectors", "types"))


def _vm(kernel: str, *words: str) -> tuple[str, ...]:
    return (PY, "tools/vm.py", "run", "--kernel", kernel, "--timeout", "1500", *words, "--", *SUITE)


def _suite(kernel: str) -> tuple[str, ...]:
    """The kernel is fetched if it is not here; those in $LICTOR_TEST_KERNELS are."""
    run = f"{PY} tools/vm.py run --kernel {kernel} --timeout 4800 -- env LICTOR_EXAMPLES=10 {' '.join(SUITE)}"
    return ("sh", "-ec", run if kernel in OWN else f"{PY} tools/vm.py setup {kernel} >&2; {run}")


def _tables(kernel: str) -> tuple[str, ...]:
    """The live tables of policies where a preempted program makes way for others on its only CPU."""
    words = (PY, "tools/vm.py", "run", "--kernel", kernel, "--timeout", "3000", *ONE_CPU)
    return (*words, "--", PY, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", *LIVE_TABLES)


def _churn(kernel: str) -> tuple[str, ...]:
    words = (PY, "tools/vm.py", "run", "--kernel", kernel, "--timeout", "1500", "--smp", "2", "--", "env")
    # As many as an emulated reader can take, and more than 2,000 a second.
    return (*words, "LICTOR_CHURN_SECONDS=60", "LICTOR_CHURN_PAUSE=0.012", "LICTOR_CHURN_RATE=2000", *CHURN)


CHURN = (PY, "-B", "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "tests/kernel/test_policy_churn.py")


KEPT = ROOT / "build" / "proofs"
DECODERS = tuple(f"tests/unit/test_{name}.py" for name in ("records", "sequence", "forms", "text", "api_protobuf"))


def _attacks(kernel: str, *words: str) -> tuple[str, ...]:
    """1,000 attempts at everything that policies forbid, by 4 threads on busy CPUs. They succeed without a policy, as
    `make test` shows, and here in monitor mode."""
    programs = ROOT / "build" / "attacks"  # as `make test` has built them
    settings = ("ATTACK_REPETITIONS=1000", "ATTACK_UNDER_LOAD=1", f"ATTACK_PROGRAMS={programs}")
    inside = ("env", f"ATTACKED_KERNEL={kernel}", *settings)
    return (PY, "tools/vm.py", "run", "--kernel", kernel, "--timeout", "7200", *words, "--", *inside, *UNDER_POLICIES)


UNDER_POLICIES = (PY, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/attacks/test_with_policy.py")
PREEMPT = ("--smp", "4", "--append", "preempt=full")
ONE_CPU = ("--smp", "1", "--append", "preempt=full")
ATTACKED = ("6.1", "6.12", *OWN)
PROOFS = (
    Proof("soak", "3,000 execs per second for a minute on this kernel lose nothing", (PY, "bench/soak.py")),
    Proof(
        "churn",
        "8 threads change policies for a minute while events flow: none lost, doubled or foreign, no leak",
        CHURN,
        (("LICTOR_CHURN_SECONDS", "60"),),
    ),
    *(
        Proof(f"churn-{kernel}", f"the same at 2,000 events a second or more, Debian {kernel}", _churn(kernel))
        for kernel in ("6.1", "6.12")
    ),
    Proof("outage", "receivers that are dead for a minute under load miss nothing", (PY, "tools/outage.py")),
    *(
        Proof(f"suite-{kernel}", f"the kernel suite, with what is run alone, under {kernel}", _suite(kernel))
        for kernel in ("7.x", *OWN)
    ),
    Proof("preempt-6.1", "the kernel suite with 4 CPUs and full preemption, Debian 6.1", _vm("6.1", *PREEMPT)),
    Proof("preempt-6.12", "the kernel suite with 4 CPUs and full preemption, Debian 6.12", _vm("6.12", *PREEMPT)),
    *(
        Proof(
            f"preempt-one-{kernel}",
            f"the live tables on one CPU with full preemption, Debian {kernel}",
            _tables(kernel),
        )
        for kernel in ("6.1", "6.12")
    ),
    *(
        Proof(
            f"attacks-{kernel}{kind}",
            f"no attack gets through in 1,000 attempts, {kernel}{kind}",
            _attacks(kernel, *words),
        )
        for kernel in ATTACKED
        for kind, words in (("", ()), ("-preempted", ONE_CPU))
    ),
    Proof(
        "attacks-here",
        "no attack on the network gets through in 1,000 attempts on this kernel",
        UNDER_POLICIES,
        (("ATTACK_REPETITIONS", "1000"), ("ATTACK_UNDER_LOAD", "1")),
    ),
    Proof(
        "decoders",
        "10,000 random inputs for each property of the decoders, the loss accounting and the forms of events",
        (PY, "-m", "pytest", "-q", "-p", "no:cacheprovider", *DECODERS),
        (("LICTOR_EXAMPLES", "10000"),),
    ),
)


def run(proof: Proof) -> tuple[bool, str, float]:
    """Whether it holds, the last line it printed, and the seconds it took. Of attacks what is kept counts: those that
    were carried out before a run was cut are not carried out again."""
    start = time.monotonic()
    KEPT.mkdir(parents=True, exist_ok=True)
    output, kept = KEPT / f"{proof.name}.out", attacked.Kept(KEPT / f"{proof.name}.jsonl")
    kept.take(output)
    environment = os.environ | dict(proof.environment)
    with output.open("w") as file:
        command = attacked.remaining(proof.command, kept)
        done = subprocess.run(command, cwd=ROOT, stdout=file, stderr=file, env=environment, check=False)
    kept.take(output)
    lines = [line for line in output.read_text().splitlines() if line.strip()]
    if done.returncode:
        print("\n".join(lines[-40:]))
    said = kept.summary() if proof.name.startswith("attacks") else "".join(lines[-1:])
    return done.returncode == 0, said, time.monotonic() - start


def _kept() -> dict[str, str]:
    """The rows of the last report by the name of their proof."""
    lines = REPORT.read_text().splitlines() if REPORT.exists() else []
    return {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}


def _row(proof: Proof, when: str) -> tuple[bool, str]:
    holds, said, seconds = run(proof)
    word = "holds" if holds else "**fails**"
    print(f"{proof.name:14} {word:9}  {seconds:6.0f} s  {said}")
    return holds, f"| {proof.name} | {proof.says} | {word} | {seconds:.0f} s: {said.strip('= ')} | {when} |"


def main() -> None:
    wanted = sys.argv[1:]
    unknown = set(wanted) - {proof.name for proof in PROOFS}
    if unknown:
        sys.exit(f"there is no proof {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in PROOFS)}")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {commit.stdout.strip()}, {os.uname().release}"
    rows = _kept()
    failed = False
    for proof in PROOFS:
        if not wanted or proof.name in wanted:
            holds, rows[proof.name] = _row(proof, when)
            failed = failed or not holds
    head = (
        "# Proofs\n\nThe last result of each proof of `make prove`.\n\n| name | proof | | said | when, commit, host |\n"
    )
    REPORT.write_text(head + "|---|---|---|---|---|\n" + "".join(f"{rows[p.name]}\n" for p in PROOFS if p.name in rows))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
