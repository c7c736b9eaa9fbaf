"""Memory that must not become code. The effect: a function placed there ran."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from attacks import execution
from attacks.row import Attack, Ground, Outcome, Strike
from attacks.syscalls import MMAP, MPROTECT, PERSONALITY, attempt, call, refused

_CODE = b"\xb8\x2a\x00\x00\x00\xc3"  # return 42
_PAGE = 4096
_READ, _WRITE, _EXEC = 1, 2, 4
_PRIVATE, _ANONYMOUS = 2, 32
_READ_IMPLIES_EXEC = 0x400000
_run = ctypes.CFUNCTYPE(ctypes.c_int)
_unmap = ctypes.CDLL(None).munmap
_unmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


def _is_code(address: int) -> bool:
    try:
        return bool(_run(address)() == 42)
    finally:
        _unmap(address, _PAGE)


def mapped(ground: Ground) -> Strike:
    path = Path(f"/var/tmp/code-{ground.number}")
    path.write_bytes(_CODE)
    descriptor = os.open(path, os.O_RDONLY)
    return attempt(lambda: _is_code(call(MMAP, 0, _PAGE, _READ | _EXEC, _PRIVATE, descriptor, 0)))


def mapped_then_protected(ground: Ground) -> Strike:
    """Mapped to be read, and made executable afterwards."""
    path = Path(f"/var/tmp/later-{ground.number}")
    path.write_bytes(_CODE)
    descriptor = os.open(path, os.O_RDONLY)

    def strike() -> bool:
        address = call(MMAP, 0, _PAGE, _READ, _PRIVATE, descriptor, 0)
        if refused(lambda: call(MPROTECT, address, _PAGE, _READ | _EXEC)):
            _unmap(address, _PAGE)
            return False
        return _is_code(address)

    return attempt(strike)


def _writable() -> int:
    address = call(MMAP, 0, _PAGE, _READ | _WRITE, _PRIVATE | _ANONYMOUS, -1, 0)
    ctypes.memmove(address, _CODE, len(_CODE))
    return address


def protected(ground: Ground) -> Strike:
    del ground

    def strike() -> bool:
        address = _writable()
        try:
            call(MPROTECT, address, _PAGE, _READ | _EXEC)
        except OSError:
            _unmap(address, _PAGE)
            return False
        return _is_code(address)

    return strike


def readable_is_executable(ground: Ground) -> Strike:
    """A personality for which what may be read may be executed: nobody asks for that by name."""
    del ground

    def strike() -> bool:
        address = call(MMAP, 0, _PAGE, _WRITE, _PRIVATE | _ANONYMOUS, -1, 0)
        ctypes.memmove(address, _CODE, len(_CODE))
        call(PERSONALITY, _READ_IMPLIES_EXEC)  # of this thread
        denied = refused(lambda: call(MPROTECT, address, _PAGE, _READ))
        call(PERSONALITY, 0)
        if denied:
            _unmap(address, _PAGE)
            return False
        return _is_code(address)

    return strike


def mapped_writable(ground: Ground) -> Strike:
    """Memory that is executable from the beginning never becomes so."""
    del ground

    def strike() -> bool:
        address = call(MMAP, 0, _PAGE, _READ | _WRITE | _EXEC, _PRIVATE | _ANONYMOUS, -1, 0)
        ctypes.memmove(address, _CODE, len(_CODE))
        return _is_code(address)

    return attempt(strike)


ATTACKS = (
    Attack("mmap of a file for execution", "memory/deny-mapping", mapped),
    Attack("program by the loader, by mapping", "memory/deny-mapping", execution.by_the_loader, cost=8),
    Attack("program as loader, by mapping", "memory/deny-mapping", execution.as_loader, cost=4),
    Attack("mprotect of a mapped file for execution", "memory/deny-mapping", mapped_then_protected),
    Attack("mprotect for execution", "memory/deny-mprotect", protected),
    Attack("mprotect where reading is executing", "memory/deny-mprotect", readable_is_executable),
    Attack("mmap of executable memory", "memory/deny-mprotect", mapped_writable, outcome=Outcome.DETOUR),
)
