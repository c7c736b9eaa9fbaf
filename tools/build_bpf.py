"""Compiles every `bpf/**/*.bpf.c` into the package. Quick when nothing changed.

    python tools/build_bpf.py [--arch x86|arm64]

For x86 the objects go to src/lictor/kernel/objects; for another architecture to build/bpf-ARCH, which shows that
they compile there.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["-target", "bpf", "-O2", "-g", "-mcpu=v3", "-Wall", "-Werror", f"-I{ROOT}/bpf/include", f"-I{ROOT}/bpf"]


def build(arch: str) -> list[Path]:
    """Build all objects for one architecture; gives their paths. Ends the program with a sentence on failure."""
    target = ROOT / ("src/lictor/kernel/objects" if arch == "x86" else f"build/bpf-{arch}")
    target.mkdir(parents=True, exist_ok=True)
    sources = sorted((ROOT / "bpf").rglob("*.bpf.c"))
    wanted = [target / source.name.replace(".bpf.c", ".bpf.o") for source in sources]
    if len({path.name for path in wanted}) != len(wanted):
        sys.exit("two BPF sources have the same name: objects are found by it")
    digest = _digest(arch)
    stamp = target / ".sources"
    if stamp.exists() and stamp.read_text() == digest and all(path.exists() for path in wanted):
        return wanted
    for tool, package in (("clang", "clang"), ("llvm-strip", "llvm")):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: apt-get install {package}, or run `make setup`")
    for source, wanted_path in zip(sources, wanted, strict=True):
        compile_object(source, wanted_path, arch)
    stamp.write_text(digest)
    return wanted


def compile_object(source: Path, target: Path, arch: str = "x86") -> None:
    """Compile one source; tests have some of their own."""
    command = ["clang", *FLAGS, f"-D__TARGET_ARCH_{arch}", "-c", str(source), "-o", str(target)]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"{source.relative_to(ROOT)} does not compile")
    subprocess.run(["llvm-strip", "-g", str(target)], check=True)


def _digest(arch: str) -> str:
    total = hashlib.sha256(arch.encode())
    for path in sorted((ROOT / "bpf").rglob("*.[ch]")):
        total.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return total.hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", choices=["x86", "arm64"], default="x86")
    for built in build(parser.parse_args().arch):
        print(built.relative_to(ROOT))
