"""The policies of an agent: who added them, what state they are in, and the order in which they change.

One change at a time. Compiling and loading happen on another thread: the events go on meanwhile, and `list` shows the
state in between. What the kernel half does, it does all or nothing (sensors/policies.py); here it is remembered.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from lictor import log
from lictor.api.ports import (
    STATIC_DOMAIN,
    NoSuchPolicyError,
    PolicyExistsError,
    PolicyState,
    PolicyStatus,
    SelectorCounters,
)
from lictor.daemon.backend import Backend, Fares
from lictor.daemon.persist import Kept, Store
from lictor.daemon.statements import counters_of, hooks_of, state_of, told_of
from lictor.errors import LictorError
from lictor.policy.plan import Mode, Plan

if TYPE_CHECKING:
    from lictor.policy.compile import Compiled
    from lictor.policy.diagnostics import Diagnostic

_log = log.get("policies")
_DEAD = (PolicyState.LOAD_ERROR, PolicyState.SKIPPED)
_IN_FORCE = (PolicyState.ENABLED, PolicyState.PARTIALLY_ENABLED)


@dataclass(slots=True)
class _Entry:
    """A policy. `plan` is None while there has been none that compiles."""

    id: int
    name: str
    namespace: str
    domain: str
    text: bytes
    plan: Plan | None = None
    state: PolicyState = PolicyState.LOADING
    error: str = ""
    mode: Mode | None = None  # one that was set at run time
    counters: Sequence[SelectorCounters] = ()
    failed_reads: int = 0
    unjoined: int = 0

    @property
    def loaded(self) -> bool:
        return self.state in _IN_FORCE


class Manager:
    """See `api.ports.PolicyManager`."""

    def __init__(self, backend: Backend, store: Store | None = None) -> None:
        self._backend = backend
        self._store = store  # for those that come over the API
        self._lock = asyncio.Lock()
        self._entries: dict[tuple[str, str], _Entry] = {}  # (namespace, name): as the kernel half knows them
        self._ids = itertools.count(1)

    async def add(self, text: bytes, domain: str, file: str = "policy") -> None:
        """Put a new policy in force. Raises LictorError; a policy that has a name is then kept with its error."""
        async with self._lock:
            entry, compiled = await self._compiled(text, domain, file)
            found = self._entries.get((entry.namespace, entry.name))
            if found is not None and (found.state not in _DEAD or found.domain != domain):
                raise PolicyExistsError(
                    f"there is a policy {_shown(entry)} already, in domain {found.domain}", "delete it first"
                )
            self._entries[entry.namespace, entry.name] = entry
            self._take_plan(entry, compiled)
            await self._load(entry)
            self._keep(entry)

    async def put(self, text: bytes, domain: str, file: str = "policy") -> tuple[str, str]:
        """Add a policy, or replace the one of its name at once. Gives its namespace and name.

        Raises LictorError; the one in force then stays.
        """
        async with self._lock:
            entry, compiled = await self._compiled(text, domain, file)
            found = self._entries.get((entry.namespace, entry.name))
            if found is None or found.state in _DEAD:
                self._entries[entry.namespace, entry.name] = entry
                self._take_plan(entry, compiled)
                await self._load(entry)
            elif found.domain != domain:
                raise PolicyExistsError(f"there is a policy {_shown(entry)} in domain {found.domain}", "rename one")
            else:
                await self._replace(found, entry, compiled)
            return entry.namespace, entry.name

    async def replace(self, text: bytes, domain: str, file: str = "policy") -> None:
        """Replace the policy of this name at once. Raises LictorError; the one in force then stays."""
        async with self._lock:
            entry, compiled = await self._compiled(text, domain, file)
            found = self._find(entry.name, entry.namespace, domain)
            if found.state in _DEAD:
                self._entries[entry.namespace, entry.name] = found = entry
                self._take_plan(entry, compiled)
                await self._load(entry)
            else:
                await self._replace(found, entry, compiled)
                if not found.loaded:
                    await self._load(found)
            self._keep(found)

    async def delete(self, name: str, namespace: str, domain: str) -> None:
        """Take a policy out of force and forget it."""
        async with self._lock:
            entry = self._find(name, namespace, domain)
            await self._unload(entry, PolicyState.UNLOADING)
            del self._entries[entry.namespace, entry.name]
            if self._store is not None:
                self._store.forget(entry.name, entry.namespace, entry.domain)
            _log.info("the policy %s is removed", _shown(entry))

    async def configure(
        self,
        name: str,
        namespace: str,
        domain: str,
        enable: bool | None = None,
        mode: Mode | None = None,
        seconds: int = 0,
    ) -> None:
        """Switch a policy on or off, and set what its enforcing actions do, for some seconds or for good."""
        async with self._lock:
            entry = self._find(name, namespace, domain)
            if entry.plan is None:
                raise LictorError(f"the policy {_shown(entry)} was never in force", "delete it, and add it corrected")
            if mode is not None:
                await self._set_mode(entry, entry.plan, mode, seconds)
            if enable and not entry.loaded:
                await self._load(entry)
            elif enable is False and entry.loaded:
                await self._unload(entry, PolicyState.DISABLED)
            self._keep(entry)

    async def restore(self) -> None:
        """Put what was kept in force again: all of it, or nothing. Raises LictorError."""
        kept = self._store.all() if self._store is not None else []
        done: list[Kept] = []
        try:
            for one in kept:
                await self._restore_one(one)
                done.append(one)
        except LictorError:
            async with self._lock:
                for one in done:
                    entry = self._entries.pop((one.namespace, one.name))
                    await self._unload(entry, PolicyState.UNLOADING)
            raise

    async def _restore_one(self, one: Kept) -> None:
        async with self._lock:
            entry, compiled = await self._compiled(one.yaml.encode(), one.domain, f"kept policy {one.name}")
            if (entry.namespace, entry.name) in self._entries:
                raise PolicyExistsError(f"the kept policy {_shown(entry)} is there already", "remove one of them")
            self._take_plan(entry, compiled)
            if one.mode and entry.plan is not None:
                await self._set_mode(entry, entry.plan, Mode(one.mode), 0)
            if one.enabled:
                await self._load(entry)
            else:
                entry.state = PolicyState.DISABLED
            self._entries[entry.namespace, entry.name] = entry

    def _keep(self, entry: _Entry) -> None:
        if self._store is not None and entry.domain != STATIC_DOMAIN:
            mode = entry.mode.value if entry.mode is not None else ""
            enabled = entry.state is not PolicyState.DISABLED
            text = entry.text.decode(errors="replace")
            self._store.keep(Kept(text, entry.name, entry.namespace, entry.domain, enabled, mode))

    async def list(self, domain: str = "") -> Sequence[PolicyStatus]:
        """All policies in the order in which they came, or those of a domain.

        While a change is under way the counters are those of the last look: the kernel half answers one at a time.
        """
        if self._lock.locked():
            return self.statuses(domain)
        await asyncio.to_thread(self.count)
        return self.statuses(domain)

    def statuses(self, domain: str = "") -> Sequence[PolicyStatus]:
        """The same with the counters of the last `count`."""
        found = sorted(self._entries.values(), key=lambda entry: entry.id)
        return [self._status(entry) for entry in found if not domain or entry.domain == domain]

    def count(self) -> None:
        """Read the counters of every policy in force. It waits for a change that is under way."""
        for entry in tuple(self._entries.values()):
            plan = entry.plan
            if plan is not None and entry.loaded:
                self._count(entry, plan)

    def domains(self) -> Sequence[str]:
        return sorted({entry.domain for entry in self._entries.values()})

    async def _compiled(self, text: bytes, domain: str, file: str) -> tuple[_Entry, Compiled]:
        compiled = await asyncio.to_thread(self._backend.compile, text, file)
        policy = compiled.draft.policy if compiled.draft is not None else None
        if policy is None or policy.metadata is None or not policy.metadata.name:
            raise _findings(compiled, file)
        plan = compiled.plan
        namespace = plan.namespace if plan is not None else policy.metadata.namespace
        return _Entry(next(self._ids), policy.metadata.name, namespace, domain, text), compiled

    def _take_plan(self, entry: _Entry, compiled: Compiled) -> None:
        entry.plan = compiled.plan
        if compiled.plan is None:
            error = _findings(compiled, entry.name)
            entry.state, entry.error = PolicyState.LOAD_ERROR, str(error)
            raise error
        for one in compiled.diagnostics:
            tell = _log.warning if one.severity == "warning" else _log.info
            tell("%s", "; ".join(line.strip() for line in _as_text([one])))

    async def _load(self, entry: _Entry) -> None:
        assert entry.plan is not None
        entry.state, entry.error = PolicyState.LOADING, ""
        try:
            await asyncio.to_thread(self._backend.load, entry.plan)
        except BaseException as error:
            entry.state, entry.error = PolicyState.LOAD_ERROR, str(error)
            raise
        entry.state = state_of(entry.plan)
        _log.info("the policy %s is in force", _shown(entry))

    async def _unload(self, entry: _Entry, then: PolicyState) -> None:
        if entry.loaded:
            before, entry.state = entry.state, PolicyState.UNLOADING
            try:
                await asyncio.to_thread(self._backend.unload, entry.namespace, entry.name)
            except BaseException as error:
                entry.state, entry.error = before, str(error)
                raise
        entry.state = then

    async def _replace(self, found: _Entry, entry: _Entry, compiled: Compiled) -> None:
        if compiled.plan is None:
            raise _findings(compiled, entry.name)
        if found.loaded:
            await asyncio.to_thread(self._backend.replace, compiled.plan)
            found.state = state_of(compiled.plan)
        # A mode that was set at run time was the old one's.
        found.plan, found.text, found.error, found.mode = compiled.plan, entry.text, "", None
        _log.info("the policy %s is replaced", _shown(entry))

    async def _set_mode(self, entry: _Entry, plan: Plan, mode: Mode, seconds: int) -> None:
        if plan.mode is Mode.MONITOR_ONLY:
            raise LictorError(f"the policy {_shown(entry)} has no enforcing action", "there is no mode to set")
        if seconds and not entry.loaded:
            raise LictorError(f"the policy {_shown(entry)} is not in force", "enable it first")
        until = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + seconds * 1_000_000_000 if seconds else 0
        if entry.loaded:
            await asyncio.to_thread(self._backend.set_mode, entry.namespace, entry.name, mode, until, plan.mode)
        if not seconds:
            entry.plan, entry.mode = msgspec.structs.replace(plan, mode=mode), mode
        _log.info("the policy %s is in mode %s%s", _shown(entry), mode.value, f" for {seconds} s" if seconds else "")

    def _find(self, name: str, namespace: str, domain: str) -> _Entry:
        entry = self._entries.get((namespace, name))
        if entry is None or entry.domain != domain:
            elsewhere = f" (domain {entry.domain} has one)" if entry is not None else ""
            known = ", ".join(sorted(one.name for one in self._entries.values() if one.domain == domain)) or "none"
            where = f"{namespace}/{name}" if namespace else name
            raise NoSuchPolicyError(f"there is no policy {where} in domain {domain}{elsewhere}", f"there are: {known}")
        return entry

    def _status(self, entry: _Entry) -> PolicyStatus:
        plan = entry.plan
        fares = self._fares(entry)
        return PolicyStatus(
            id=entry.id,
            name=entry.name,
            namespace=entry.namespace,
            domain=entry.domain,
            state=entry.state,
            mode=fares.mode if fares is not None else plan.mode if plan is not None else None,
            info=told_of(plan, fares) if plan is not None else "",
            error=entry.error,
            kernel_memory=self._memory(entry),
            hooks=hooks_of(plan, entry.loaded) if plan is not None else (),
            selectors=entry.counters if entry.loaded else (),
            failed_reads=entry.failed_reads if entry.loaded else 0,
            unjoined=entry.unjoined if entry.loaded else 0,
        )

    def _fares(self, entry: _Entry) -> Fares | None:
        """None: nothing of it enforces, or it is being changed just now."""
        if not entry.loaded or entry.plan is None or entry.plan.mode is Mode.MONITOR_ONLY:
            return None
        try:
            return self._backend.enforcement(entry.namespace, entry.name)
        except LictorError:
            return None

    def _memory(self, entry: _Entry) -> int:
        if not entry.loaded:
            return 0
        try:
            return self._backend.memory(entry.namespace, entry.name)
        except LictorError:  # it went while we asked
            return 0

    def _count(self, entry: _Entry, plan: Plan) -> None:
        try:
            rows = self._backend.statistics(entry.namespace, entry.name)
            totals = self._backend.counts(entry.namespace, entry.name)
        except LictorError:  # it went while we asked
            entry.counters = ()
            return
        entry.counters = [counters_of(plan.hooks[row.hook], row) for row in rows]
        entry.failed_reads, entry.unjoined = totals.failed_reads, totals.unjoined


def _as_text(found: Sequence[Diagnostic]) -> list[str]:
    # Imported here: an agent without policies does without the compiler.
    from lictor.policy.diagnostics import as_text

    return as_text(found)


def _findings(compiled: Compiled, file: str) -> LictorError:
    errors = [one for one in compiled.diagnostics if one.severity == "error"]
    text = "\n".join(_as_text(errors))
    return LictorError(f"{file} is no policy that can be loaded here", f"`lictor policy check` says more\n{text}")


def _shown(entry: _Entry) -> str:
    return f"{entry.namespace}/{entry.name}" if entry.namespace else entry.name
