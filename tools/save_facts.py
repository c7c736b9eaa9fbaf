"""Saves the facts of machines for the golden tests: tests/golden/facts/NAME.xz.

    python tools/save_facts.py [host 6.1 6.12 6.12-lictor 7.x]

`host` is the running kernel, with the kernel's file systems mounted for as long as it takes; the others boot in a VM
(`tools/vm.py`). Left out are the functions that nothing is known of but the name: where the kernel's list of traceable
functions could be read, nothing can be attached to those.
"""

from __future__ import annotations

import lzma
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from lictor.host.facts import HostFacts

ROOT = Path(__file__).resolve().parent.parent
SAVED = ROOT / "tests" / "golden" / "facts"
LICTOR = str(Path(sys.executable).parent / "lictor")
MOUNTS = "; ".join(
    f"mount -t {kind} {kind} /sys/kernel/{place}"
    for kind, place in (("tracefs", "tracing"), ("debugfs", "debug"), ("securityfs", "security"))
)
NAMES = {"host": "6.18-lockdown", "6.1": "6.1-debian", "6.12": "6.12-debian"}


def facts_of(machine: str) -> HostFacts:
    """Boot and ask. The agent's words about what it left out are in the facts too."""
    ask = f"{LICTOR} facts 2>/dev/null"
    if machine == "host":
        command = ["unshare", "-m", "sh", "-c", f"{MOUNTS}; {ask}"]
    else:
        vm = [sys.executable, str(ROOT / "tools" / "vm.py"), "run", "--kernel", machine]
        command = [*vm, "--", "sh", "-c", ask]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"the facts of {machine} could not be had")
    return HostFacts.from_json(done.stdout)


def pruned(facts: HostFacts) -> HostFacts:
    """Without the functions that have no letter."""
    if "available_filter_functions" in facts.missing:
        return facts
    lines = lzma.decompress(facts.symbols).splitlines(keepends=True)
    return msgspec.structs.replace(facts, symbols=b"".join(line for line in lines if b" " in line))


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("what a kernel can do is tried as root")
    SAVED.mkdir(parents=True, exist_ok=True)
    for machine in sys.argv[1:] or ["host", "6.1", "6.12", "6.12-lictor", "7.x"]:
        facts = pruned(facts_of(machine))
        name = NAMES.get(machine, machine).replace("7.x", f"{'.'.join(facts.release.split('.')[:2])}-debian")
        path = SAVED / f"{name}.xz"
        path.write_bytes(facts.to_archive())
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
