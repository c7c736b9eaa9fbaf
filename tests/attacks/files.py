"""Operations on files below a protected directory. The effect is looked for in the file system."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path

from attacks.row import Attack, Ground, Outcome, Strike
from attacks.syscalls import attempt, refused

SECRET = b"secret!"
_SECRETS, _SETTINGS, _PROGRAMS = "/root/.ssh", "/etc/sudoers.d", "/usr/local/sbin"


def protected(directory: str, ground: Ground, content: bytes = SECRET) -> str:
    """A file of this thread in a directory that a policy protects."""
    os.makedirs(directory, exist_ok=True)
    path = Path(directory, f"attack-{ground.number}")
    path.write_bytes(content)
    return str(path)


def _content(path: str) -> Callable[[], bytes]:
    """Reads a file through a descriptor opened now."""
    descriptor = os.open(path, os.O_RDONLY)
    return lambda: os.pread(descriptor, 64, 0)


def opens(path: str) -> Strike:
    def strike() -> bool:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return os.read(descriptor, 64) == SECRET
        finally:
            os.close(descriptor)

    return attempt(strike)


def opened(ground: Ground) -> Strike:
    return opens(protected(_SECRETS, ground))


def opened_by_symlink(ground: Ground) -> Strike:
    link = f"/opt/link-{ground.number}"
    os.symlink(protected(_SECRETS, ground), link)
    return opens(link)


def opened_through_proc(ground: Ground) -> Strike:
    return opens(f"/proc/self/root{protected(_SECRETS, ground)}")


def opened_before(ground: Ground) -> Strike:
    content = _content(protected(_SECRETS, ground))
    return attempt(lambda: content() == SECRET)


def read(ground: Ground) -> Strike:
    return opened_before(ground)


def read_by_sendfile(ground: Ground) -> Strike:
    source = os.open(protected(_SECRETS, ground), os.O_RDONLY)
    target = os.memfd_create("copy")

    def strike() -> bool:
        os.ftruncate(target, 0)
        os.lseek(target, 0, os.SEEK_SET)
        os.sendfile(target, source, 0, len(SECRET))
        return os.pread(target, 64, 0) == SECRET

    return attempt(strike)


def read_by_a_mapping(ground: Ground) -> Strike:
    """A mapping made before is memory: nothing asks when it is read."""
    descriptor = os.open(protected(_SECRETS, ground), os.O_RDONLY)
    memory = mmap.mmap(descriptor, len(SECRET), prot=mmap.PROT_READ)
    return lambda: memory[:] == SECRET


def written(ground: Ground) -> Strike:
    path = protected(_SETTINGS, ground, b"-")
    content, descriptor = _content(path), os.open(path, os.O_WRONLY)

    def strike() -> bool:
        mark = os.urandom(8)
        refused(lambda: os.pwrite(descriptor, mark, 0))
        return content() == mark

    return strike


def written_by_splice(ground: Ground) -> Strike:
    path = protected(_SETTINGS, ground, b"-")
    content, descriptor = _content(path), os.open(path, os.O_WRONLY)

    def strike() -> bool:
        mark = os.urandom(8)
        source, sink = os.pipe()
        try:
            os.write(sink, mark)
            refused(lambda: os.splice(source, descriptor, 8, offset_dst=0))
            return content() == mark
        finally:
            os.close(source)
            os.close(sink)

    return strike


def _was_truncated(path: str) -> bool:
    """Also fills the file again."""
    if os.stat(path).st_size:
        return False
    Path(path).write_bytes(SECRET)
    return True


def truncated(ground: Ground) -> Strike:
    path = protected(_SETTINGS, ground)

    def strike() -> bool:
        refused(lambda: os.truncate(path, 0))
        return _was_truncated(path)

    return strike


def truncated_by_descriptor(ground: Ground) -> Strike:
    path = protected(_SETTINGS, ground)
    descriptor = os.open(path, os.O_WRONLY)

    def strike() -> bool:
        refused(lambda: os.ftruncate(descriptor, 0))
        return _was_truncated(path)

    return strike


def truncated_at_open(ground: Ground) -> Strike:
    path = protected(_SETTINGS, ground)

    def strike() -> bool:
        refused(lambda: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC)))
        return _was_truncated(path)

    return strike


def renamed_away(ground: Ground) -> Strike:
    path = protected(_SETTINGS, ground)
    other = f"/etc/away-{ground.number}"

    def strike() -> bool:
        refused(lambda: os.rename(path, other))
        if not os.path.exists(other):
            return False
        os.unlink(other)
        Path(path).write_bytes(SECRET)
        return True

    return strike


def renamed_into(ground: Ground) -> Strike:
    protected(_SETTINGS, ground)
    new = f"/etc/sudoers.d/new-{ground.number}"

    def strike() -> bool:
        other = Path(f"/etc/other-{ground.number}")
        other.write_bytes(SECRET)
        refused(lambda: os.rename(other, new))
        if not os.path.exists(new):
            return False
        os.unlink(new)
        return True

    return strike


def linked(ground: Ground) -> Strike:
    path = protected(_SETTINGS, ground)
    link = f"/etc/link-{ground.number}"

    def strike() -> bool:
        refused(lambda: os.link(path, link))
        if not os.path.lexists(link):
            return False
        os.unlink(link)
        return True

    return strike


def linked_into(ground: Ground) -> Strike:
    protected(_SETTINGS, ground)
    other = Path(f"/etc/target-{ground.number}")
    other.write_bytes(SECRET)
    link = f"/etc/sudoers.d/link-{ground.number}"

    def strike() -> bool:
        refused(lambda: os.link(other, link))
        if not os.path.lexists(link):
            return False
        os.unlink(link)
        return True

    return strike


def unlinked(ground: Ground) -> Strike:
    path = protected(_SETTINGS, ground)

    def strike() -> bool:
        if not os.path.exists(path):
            Path(path).write_bytes(SECRET)
        refused(lambda: os.unlink(path))
        return not os.path.exists(path)

    return strike


def symlinked(ground: Ground) -> Strike:
    protected(_SETTINGS, ground)
    link = f"/etc/sudoers.d/symlink-{ground.number}"

    def strike() -> bool:
        refused(lambda: os.symlink("/opt/mine", link))
        if not os.path.lexists(link):
            return False
        os.unlink(link)
        return True

    return strike


def changed_mode(ground: Ground) -> Strike:
    path = protected(_PROGRAMS, ground)

    def strike() -> bool:
        before = os.stat(path).st_mode & 0o7777
        wanted = 0o4755 if before != 0o4755 else 0o755
        refused(lambda: os.chmod(path, wanted))
        return os.stat(path).st_mode & 0o7777 == wanted

    return strike


def changed_mode_by_descriptor(ground: Ground) -> Strike:
    path = protected(_PROGRAMS, ground)
    descriptor = os.open(path, os.O_RDONLY)

    def strike() -> bool:
        before = os.stat(path).st_mode & 0o7777
        wanted = 0o4755 if before != 0o4755 else 0o755
        refused(lambda: os.fchmod(descriptor, wanted))
        return os.stat(path).st_mode & 0o7777 == wanted

    return strike


def changed_owner(ground: Ground) -> Strike:
    path = protected(_PROGRAMS, ground)

    def strike() -> bool:
        wanted = 1000 if os.stat(path).st_uid == 0 else 0
        refused(lambda: os.chown(path, wanted, -1))
        return os.stat(path).st_uid == wanted

    return strike


ATTACKS = (
    Attack("open", "files/deny-open", opened),
    Attack("open by a symbolic link", "files/deny-open", opened_by_symlink),
    Attack("open through /proc", "files/deny-open", opened_through_proc),
    Attack("opened before the policy", "files/deny-open", opened_before, outcome=Outcome.DETOUR),
    Attack("read", "files/deny-read", read),
    Attack("read by sendfile", "files/deny-read", read_by_sendfile),
    Attack("read from a mapping made before", "files/deny-read", read_by_a_mapping, outcome=Outcome.DETOUR),
    Attack("write", "files/deny-write", written),
    Attack("write by splice", "files/deny-write", written_by_splice),
    Attack("truncate", "files/deny-truncate", truncated),
    Attack("truncate by descriptor", "files/deny-truncate", truncated_by_descriptor),
    Attack("truncate at open", "files/deny-truncate", truncated_at_open),
    Attack("rename away", "files/deny-rename", renamed_away),
    Attack("rename into", "files/deny-rename", renamed_into),
    Attack("link", "files/deny-link", linked),
    Attack("link into", "files/deny-link", linked_into),
    Attack("unlink", "files/deny-unlink", unlinked),
    Attack("symlink", "files/deny-symlink", symlinked),
    Attack("chmod", "files/deny-chmod", changed_mode),
    Attack("chmod by descriptor", "files/deny-chmod", changed_mode_by_descriptor),
    Attack("chown", "files/deny-chown", changed_owner),
)
