"""Builds what is not Python: the BPF objects (into the package) and the cffi binding."""

from __future__ import annotations

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithObjects(build_py):
    """Compiles bpf/ first, so that the objects are found as package data."""

    def run(self) -> None:
        runpy.run_path(str(ROOT / "tools" / "build_bpf.py"))["build"]("x86")
        super().run()


setup(
    cmdclass={"build_py": BuildWithObjects},
    cffi_modules=["src/lictor/kernel/build_libbpf.py:ffibuilder"],
)
