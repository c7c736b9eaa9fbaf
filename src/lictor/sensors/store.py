"""The engine's maps: made by the object `scope`, used by all hook programs, written here."""

from __future__ import annotations

import secrets

from lictor.errors import LictorError
from lictor.kernel.arrays import SharedArray, grace_period
from lictor.kernel.libbpf import possible_cpus
from lictor.kernel.objects import Object, object_path
from lictor.sensors.numbers import Numbers
from lictor.sensors.shapes import Shapes

SLOTS_PER_CPU, SPARE_SLOTS = 4, 32  # bpf/lib/slots.h, bpf/engine/scratch.h
# Array -> what its elements are called, and the first that may be taken: 0 often means none.
_ARRAYS = {
    "hooks": ("hooks", 1),
    "head_blocks": ("places for scopes on hooks", 1),
    "groups": ("rules", 1),
    "selectors": ("selectors", 0),
    "filters": ("filters", 0),
    "reads": ("arguments", 1),
    "cel_steps": ("steps of expressions", 0),
    "policies": ("policies", 1),
    "sets": ("sets of values", 1),
    "set_lengths": ("lengths of strings", 0),
    "set_ranges": ("ranges of numbers", 0),
    "predicates": ("questions about processes", 0),
    "conjunctions": ("combined questions about processes", 0),
}
_ALSO_SHARED = ("engine", "stats", "syscall_hooks")
_NO_BIT = 0xFFFF


class Store:
    """Loads and attaches the scope programs. Arrays by name in `arrays`, their free elements in `free`."""

    def __init__(self, process: Object, cgroup_source: int, cgroup_root: str) -> None:
        self.process = process
        self.cgroup_root = cgroup_root  # below which cgroup programs see every process
        self.cgroup_source = cgroup_source
        self.object = Object(object_path("scope"))
        self.arrays: dict[str, SharedArray] = {}
        try:
            self.object.share_maps(process)
            self.object.set_max_entries("run_slots", possible_cpus() * SLOTS_PER_CPU + SPARE_SLOTS)
            self.object.set_constant("cgroup_source", cgroup_source)
            self.object.load()
            self._map_arrays()
            self._exempt_ourselves()
            for program in self.object.programs:
                self.object.attach(program)
        except BaseException:
            self.close()
            raise

    def _map_arrays(self) -> None:
        obj = self.object
        self.shapes = Shapes(obj.btf)
        self.free = {}
        for name in (*_ARRAYS, *_ALSO_SHARED):
            self.arrays[name] = SharedArray(obj.map(name))
        for name, (what, first) in _ARRAYS.items():
            self.free[name] = Numbers(what, first, self.arrays[name].entries)
        self.numbers = obj.map("set_numbers")
        self.strings = obj.map("set_strings")
        self.networks = obj.map("set_networks")
        self.scopes = obj.map("scope_table")
        self.notes = obj.map("notes")
        self.seed = secrets.token_bytes(16)
        self._generation_at = self.shapes.offset("engine_state", "generation")
        self.generation = 1
        low, high = (int.from_bytes(self.seed[at : at + 8], "little") for at in (0, 8))
        self.arrays["engine"].write(0, self.shapes.pack("engine_state", self.generation, 0, 0, 0, low, high))

    def grace_period(self) -> None:
        """Wait until no program runs any more that ran when this was called."""
        grace_period()

    def _exempt_ourselves(self) -> None:
        """No rule binds the agent: it would be the first to be stopped by a rule against BPF."""
        with Object(object_path("agent")) as agent:
            agent.share_maps(self.object)
            agent.load()
            if agent.run("remember_agent"):
                raise LictorError("the agent cannot tell who it is", "report this: its rules would bind itself")

    def new_generation(self) -> None:
        """What processes are known by has changed: their bits are computed anew when they are next wanted."""
        self.generation += 1
        self.arrays["engine"].store32(0, self._generation_at, self.generation)

    def memory(self) -> int:
        """Bytes that the engine's maps hold in the kernel."""
        names = [name for name in self.object.map_fds() if "." not in name and name not in self.process.map_fds()]
        return sum(self.object.map(name).memory() for name in names)

    def close(self) -> None:
        for array in self.arrays.values():
            array.close()
        self.object.close()
