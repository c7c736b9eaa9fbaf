"""Single parts of the engine, run by BPF_PROG_TEST_RUN as this process: bpf/read/ and bpf/match/ without a hook.

What they read and compare is written by the engine's own user half (`Encoder`, `Sets`), so both are tried together.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import build_bpf
from engine import Bench

from lictor.kernel.arrays import SharedArray
from lictor.kernel.objects import Object
from lictor.policy.plan import Filter, OperandSet, Read
from lictor.sensors.encode import Encoder
from lictor.sensors.hooks import READS_AGAIN
from lictor.sensors.sets import Sets
from lictor.sensors.shapes import Shapes

SOURCE = Path(__file__).parent / "bpf" / "runs.bpf.c"
HOOK = 1  # as in the source
EXPRESSION_STEPS = 128  # bpf/include/policy.h
ENTRY, RETURN = 0, 1
ERROR, TRUNCATED = 1, 2  # enum field_flag
FAULT = 14


class Found(NamedTuple):
    """A field as the engine made it. `error` is a number of errno, 0: it was read."""

    flags: int
    extra: int
    data: bytes
    error: int
    undecided: bool


class Runs:
    """Reads and conditions of one hook that nothing is attached to."""

    def __init__(self, bench: Bench, directory: Path) -> None:
        target = directory / "runs.bpf.o"
        build_bpf.compile_object(SOURCE, target)
        store = self._store = bench.engine.store
        self._encoder, self._sets = Encoder(store.shapes, [0] * 10), Sets(store)
        self._object = Object(target)
        self._object.share_maps(store.object, store.process)
        self._object.load()
        self._shapes = Shapes(self._object.btf)
        self._memory = SharedArray(self._object.map("test_memory"))
        self._result = SharedArray(self._object.map("test_result"))
        self._object.run("test_address")
        self.kernel = int.from_bytes(self._result.read(0)[:8], "little")
        """Where `put` writes, as the kernel sees it."""
        hooks = store.arrays["hooks"]
        hooks.write(HOOK, bytes(hooks.size))
        self._read_at = store.shapes.offset("hook_state", "read")
        self._flags_at = store.shapes.offset("hook_state", "flags")
        self._bytes_at = self._shapes.offset("result", "bytes")
        self._elements = store.free["reads"].take(16)
        self._filter = store.free["filters"].take()
        self._steps = store.free["cel_steps"].take(EXPRESSION_STEPS)

    def put(self, data: bytes, at: int = 0) -> int:
        """Write into the kernel's memory; gives the address."""
        self._memory.view[at : at + len(data)] = data
        return self.kernel + at

    def use(self, *reads: Read, again: bool = False) -> None:
        """The values of the hook, by slot."""
        store = self._store
        for slot, read in enumerate(reads):
            store.arrays["reads"].write(self._elements + slot, self._encoder.read(read))
            hooks = store.arrays["hooks"]
            at = HOOK * hooks.stride + self._read_at + 2 * slot
            hooks.view[at : at + 2] = struct.pack("<H", self._elements + slot)
        store.arrays["hooks"].store32(HOOK, self._flags_at, READS_AGAIN if again else 0)

    def read(self, *arguments: int, slot: int = 0, phase: int = ENTRY, result: int = 0) -> Found:
        code = self._object.run("test_read", slot, phase, _word(result), *_words(arguments))
        assert code == 0
        raw = self._result.read(0)
        _, _, undecided, used, *_ = struct.unpack_from("<QIIII", raw)
        of, _type, flags, length, extra = struct.unpack_from("<BBHIQ", raw, self._bytes_at - 16)
        assert of == slot
        assert used % 8 == 0
        error = extra & 0xFFFFFFFF if flags & ERROR else 0
        data = raw[self._bytes_at : self._bytes_at + length]
        return Found(flags & ~ERROR, extra, data, error, bool(undecided))

    def condition(self, one: Filter, sets: Sequence[OperandSet] = ()) -> _Condition:
        return _Condition(self, one, sets)

    def workload(self, name: bytes) -> int:
        return self._object.run("test_workload", self.put(name + b"\0"))

    def close(self) -> None:
        self._store.free["reads"].give(self._elements, 16)
        self._store.free["filters"].give(self._filter)
        self._store.free["cel_steps"].give(self._steps, EXPRESSION_STEPS)
        self._memory.close()
        self._result.close()
        self._object.close()


class _Condition:
    """One condition in the kernel, with its sets, as long as the context lasts."""

    def __init__(self, runs: Runs, one: Filter, sets: Sequence[OperandSet]) -> None:
        self._runs, self._one, self._sets = runs, one, tuple(sets)

    def __enter__(self) -> _Condition:
        runs = self._runs
        numbers = {place: runs._sets.acquire(one) for place, one in enumerate(self._sets)}
        slots = {slot: slot for slot in range(16)}
        steps = runs._encoder.expression(self._one, slots)
        for place, step in enumerate(steps, runs._steps):
            runs._store.arrays["cel_steps"].write(place, step)
        packed = runs._encoder.filter(self._one, slots, self._sets, numbers, runs._steps)
        runs._store.arrays["filters"].write(runs._filter, packed)
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sets:
            self._runs._sets.release(one)

    def holds(self, *arguments: int, phase: int = ENTRY) -> int:
        """1, 0, or 2: it cannot be told before the call returns."""
        return self._runs._object.run("test_filter", self._runs._filter, phase, 0, *_words(arguments))


def _word(number: int) -> int:
    return number & (1 << 64) - 1


def _words(arguments: Sequence[int]) -> list[int]:
    return [_word(one) for one in arguments] + [0] * (6 - len(arguments))
