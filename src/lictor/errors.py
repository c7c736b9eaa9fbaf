"""Errors that are meant for a person: what is wrong, and what to do about it."""

from __future__ import annotations

EXIT_PROBLEMS = 1
EXIT_CANNOT_RUN = 2


class LictorError(Exception):
    """A failure a user can act on. The command line prints it as one sentence, never as a traceback.

    `message` says what is wrong, `remedy` what to do about it, `exit_code` is the process's status.
    """

    def __init__(self, message: str, remedy: str = "", exit_code: int = EXIT_CANNOT_RUN) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message
