#!/usr/bin/env python3
"""Instructions the verifier processes for each of our programs: `bpf/verified-instructions.json`, kept per kernel.

python tools/verifier.py            print those of the running kernel, as JSON (root)
python tools/verifier.py --update   measure under Debian 6.1 and 6.12 and write the file
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from lictor.kernel.libbpf import KernelError
from lictor.kernel.objects import Object, object_path

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "bpf" / "verified-instructions.json"
OBJECTS = ("process", "creds")
KERNELS = ("6.1", "6.12")

Figures = dict[str, dict[str, int]]


def measure() -> Figures:
    """Object -> program -> instructions, on this kernel. Raises KernelError for what it refuses."""
    found = {}
    for name in OBJECTS:
        with Object(object_path(name)) as loaded:
            loaded.load()
            found[name] = {program: loaded.verified_instructions(program) for program in loaded.programs}
    return found


def kept() -> dict[str, Figures]:
    """Kernel -> figures, as they were when somebody last looked."""
    figures: dict[str, Figures] = json.loads(FIGURES.read_text())
    return figures


def _under(kernel: str) -> Figures:
    command = [sys.executable, "tools/vm.py", "run", "--kernel", kernel, "--", sys.executable, "-B", __file__]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"under {kernel}: {done.stdout}{done.stderr}")
    figures: Figures = json.loads(done.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Instructions the verifier processes for each of our programs.")
    parser.add_argument("--update", action="store_true", help="measure under the test kernels and write the file")
    if parser.parse_args().update:
        figures = {kernel: _under(kernel) for kernel in KERNELS}
        FIGURES.write_text(json.dumps(figures, indent=2) + "\n")
    else:
        try:
            print(json.dumps(measure(), indent=2))
        except KernelError as error:
            sys.exit(f"{error}")


if __name__ == "__main__":
    main()
