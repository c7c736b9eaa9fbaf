#!/usr/bin/env python3
"""Instructions the verifier processes for each of our programs: `bpf/verified-instructions.json`, kept per kernel.

python tools/verifier.py            print those of the running kernel, as JSON (root)
python tools/verifier.py --update   measure under Debian 6.1 and 6.12 and write the file
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from lictor.kernel.libbpf import KernelError
from lictor.kernel.objects import Object, object_path

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "bpf" / "verified-instructions.json"
_ENGINE = ("process", "scope")
# Object -> the objects whose maps it uses.
OBJECTS: dict[str, tuple[str, ...]] = {
    "process": (),
    "creds": ("process",),
    "scope": ("process",),
    **dict.fromkeys(
        (
            "kprobe",
            "kprobe_multi",
            "fentry",
            "lsm",
            "tracepoint",
            "raw_tracepoint",
            "syscall",
            "cgroup",
            "egress",
            "fmod_ret",
            "override",
            "agent",
        ),
        _ENGINE,
    ),
}
TARGETS = dict.fromkeys(("hook_fentry", "hook_fexit", "hook_fmod_ret", "enforce_fmod_ret"), "security_file_permission")
# As they are loaded where programs have no cookies.
_OF_CGROUP = {"can_signal": 0, "hook_id": 1}
CONSTANTS = {"raw_tracepoint": {"hook_id": 1}, "cgroup": _OF_CGROUP, "egress": _OF_CGROUP}
KERNELS = ("6.1", "6.12")

Figures = dict[str, dict[str, int]]


def measure(names: Iterable[str] = OBJECTS) -> Figures:
    """Object -> program -> instructions, on this kernel. Raises KernelError for what it refuses."""
    found = {}
    with contextlib.ExitStack() as stack:
        objects: dict[str, Object] = {}
        for name in names:
            objects[name] = stack.enter_context(Object(object_path(name)))
            found[name] = load(name, objects)
    return found


def load(name: str, objects: dict[str, Object]) -> dict[str, int]:
    """Load an object, among those that it shares maps with; gives its programs' instructions."""
    loaded = objects[name]
    loaded.share_maps(*(objects[other] for other in OBJECTS[name]))
    for constant, value in CONSTANTS.get(name, {}).items():
        loaded.set_constant(constant, value)
    for program in loaded.programs:
        if program in TARGETS:
            loaded.aim(program, TARGETS[program])
    loaded.load()
    return {program: loaded.verified_instructions(program) for program in loaded.programs}


def has_kprobe_multi() -> bool:
    """Whether this kernel knows fprobes at all."""
    return " register_fprobe" in Path("/proc/kallsyms").read_text()


def has_error_injection() -> bool:
    """Whether this kernel lets programs leave functions early."""
    return " override_function_with_return" in Path("/proc/kallsyms").read_text()


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
        there = {"kprobe_multi": has_kprobe_multi(), "override": has_error_injection()}
        try:
            print(json.dumps(measure(name for name in OBJECTS if there.get(name, True)), indent=2))
        except KernelError as error:
            sys.exit(f"{error}")


if __name__ == "__main__":
    main()
