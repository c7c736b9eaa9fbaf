"""The engine's user half on memory of its own, and the kernel half as small steps that can be interleaved with it.

`Store` stands in for the maps: what is written is what the kernel would read. `Kernel.run` is one run of a hook
program: it yields wherever another CPU could come between two reads (bpf/engine: hook_applies, load_scope,
run_groups, step_over_groups, run_group). Grace periods let the runs that are under way end, as the kernel's do.

What is known of processes is kept by pid, and a pid is used again: nothing is cleaned up here when a process ends, as
if every exit had been missed. All processes share one place in the cache of notes, whose members are read and written
one after the other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from lictor.kernel.arrays import string_key
from lictor.kernel.objects import Object, object_path
from lictor.policy.plan import (
    Attach,
    AttachKind,
    Hook,
    OperandSet,
    Plan,
    Predicate,
    PredicateKind,
    Rule,
    ScopeTerm,
    SetKind,
)
from lictor.sensors.numbers import Numbers
from lictor.sensors.policies import PolicyEngine
from lictor.sensors.shapes import Shapes

SIZES = {
    "engine": 1, "hooks": 4, "head_blocks": 12, "groups": 24, "selectors": 24, "stats": 24, "filters": 24, "reads": 8,
    "policies": 8, "sets": 16, "set_lengths": 8, "set_ranges": 8, "predicates": 12, "conjunctions": 12,
}  # fmt: skip
WORD = 64


class Array:
    """A `kernel.arrays.SharedArray` on a bytearray."""

    def __init__(self, size: int, entries: int) -> None:
        self.size = size
        self.stride = -(-size // 8) * 8
        self.entries = entries
        self.view = memoryview(bytearray(self.stride * entries))

    def write(self, index: int, value: bytes) -> None:
        at = index * self.stride
        self.view[at : at + len(value)] = value

    def read(self, index: int) -> bytes:
        at = index * self.stride
        return bytes(self.view[at : at + self.size])

    def store32(self, index: int, offset: int, value: int) -> None:
        struct.pack_into("<I", self.view, index * self.stride + offset, value)

    def store64(self, index: int, offset: int, value: int) -> None:
        struct.pack_into("<Q", self.view, index * self.stride + offset, value)

    def load(self, index: int, offset: int, code: str) -> int:
        value: int = struct.unpack_from(code, self.view, index * self.stride + offset)[0]
        return value


class Table(dict[bytes, bytes]):
    """A `kernel.maps.Map`."""

    def update_many(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self.update(pairs)

    def delete(self, key: bytes) -> None:
        del self[key]


class Store:
    """A `sensors.store.Store` without a kernel."""

    def __init__(self, wait: Callable[[], None]) -> None:
        with Object(object_path("scope")) as unloaded:
            self.shapes = Shapes(unloaded.btf)
            sizes = {shape: unloaded.btf.size_of(shape) for shape in (
                "engine_state", "hook_state", "head_block", "rule_group", "selector", "selector_stats", "filter",
                "read_spec", "policy_state", "operand_set", "number_range", "predicate", "conjunction",
            )}  # fmt: skip
        shapes = dict(zip(SIZES, (
            "engine_state", "hook_state", "head_block", "rule_group", "selector", "selector_stats", "filter",
            "read_spec", "policy_state", "operand_set", "", "number_range", "predicate", "conjunction",
        ), strict=True))  # fmt: skip
        self.arrays = {name: Array(sizes.get(shapes[name], 4), SIZES[name]) for name in SIZES}
        first = {"selectors": 0, "filters": 0, "set_lengths": 0, "set_ranges": 0, "predicates": 0, "conjunctions": 0}
        self.free = {name: Numbers(name, first.get(name, 1), SIZES[name]) for name in SIZES}
        self.numbers, self.strings, self.networks = (Table() for _ in range(3))
        self.seed = bytes(16)
        self.generation = 1
        self.grace_period = wait

    def new_generation(self) -> None:
        self.generation += 1


class Attachments:
    """Every hook can be attached, and is at once."""

    def acquire(self, wanted: object) -> None:
        pass

    def release(self, hook: int, attach: object) -> None:
        pass

    def has(self, hook: int) -> bool:  # noqa: ARG002 (as the real one)
        return False


class Calls:
    def of(self, instance: int) -> list[Any]:  # noqa: ARG002 (as the real one)
        return []


@dataclass
class Process:
    """Who runs: a pid, when it was born, the program."""

    pid: int
    start: int
    binary: str


@dataclass
class Entry:
    """What the scope table has for a pid."""

    start: int
    generation: int
    bits: int


@dataclass
class Note:
    """A place of the cache of scopes (struct scope_note). The seal stands for a hash of what it is made of."""

    bits: int = 0
    seal: tuple[int, int, int] = (0, 0, 0)
    pid: int = 0
    generation: int = 0


class Kernel:
    """The kernel half, reading what the user half wrote."""

    def __init__(self) -> None:
        self.running: list[Iterator[None]] = []
        self.scopes: dict[int, Entry] = {}
        self.note = Note()
        self.store = Store(self.finish_all)
        self.engine = PolicyEngine(self.store, Attachments(), Calls())  # type: ignore[arg-type]
        self.offsets = {name: self.store.shapes.offset("hook_state", name) for name in ("words", "mask", "block")}

    def finish_all(self) -> None:
        """A grace period: every run that is under way ends."""
        while self.running:
            self.step(0)

    def step(self, which: int) -> None:
        run = self.running[which]
        try:
            next(run)
        except StopIteration:
            self.running.remove(run)

    def run(self, process: Process, hook: int, matched: Callable[[int, int], None]) -> Iterator[None]:
        """One run of a program; `matched` gets policy and instance of each group that acts."""
        hooks = self.store.arrays["hooks"]
        if not (yield from self.applies(process, hook)):
            return
        generation, bits = yield from self.load(process)
        while True:
            yield
            words = hooks.load(hook, self.offsets["words"], "<I")
            yield
            common = {}
            for word in range(32):
                if words >> word & 1:
                    mask = hooks.load(hook, self.offsets["mask"] + 8 * word, "<Q")
                    common[word] = mask & (bits >> WORD * word)
                    yield
            if generation == self.store.generation:
                break
            generation, bits = yield from self.refresh(process)
        for word, shared in common.items():
            for place in range(WORD):
                if shared >> place & 1:
                    yield from self.groups(hook, word, place, bits, matched)

    def applies(self, process: Process, hook: int) -> Generator[None, None, bool]:
        """Whether the run is worth going on with (hook_applies, scope_applies), by what was noted of the process."""
        hooks = self.store.arrays["hooks"]
        if not hooks.load(hook, self.offsets["words"], "<I"):
            return False
        yield
        mask = hooks.load(hook, self.offsets["mask"], "<Q")
        yield
        if mask & 1:
            return True
        generation = self.store.generation
        yield
        bits = yield from self.noted(process, generation)
        if bits:
            return bool(mask & bits)
        generation = self.store.generation
        yield
        entry = self.scopes.get(process.pid)
        if entry is None or entry.generation != generation or entry.start != process.start:
            return True
        bits = entry.bits
        words = hooks.load(hook, self.offsets["words"], "<I")
        for word in range(32):
            yield
            if words >> word & 1 and hooks.load(hook, self.offsets["mask"] + 8 * word, "<Q") & bits >> WORD * word:
                return True
        yield
        return generation != self.store.generation

    def groups(
        self, hook: int, word: int, place: int, bits: int, matched: Callable[[int, int], None]
    ) -> Iterator[None]:
        block = self.store.arrays["hooks"].load(hook, self.offsets["block"] + 4 * word, "<I")
        yield
        group = self.store.arrays["head_blocks"].load(block, 4 * place, "<I")
        yield
        while group:
            packed = self.store.arrays["groups"].read(group)
            _, policy, instance, of_hook, first, count, *_ = self.store.shapes.unpack("rule_group", packed)
            yield
            if of_hook != hook:
                return
            in_force = self.store.arrays["policies"].load(policy, 0, "<I")
            yield
            if in_force == instance:
                for number in range(count):
                    selector = self.store.shapes.unpack("selector", self.store.arrays["selectors"].read(first + number))
                    yield
                    if selector[3] == 0xFFFF or bits >> selector[3] & 1:
                        matched(policy, instance)
                        break
            group = self.store.arrays["groups"].load(group, 0, "<I")
            yield

    def noted(self, process: Process, generation: int) -> Generator[None, None, int]:
        """The bits that the note has for a process under a generation (noted_bits), 0: none."""
        note = self.note
        bits = note.bits
        yield
        pid = note.pid
        yield
        noted = note.generation
        yield
        seal = note.seal
        return bits if (pid, noted, seal) == (process.pid, generation, (bits, process.start, generation)) else 0

    def write_note(self, process: Process, bits: int, generation: int) -> Iterator[None]:
        note = self.note
        note.bits = bits
        yield
        note.seal = (bits, process.start, generation)
        yield
        note.pid = process.pid
        yield
        note.generation = generation
        yield

    def load(self, process: Process) -> Generator[None, None, tuple[int, int]]:
        """The generation and bits that a run goes by (load_scope)."""
        generation = self.store.generation
        yield
        bits = yield from self.noted(process, generation)
        if bits:
            return generation, bits
        entry = self.scopes.get(process.pid)
        if entry is None or entry.generation != generation or entry.start != process.start:
            return (yield from self.refresh(process))
        yield
        return generation, entry.bits

    def refresh(self, process: Process) -> Generator[None, None, tuple[int, int]]:
        """Computes the bits of a process: questions about its program, and their combinations (refresh_scope)."""
        store = self.store
        generation = store.generation
        bits = 1
        yield
        for element in range(SIZES["predicates"]):
            kind, _, _, bit, _, number, _ = store.shapes.unpack("predicate", store.arrays["predicates"].read(element))
            if kind and string_key(store.seed, number, process.binary.encode()) in store.strings:
                bits |= 1 << bit
        yield
        for element in range(SIZES["conjunctions"]):
            packed = store.shapes.unpack("conjunction", store.arrays["conjunctions"].read(element))
            bit, positive, negative, *terms = packed
            if bit == 0xFFFF:
                continue
            wanted = [bits >> term & 1 for term in terms[: positive + negative]]
            if all(wanted[:positive]) and not any(wanted[positive:]):
                bits |= 1 << bit
        yield from self.keep(process, bits, generation)
        return generation, bits

    def keep(self, process: Process, bits: int, generation: int) -> Iterator[None]:
        """Stores what was computed (store_scope)."""
        if bits < 1 << WORD:
            yield from self.write_note(process, bits, generation)
        else:
            self.note.generation = 0
        entry = self.scopes.get(process.pid)
        if entry is None or entry.start != process.start:
            self.scopes[process.pid] = Entry(process.start, generation, bits)
            return
        entry.bits = bits
        yield
        entry.generation = generation


def plan(name: str, hook: str, binaries: tuple[str, ...], negated: bool) -> Plan:
    """A policy on a hook, for some programs, or for all others; for everyone without binaries."""
    predicates = (Predicate(kind=PredicateKind.BINARY, set=0),) if binaries else ()
    scope = (ScopeTerm(predicate=0, negated=negated),) if binaries else ()
    attach = Attach(kind=AttachKind.KPROBE, target=hook)
    return Plan(
        name=name,
        hooks=(
            Hook(
                name=hook,
                section="kprobes",
                index=0,
                function=hook,
                attaches=(attach,),
                rules=(Rule(index=0, scope=scope),),
            ),
        ),
        predicates=predicates,
        sets=(OperandSet(kind=SetKind.STRINGS, texts=binaries),) if binaries else (),
    )
