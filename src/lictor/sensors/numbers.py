"""Numbers of elements: runs of neighbours are taken and given back."""

from __future__ import annotations

from bisect import insort

from lictor.errors import LictorError


class Numbers:
    """The free elements of one array, as runs (first, count). `what` names them for people."""

    def __init__(self, what: str, first: int, end: int) -> None:
        self._what = what
        self._free = [(first, end - first)]
        self.used = 0

    def take(self, count: int = 1) -> int:
        """The first of `count` neighbours. Raises LictorError when there are not as many."""
        for place, (first, size) in enumerate(self._free):
            if size >= count:
                self._free[place : place + 1] = [(first + count, size - count)] if size > count else []
                self.used += count
                return first
        raise LictorError(f"there is no room for more {self._what}", "remove policies that are not needed")

    def give(self, first: int, count: int = 1) -> None:
        """Nothing in the kernel leads to them any more, and a grace period has passed."""
        if not count:
            return
        insort(self._free, (first, count))
        self.used -= count
        place = self._free.index((first, count))
        for at in (place, place - 1):  # join with the run behind, then with the one before
            if 0 <= at < len(self._free) - 1:
                (one, size), (other, more) = self._free[at], self._free[at + 1]
                if one + size == other:
                    self._free[at : at + 2] = [(one, size + more)]
