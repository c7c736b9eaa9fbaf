"""What is in the files of programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lictor.errors import LictorError

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

_ELF, _BTF = b"\x7fELF", b"\x9f\xeb"


def types_of(path: str) -> bytes:
    """The BTF of a program, or of a file that holds nothing else. Raises LictorError."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with Path(path).open("rb") as file:
            magic = file.read(4)
            if magic[:2] == _BTF:
                return magic + file.read()
            section = ELFFile(file).get_section_by_name(".BTF") if magic == _ELF else None
            if section is not None:
                found: bytes = section.data()
                return found
    except OSError as error:
        raise LictorError(f"cannot read {path}: {error.strerror}", "name a file that has BTF") from error
    except ELFError as error:
        raise LictorError(f"{path} is no program: {error}", "name a file that has BTF") from error
    raise LictorError(f"{path} has no types (section .BTF)", "make them with `pahole -J`, or name a file that has them")


def functions_of(path: str) -> list[str]:
    """The functions that the symbol tables of a program name. Raises LictorError, also when there are none."""
    from elftools.elf.sections import SymbolTableSection

    found = set()
    with _opened(path) as program:
        for section in program.iter_sections():
            if isinstance(section, SymbolTableSection):
                found |= {
                    one.name
                    for one in section.iter_symbols()
                    if one["st_info"]["type"] == "STT_FUNC" and one["st_shndx"] != "SHN_UNDEF" and one.name
                }
    if not found:
        raise LictorError(f"{path} names no functions: it is stripped", "install its debug symbols")
    return sorted(found)


def probes_of(path: str) -> list[tuple[str, str]]:
    """Provider and name of each static probe (USDT) of a program. Raises LictorError, also when there are none."""
    from elftools.elf.sections import NoteSection

    found = set()
    with _opened(path) as program:
        section = program.get_section_by_name(".note.stapsdt")
        skipped = 3 * (program.elfclass // 8)  # addresses of the probe, of the section base, of the semaphore
        for note in section.iter_notes() if isinstance(section, NoteSection) else ():
            description = note["n_desc"]
            raw = description if isinstance(description, bytes) else description.encode("latin-1")
            provider, _, rest = raw[skipped:].partition(b"\0")
            found.add((provider.decode(errors="replace"), rest.partition(b"\0")[0].decode(errors="replace")))
    if not found:
        raise LictorError(f"{path} has no static probes (section .note.stapsdt)", "name a program that has them")
    return sorted(found)


@contextmanager
def _opened(path: str) -> Iterator[ELFFile]:
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        with Path(path).open("rb") as file:
            yield ELFFile(file)
    except OSError as error:
        raise LictorError(f"cannot read {path}: {error.strerror}", "name a program or a library") from error
    except ELFError as error:
        raise LictorError(f"{path} is no program: {error}", "name a program or a library") from error
