"""What each method of enforcing promises: the rows of the catalogue that no policy of the library shows."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from attacks import execution, files, privileges
from attacks.row import WITH_OVERRIDE, Attack, Ground, Outcome, Strike
from attacks.syscalls import IOPRIO_GET, IOPRIO_SET, attempt, call, refused, succeeds

_LOW = 15
_PROCESS, _LEAST = 1, 2 << 13 | 7


def priority_lowered(ground: Ground) -> Strike:
    """Of this thread alone."""
    del ground

    def strike() -> bool:
        os.setpriority(os.PRIO_PROCESS, 0, _LOW)
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        return True

    return attempt(strike)


def io_priority_lowered(ground: Ground) -> Strike:
    """Of this thread alone."""
    del ground

    def strike() -> bool:
        refused(lambda: call(IOPRIO_SET, _PROCESS, 0, _LEAST))
        return call(IOPRIO_GET, _PROCESS, 0) == _LEAST and call(IOPRIO_SET, _PROCESS, 0, 0) == 0

    return strike


def written_by_another(ground: Ground) -> Strike:
    path = Path(files.protected("/etc/sudoers.d", ground, b"-"))

    def strike() -> bool:
        mark = os.urandom(4).hex()
        succeeds(ground.program("own"), "write", str(path), mark)
        return path.read_bytes()[:8] == mark.encode()

    return strike


def unlinked_by_another(ground: Ground) -> Strike:
    path = Path(files.protected("/etc/sudoers.d", ground))

    def strike() -> bool:
        succeeds(ground.program("own"), "unlink", str(path))
        if path.exists():
            return False
        path.write_bytes(files.SECRET)
        return True

    return strike


def _ignoring(prepare: Callable[[Ground], Strike]) -> Callable[[Ground], Strike]:
    def prepared(ground: Ground) -> Strike:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return prepare(ground)

    return prepared


def _beside_maps(prepare: Callable[[Ground], Strike]) -> Callable[[Ground], Strike]:
    def prepared(ground: Ground) -> Strike:
        os.posix_spawn(ground.program("own"), ["own", "churn"], {})
        return prepare(ground)

    return prepared


_OPEN, _CALL = "methods/denied-by-fmod-ret", "methods/call-denied-by-fmod-ret"
_OVERRIDE, _KILLED = "methods/call-denied-by-override", "methods/killed-at-exec"
ATTACKS = (
    Attack("open, denied by fmod_ret", _OPEN, files.opened, outcome=Outcome.AS_PROMISED),
    Attack("call denied by fmod_ret", _CALL, priority_lowered, kernels=WITH_OVERRIDE, outcome=Outcome.AS_PROMISED),
    Attack("call denied by override", _OVERRIDE, io_priority_lowered, WITH_OVERRIDE, Outcome.AS_PROMISED),
    Attack(
        "call denied by override, beside writers of maps",
        _OVERRIDE,
        _beside_maps(io_priority_lowered),
        kernels=WITH_OVERRIDE,
        outcome=Outcome.AS_PROMISED,
    ),
    Attack(
        "unshare, killed, beside writers of maps",
        "namespaces/kill-unshare",
        _beside_maps(privileges.unshared_by_another),
        cost=8,
        outcome=Outcome.AS_PROMISED,
    ),
    Attack("open, beside writers of maps", "files/deny-open", _beside_maps(files.opened)),
    Attack("exec, killed", _KILLED, execution.from_directory, cost=4),
    Attack("exec by descriptor, killed", _KILLED, execution.from_directory_by_descriptor, cost=8),
    Attack("write, killed", "methods/killed-at-write", written_by_another, cost=4, outcome=Outcome.RACE),
    Attack("unlink, killed", "methods/killed-at-unlink", unlinked_by_another, cost=4, outcome=Outcome.DETOUR),
    Attack("write, signalled", "methods/signalled-at-write", _ignoring(files.written), outcome=Outcome.DETOUR),
)
