"""Builds `lictor.kernel._libbpf`: the functions of libbpf that we use, and our own beside them in `binding/`.

cffi in API mode: the compiler checks every declaration against the installed headers (libbpf ≥ 1.1).
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

BINDING = Path(__file__).parent / "binding"

ffibuilder = FFI()
ffibuilder.cdef((BINDING / "functions.h").read_text())
ffibuilder.set_source(
    "lictor.kernel._libbpf",
    "\n".join(path.read_text() for path in sorted(BINDING.glob("*.c"))),
    libraries=["bpf", "elf", "z"],
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=False)
