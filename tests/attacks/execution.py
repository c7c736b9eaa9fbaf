"""Programs that must not start. The effect: their first instruction ran."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from attacks.row import Attack, Ground, Outcome, Strike
from attacks.syscalls import attempt

_OUT, _IN = 100, 101  # what programs of `native/` write to, and what one becomes
_FAR, _LONGEST_NAME = 40_000, 255
_ENVIRONMENT: dict[str, str] = {}
Spawn = Callable[[int], int]
"""Starts the program with this descriptor as its 100, gives the child."""


def _ran(spawn: Spawn) -> Strike:
    def strike() -> bool:
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            os.waitpid(spawn(write), 0)
            return os.read(read, 1) == b"!"
        finally:
            os.close(read)
            os.close(write)

    return attempt(strike)


def _by_path(path: str) -> Strike:
    return _ran(lambda out: os.posix_spawn(path, [path], _ENVIRONMENT, file_actions=[(os.POSIX_SPAWN_DUP2, out, _OUT)]))


def _by_descriptor(ground: Ground, descriptor: int) -> Strike:
    """By a program that becomes it: no path leads there."""
    own = ground.program("own")
    moves = [(os.POSIX_SPAWN_DUP2, descriptor, _IN)]

    def spawn(out: int) -> int:
        words = [own, "exec", str(_IN)]
        return os.posix_spawn(own, words, _ENVIRONMENT, file_actions=[*moves, (os.POSIX_SPAWN_DUP2, out, _OUT)])

    return _ran(spawn)


def _copy(ground: Ground, target: str) -> str:
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ground.program("first"), target)
    return target


def by_path(ground: Ground) -> Strike:
    target = "/usr/bin/ncat"
    if not Path(target).exists():
        shutil.copy(ground.program("first"), f"{target}.{ground.number}")
        os.rename(f"{target}.{ground.number}", target)
    return _by_path(target)


def by_symlink(ground: Ground) -> Strike:
    by_path(ground)
    link = f"/opt/innocent-{ground.number}"
    os.symlink("/usr/bin/ncat", link)
    return _by_path(link)


def by_hard_link(ground: Ground) -> Strike:
    by_path(ground)
    link = f"/usr/bin/innocent-{ground.number}"
    os.link("/usr/bin/ncat", link)
    return _by_path(link)


def from_directory(ground: Ground) -> Strike:
    return _by_path(_copy(ground, f"/var/tmp/deep/{ground.number}/first"))


def from_directory_by_descriptor(ground: Ground) -> Strike:
    return _by_descriptor(ground, os.open(_copy(ground, f"/var/tmp/fd-{ground.number}"), os.O_RDONLY))


def from_far_below(ground: Ground) -> Strike:
    """So deep that nothing that looks at the path sees its beginning."""
    os.makedirs(f"/var/tmp/far-{ground.number}")
    here = os.open(f"/var/tmp/far-{ground.number}", os.O_PATH)
    for _ in range(_FAR // _LONGEST_NAME):
        os.mkdir("d" * _LONGEST_NAME, dir_fd=here)
        above, here = here, os.open("d" * _LONGEST_NAME, os.O_PATH, dir_fd=here)
        os.close(above)
    with os.fdopen(os.open("first", os.O_CREAT | os.O_WRONLY, 0o755, dir_fd=here), "wb") as file:
        file.write(Path(ground.program("first")).read_bytes())
    return _by_descriptor(ground, os.open("first", os.O_RDONLY, dir_fd=here))


def as_interpreter(ground: Ground) -> Strike:
    interpreter = _copy(ground, f"/var/tmp/interpreter-{ground.number}")
    script = Path(f"/opt/script-{ground.number}")
    script.write_text(f"#!{interpreter}\n")
    script.chmod(0o755)
    return _by_path(str(script))


def as_loader(ground: Ground) -> Strike:
    """The kernel maps what a program names as its loader, and starts there: no exec of its own."""
    loader = f"/var/tmp/loader-{ground.number:04}"  # as long as the name that was linked in
    _copy(ground, loader)
    program = Path(f"/opt/program-{ground.number}")
    program.write_bytes(Path(ground.program("strange")).read_bytes().replace(b"/var/tmp/loader-NNNN", loader.encode()))
    program.chmod(0o755)
    return _by_path(str(program))


def unnamed(ground: Ground) -> Strike:
    """A file that never had a name."""
    descriptor = os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR, 0o755)
    os.write(descriptor, Path(ground.program("first")).read_bytes())
    readable = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    os.close(descriptor)
    return _by_descriptor(ground, readable)


def by_the_loader(ground: Ground) -> Strike:
    """The program is an argument of the dynamic loader, which is what execs."""
    target = f"/var/tmp/loaded-{ground.number}"
    shutil.copy(ground.program("dynamic"), target)
    loader = "/lib64/ld-linux-x86-64.so.2"
    return _ran(
        lambda out: os.posix_spawn(
            loader, [loader, target], _ENVIRONMENT, file_actions=[(os.POSIX_SPAWN_DUP2, out, _OUT)]
        )
    )


def memfd(ground: Ground) -> Strike:
    descriptor = os.memfd_create("update", os.MFD_CLOEXEC)
    os.write(descriptor, Path(ground.program("first")).read_bytes())
    return _by_descriptor(ground, descriptor)


def memfd_by_path(ground: Ground) -> Strike:
    descriptor = os.memfd_create("update", os.MFD_CLOEXEC)
    os.write(descriptor, Path(ground.program("first")).read_bytes())
    return _by_path(f"/proc/{os.getpid()}/fd/{descriptor}")


def deleted(ground: Ground) -> Strike:
    target = _copy(ground, f"/opt/gone-{ground.number}")
    descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    os.unlink(target)
    return _by_path(f"/proc/{os.getpid()}/fd/{descriptor}")


ATTACKS = (
    Attack("exec by path", "exec/deny-program", by_path, cost=4),
    Attack("exec by a symbolic link", "exec/deny-program", by_symlink, cost=4),
    Attack("exec by a hard link", "exec/deny-program", by_hard_link, cost=4, outcome=Outcome.DETOUR),
    Attack("exec from a directory", "exec/deny-directory", from_directory, cost=4),
    Attack("exec from a directory by descriptor", "exec/deny-directory", from_directory_by_descriptor, cost=8),
    Attack("exec from far below a directory", "exec/deny-directory", from_far_below, cost=8),
    Attack("exec from a directory as interpreter", "exec/deny-directory", as_interpreter, cost=4),
    Attack("exec from a directory by the loader", "exec/deny-directory", by_the_loader, cost=8, outcome=Outcome.DETOUR),
    Attack("exec from a directory as loader", "exec/deny-directory", as_loader, cost=4, outcome=Outcome.DETOUR),
    Attack("exec of a memfd", "exec/deny-memfd", memfd, cost=8),
    Attack("exec of a memfd by path", "exec/deny-memfd", memfd_by_path, cost=4),
    Attack("exec of a deleted file", "exec/deny-deleted", deleted, cost=4),
    Attack("exec of a file without a name", "exec/deny-deleted", unnamed, cost=8),
)
