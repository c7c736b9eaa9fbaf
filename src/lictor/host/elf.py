"""What is in the files of programs."""

from __future__ import annotations

from pathlib import Path

from lictor.errors import LictorError

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
