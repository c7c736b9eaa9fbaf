"""Programs on hooks: one object per attach kind, or per target where the kernel wants it, and links with cookies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lictor.errors import LictorError
from lictor.host import features
from lictor.host.tracefs import tracepoint_id
from lictor.kernel import links
from lictor.kernel.libbpf import KernelError
from lictor.kernel.links import Link
from lictor.kernel.objects import Object, object_path
from lictor.policy.plan import Attach, AttachKind, Purpose
from lictor.sensors.encode import not_yet
from lictor.sensors.store import Store

_SYSCALLS = 1024  # SYSCALLS in bpf/include/policy.h
_OF_32_BITS = ("i386", "arm32")


@dataclass(frozen=True, slots=True)
class Kind:
    """How an attach kind is carried out. `own`: an object is loaded for each target. `aimed`: libbpf must know the
    target before the load."""

    object: str
    program: str
    link: Callable[[Object, Attach, int], Link]
    own: bool = False
    aimed: bool = False


def _traced(object_name: str, program: str, attach_type: int) -> Kind:
    def link(loaded: Object, attach: Attach, cookie: int) -> Link:
        return links.traced(loaded, program, attach_type, attach.target, cookie)

    return Kind(object_name, program, link, own=True, aimed=True)


def _probe(program: str, at_return: bool, object_name: str = "kprobe") -> Kind:
    def link(loaded: Object, attach: Attach, cookie: int) -> Link:
        return links.kprobe(loaded, program, attach.target, cookie, at_return=at_return)

    return Kind(object_name, program, link)


def _tracepoint(loaded: Object, attach: Attach, cookie: int) -> Link:
    category, _, name = attach.target.partition("/")
    return links.tracepoint(loaded, "hook_tracepoint", tracepoint_id(category, name), cookie)


def _raw(loaded: Object, attach: Attach, cookie: int) -> Link:
    return links.raw_tracepoint(loaded, "hook_raw_tracepoint", attach.target.rpartition("/")[2], cookie)


KINDS = {
    AttachKind.KPROBE: _probe("hook_kprobe", False),
    AttachKind.KRETPROBE: _probe("hook_kretprobe", True),
    AttachKind.FENTRY: _traced("fentry", "hook_fentry", links.TRACE_FENTRY),
    AttachKind.FEXIT: _traced("fentry", "hook_fexit", links.TRACE_FEXIT),
    AttachKind.LSM: _traced("lsm", "hook_lsm", links.LSM_MAC),
    AttachKind.FMOD_RET: _traced("fmod_ret", "hook_fmod_ret", links.MODIFY_RETURN),
    AttachKind.OVERRIDE: _probe("hook_override", False, "override"),
    AttachKind.TRACEPOINT: Kind("tracepoint", "hook_tracepoint", _tracepoint),
    AttachKind.RAW_TRACEPOINT: Kind("raw_tracepoint", "hook_raw_tracepoint", _raw),
}
# What carries out what NotifyEnforcer left.
ENFORCERS = {
    AttachKind.LSM: _traced("lsm", "enforce_lsm", links.LSM_MAC),
    AttachKind.FMOD_RET: _traced("fmod_ret", "enforce_fmod_ret", links.MODIFY_RETURN),
    AttachKind.OVERRIDE: _probe("enforce_override", False, "override"),
}
_MULTI = {
    AttachKind.KPROBE_MULTI: ("hook_kprobe_multi", False),
    AttachKind.KRETPROBE_MULTI: ("hook_kretprobe_multi", True),
}
_PROBES = frozenset((*_MULTI, AttachKind.KPROBE, AttachKind.KRETPROBE, AttachKind.OVERRIDE))
_TRAMPOLINES = frozenset((AttachKind.FENTRY, AttachKind.FEXIT, AttachKind.FMOD_RET))
_CALLS = {
    AttachKind.SYS_ENTER: ("hook_sys_enter", "sys_enter"),
    AttachKind.SYS_EXIT: ("hook_sys_exit", "sys_exit"),
}


@dataclass(slots=True)
class _Shared:
    """A link, the program that was loaded for it alone (a descriptor, -1: none), and the hooks that have it."""

    link: Link
    program: int = -1
    hooks: set[int] = field(default_factory=set)
    left: set[int] = field(default_factory=set)  # let go, but still cookies of this link


@dataclass(slots=True)
class _Attached:
    shared: _Shared
    users: int = 1


Wanted = tuple[int, Attach]  # hook, how


class Attachments:
    """What is attached, by hook and attach; each is there as long as somebody uses it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._objects: dict[str, Object] = {}
        self._attached: dict[Wanted, _Attached] = {}
        self._calls: dict[AttachKind, _Shared] = {}
        self._raw_cookies: bool | None = None

    def acquire(self, wanted: Sequence[Wanted]) -> None:
        """Put programs on hooks where they are not yet. All, or none and a LictorError that names what failed."""
        done: list[Wanted] = []
        self._must_agree([attach for _, attach in wanted])
        try:
            for kind in _MULTI:
                done += self._many(kind, [one for one in wanted if one[1].kind is kind])
            for one in wanted:
                if one[1].kind not in _MULTI:
                    self._one(*one)
                    done.append(one)
        except BaseException:
            for one in done:
                self.release(*one)
            raise

    def _must_agree(self, wanted: Sequence[Attach]) -> None:
        """A probe that leaves a function before it begins is of no use where a trampoline calls the function."""
        there = [*(attach for _, attach in self._attached), *wanted]
        for override in (one for one in there if one.kind is AttachKind.OVERRIDE):
            for other in there:
                if other.kind in _TRAMPOLINES and other.target == override.target and {override, other} & {*wanted}:
                    raise LictorError(
                        f"`{other.target}` cannot be denied by {override.kind.value} and have a program by "
                        f"{other.kind.value}: that calls the function all the same",
                        "Give one of the two policies the option `override-method: fmod-ret`, or hook something else.",
                    )

    def release(self, hook: int, attach: Attach) -> None:
        """Take a user away; the last one's leaving takes the program off the hook."""
        found = self._attached[hook, attach]
        found.users -= 1
        if found.users:
            return
        del self._attached[hook, attach]
        if attach.kind is AttachKind.SYS_ENTER:
            self._store.arrays["syscall_hooks"].store32(_place(attach), 0, 0)
        shared = found.shared
        shared.hooks.discard(hook)
        shared.left.add(hook)
        if shared.hooks:
            return
        self._close(shared)
        for kind in [kind for kind, one in self._calls.items() if one is shared]:
            del self._calls[kind]

    def has(self, hook: int) -> bool:
        """Whether a link has the hook's number as its cookie."""
        return any(hook in one.shared.hooks or hook in one.shared.left for one in self._attached.values())

    def program_fds(self) -> dict[str, int]:
        """Every loaded program by object, target and name."""
        found: dict[str, int] = {}
        for name, loaded in self._objects.items():
            found |= {f"{name}/{program}": loaded.program_fd(program) for program in loaded.programs}
        for (_, attach), one in self._attached.items():
            found[f"{attach.kind.value}:{attach.target}"] = one.shared.program
        return {name: fd for name, fd in found.items() if fd >= 0}

    def program_names(self, attach: Attach) -> tuple[str, ...]:
        """The names under which `program_fds` may have the program of an attach: its own, and what all share."""
        own = f"{attach.kind.value}:{attach.target}"
        if attach.kind in _CALLS:
            return (f"syscall/{_CALLS[attach.kind][0]}",)
        if attach.kind in _MULTI:
            return (own, f"kprobe_multi/{_MULTI[attach.kind][0]}")
        kind = self._kind(attach)
        return (own, f"{kind.object}/{kind.program}") if kind else (own,)

    def missed(self) -> dict[str, int]:
        """Probes, named as in `program_fds`, and how often the kernel passed over them; those of which it tells."""
        found: dict[str, int] = {}
        for (_, attach), one in self._attached.items():
            count = one.shared.link.missed() if attach.kind in _PROBES else None
            if count is not None:
                found[f"{attach.kind.value}:{attach.target}"] = count
        return found

    def close(self) -> None:
        for shared in {id(one.shared): one.shared for one in self._attached.values()}.values():
            self._close(shared)
        for loaded in self._objects.values():
            loaded.close()
        self._attached.clear()
        self._objects.clear()
        self._calls.clear()

    @staticmethod
    def _close(shared: _Shared) -> None:
        shared.link.close()
        if shared.program >= 0:
            os.close(shared.program)
            shared.program = -1

    def _known(self, hook: int, attach: Attach) -> bool:
        found = self._attached.get((hook, attach))
        if found is not None:
            found.users += 1
        return found is not None

    def _one(self, hook: int, attach: Attach) -> None:
        if self._known(hook, attach):
            return
        with _named(attach):
            shared = self._call(hook, attach) if attach.kind in _CALLS else self._single(hook, attach)
        shared.hooks.add(hook)
        self._attached[hook, attach] = _Attached(shared)

    def _cgroup(self, loaded: Object, attach: Attach, _cookie: int) -> Link:
        return links.cgroup(loaded, f"hook_{attach.target}", self._store.cgroup_root)

    def _kind(self, attach: Attach) -> Kind | None:
        if attach.kind is AttachKind.CGROUP:
            name = "egress" if attach.target.startswith("egress") else "cgroup"
            return Kind(name, f"hook_{attach.target}", self._cgroup, own=True)
        return (ENFORCERS if attach.purpose is Purpose.ENFORCE else KINDS).get(attach.kind)

    def _single(self, hook: int, attach: Attach) -> _Shared:
        kind = self._kind(attach)
        if kind is None:
            raise not_yet(f"hooks of the kind {attach.kind.value}")
        own = kind.own or (attach.kind is AttachKind.RAW_TRACEPOINT and not self._raw_have_cookies())
        loaded = self._own(kind, attach, hook) if own else self._common(kind.object)
        cookie = hook if kind.own or not own else 0
        if not own:
            return _Shared(kind.link(loaded, attach, cookie))
        # The kernel has what it needs: of the object, some 600 kB here, only the program's descriptor is kept.
        with loaded:
            program = os.dup(loaded.program_fd(kind.program))
            try:
                return _Shared(kind.link(loaded, attach, cookie), program)
            except BaseException:
                os.close(program)
                raise

    def _raw_have_cookies(self) -> bool:
        """Found out with the first: this kernel's verifier takes the program that asks for its cookie."""
        if self._raw_cookies is None:
            try:
                self._common("raw_tracepoint")
                self._raw_cookies = True
            except KernelError:
                self._raw_cookies = False
        return self._raw_cookies

    def _call(self, hook: int, attach: Attach) -> _Shared:
        """System calls have one program for entry and one for return, and a table of their numbers."""
        shared = self._calls.get(attach.kind)
        if shared is None:
            program, name = _CALLS[attach.kind]
            shared = _Shared(links.raw_tracepoint(self._common("syscall"), program, name))
            self._calls[attach.kind] = shared
        if attach.kind is AttachKind.SYS_ENTER:
            self._store.arrays["syscall_hooks"].store32(_place(attach), 0, hook)
        return shared

    def _many(self, kind: AttachKind, wanted: Sequence[Wanted]) -> list[Wanted]:
        fresh = [one for one in wanted if not self._known(*one)]
        if fresh:
            program, at_return = _MULTI[kind]
            targets = [attach.target for _, attach in fresh]
            with _named(fresh[0][1]):
                loaded = self._common("kprobe_multi")
                link = links.kprobes(loaded, program, targets, [hook for hook, _ in fresh], at_return=at_return)
            shared = _Shared(link, hooks={hook for hook, _ in fresh})
            for one in fresh:
                self._attached[one] = _Attached(shared)
        return list(wanted)

    def _common(self, name: str) -> Object:
        """An object that serves all hooks of its kind; loaded with the first."""
        if name not in self._objects:
            loaded = Object(object_path(name))
            self._load(loaded)
            self._objects[name] = loaded
        return self._objects[name]

    def _own(self, kind: Kind, attach: Attach, hook: int) -> Object:
        loaded = Object(object_path(kind.object))
        if attach.kind is AttachKind.CGROUP:
            loaded.only(f"hook_{attach.target}")
            # Who sends a packet is not known where packets are looked at.
            signals = kind.object == "cgroup" and features.has("cgroup signal")
            loaded.set_constant("can_signal", int(signals))
            loaded.set_constant("hook_id", hook)
        elif kind.aimed:
            try:
                loaded.only(kind.program)
                loaded.aim(kind.program, attach.target)
            except BaseException:
                loaded.close()
                raise
        else:
            loaded.set_constant("hook_id", hook)
        self._load(loaded)
        return loaded

    def _load(self, loaded: Object) -> None:
        try:
            loaded.share_maps(self._store.object, self._store.process)
            loaded.set_constant("cgroup_source", self._store.cgroup_source)
            loaded.load()
        except BaseException:
            loaded.close()
            raise


@contextlib.contextmanager
def _named(attach: Attach) -> Iterator[None]:
    """Errors inside say which hook it was, and what the verifier's last word was."""
    try:
        yield
    except LictorError as error:
        reason = verdict_of(error.detail) if isinstance(error, KernelError) else ""
        text = f"{attach.kind.value} {attach.target} cannot be attached: {error.message}"
        raise LictorError(f"{text} ({reason})" if reason else text, error.remedy) from error


def verdict_of(log: str) -> str:
    """The line of a verifier's log that says why: the last one that is neither libbpf's nor a count."""
    lines = [line for line in log.splitlines() if line and not line.startswith(("libbpf:", "processed ", "-- END"))]
    return lines[-1].strip() if "-- END PROG LOAD LOG --" in log and lines else ""


def _place(attach: Attach) -> int:
    """Where a system call stands in the table of hooks."""
    abi = attach.target.partition(":")[0]
    return attach.number + (_SYSCALLS if abi in _OF_32_BITS else 0)
