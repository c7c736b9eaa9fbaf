"""BPF objects: opened, given their constants and sizes, loaded, attached, and always taken down again."""

from __future__ import annotations

import struct
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lictor.errors import LictorError
from lictor.kernel.libbpf import KernelError, check, ffi, lib, start_log, verdict
from lictor.kernel.maps import Map
from lictor.kernel.programs import info_of
from lictor.wire.btf import Btf, parse

UPROBE_MULTI = 48  # enum bpf_attach_type, include/uapi/linux/bpf.h
_SCALARS = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}


def object_path(name: str) -> Path:
    """Where the build put `NAME.bpf.o`: inside the package."""
    path = Path(__file__).parent / "objects" / f"{name}.bpf.o"
    if not path.exists():
        raise LictorError(f"the BPF object {path} is missing", "run `make build`, or install the package again")
    return path


class Object:
    """One BPF object file. Use as a context manager, or call `close`: nothing stays attached after that."""

    def __init__(self, path: Path) -> None:
        start_log()
        self.path = path
        self._links: list[Any] = []
        self._pointer = lib.bpf_object__open_file(str(path).encode(), ffi.NULL)
        if self._pointer == ffi.NULL:
            raise KernelError(f"opening {path.name}", ffi.errno, verdict())
        self._programs = {ffi.string(lib.bpf_program__name(p)).decode(): p for p in self._each("program")}
        self._maps = {ffi.string(lib.bpf_map__name(m)).decode(): m for m in self._each("map")}
        self.btf = self._read_btf()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    @property
    def programs(self) -> list[str]:
        return list(self._programs)

    def set_constant(self, name: str, value: int) -> None:
        """Set a `const volatile` of the object. Only before `load`: the verifier then prunes on it."""
        section = next((m for n, m in self._maps.items() if n.endswith(".rodata")), None)
        place = self.btf.variables(".rodata").get(name)
        if section is None or place is None:
            raise LictorError(f"{self.path.name} has no constant {name}", "rebuild it with `make build`")
        offset, size = place
        room = ffi.new("size_t *")
        memory = ffi.buffer(lib.bpf_map__initial_value(section, room), room[0])
        memory[offset : offset + size] = struct.pack(_SCALARS[size], value)

    def set_max_entries(self, name: str, entries: int) -> None:
        """Size a map; rings want a power of two of pages, in bytes. Only before `load`."""
        check(f"sizing map {name}", lib.bpf_map__set_max_entries(self._maps[name], entries))

    def share_map(self, name: str, other: Object) -> None:
        """Use the map of an object that is loaded already. Only before `load`."""
        check(f"sharing map {name}", lib.bpf_map__reuse_fd(self._maps[name], other.map_fds()[name]))

    def share_maps(self, *others: Object) -> None:
        """Use every map that one of the others has under the same name. Only before `load`."""
        for name in self._maps:
            owner = next((other for other in others if "." not in name and name in other._maps), None)
            if owner is not None:
                self.share_map(name, owner)

    def aim(self, program: str, target: str) -> None:
        """Choose the function, LSM hook or raw tracepoint of a program that is loaded for one. Before `load`."""
        start_log()
        result = lib.bpf_program__set_attach_target(self._programs[program], 0, target.encode())
        check(f"finding {target}", result)

    def leave_out(self, program: str) -> None:
        """Do not load a program: this kernel does not take it, or nobody asked for it."""
        check(f"leaving out {program}", lib.bpf_program__set_autoload(self._programs[program], False))

    def only(self, program: str) -> None:
        """Load this program and no other."""
        for name in self._programs:
            if name != program:
                self.leave_out(name)

    def load(self) -> None:
        """Create the maps and pass the verifier. All or nothing."""
        start_log()
        check(f"loading {self.path.name}", lib.bpf_object__load(self._pointer))

    def program_fd(self, program: str) -> int:
        return int(lib.bpf_program__fd(self._programs[program]))

    def pointer(self, program: str) -> Any:
        """What libbpf calls take (`kernel.links`)."""
        return self._programs[program]

    def attach(self, program: str) -> None:
        """Attach by the section's name. The link lives until `close`."""
        start_log()
        link = lib.bpf_program__attach(self._programs[program])
        if link == ffi.NULL:
            raise KernelError(f"attaching {program}", ffi.errno, verdict())
        self._links.append(link)

    def expect(self, program: str, attach_type: int) -> None:
        """Say how a program will be attached where its section does not. Only before `load`."""
        pointer = self._programs[program]
        check(f"typing {program}", lib.bpf_program__set_expected_attach_type(pointer, attach_type))

    def try_uprobe_multi(self, program: str) -> None:
        """Raise KernelError where the kernel has no uprobe.multi links. Nothing is attached."""
        check("linking uprobe.multi", lib.lictor_try_uprobe_multi(lib.bpf_program__fd(self._programs[program])))

    def attach_tracepoint(self, program: str, number: int, cookie: int) -> None:
        """Attach to a tracepoint by its id (`host.tracefs`). The link lives until `close`."""
        start_log()
        link = lib.lictor_attach_tracepoint_id(self._programs[program], number, cookie)
        if link == ffi.NULL:
            raise KernelError(f"attaching {program} to tracepoint {number}", ffi.errno, verdict())
        self._links.append(link)

    def map(self, name: str) -> Map:
        return Map(self._maps[name])

    def map_fds(self) -> dict[str, int]:
        return {name: lib.bpf_map__fd(pointer) for name, pointer in self._maps.items()}

    def run(self, program: str, *arguments: int) -> int:
        """Run a raw tracepoint program once, here and now, as this process; gives what it returns."""
        fd, result = lib.bpf_program__fd(self._programs[program]), ffi.new("__u32 *")
        numbers = ffi.new("__u64[]", list(arguments))
        check(f"running {program}", lib.lictor_run_program(fd, numbers, len(arguments), result))
        return int(result[0])

    def verified_instructions(self, program: str) -> int:
        """Instructions the verifier processed (`bpf_prog_info.verified_insns`, Linux 5.16)."""
        return info_of(lib.bpf_program__fd(self._programs[program])).verified_instructions

    def detach(self) -> None:
        """Take the programs off their hooks; maps and rings stay readable."""
        while self._links:
            lib.bpf_link__destroy(self._links.pop())

    def close(self) -> None:
        self.detach()
        if self._pointer != ffi.NULL:
            lib.bpf_object__close(self._pointer)
            self._pointer = ffi.NULL

    def _each(self, kind: str) -> list[Any]:
        following = getattr(lib, f"bpf_object__next_{kind}")
        found: list[Any] = []
        item = following(self._pointer, ffi.NULL)
        while item != ffi.NULL:
            found.append(item)
            item = following(self._pointer, item)
        return found

    def _read_btf(self) -> Btf:
        size = ffi.new("unsigned int *")
        raw = lib.btf__raw_data(lib.bpf_object__btf(self._pointer), size)
        return parse(bytes(ffi.buffer(raw, size[0])))
