"""Loss accounting: every record carries a number per (CPU, ring), and a number that never comes is a lost record.

Numbers can come out of order by a little: a program may be interrupted between taking its number and its place in
the ring. So a gap is a loss only when it is still open after the next batch.
"""

from __future__ import annotations


class Sequence:
    """The numbers of one ring. `lost` counts gaps that stayed open."""

    def __init__(self) -> None:
        self.expected: dict[int, int] = {}  # cpu -> the number that comes next
        self._open: dict[tuple[int, int], int] = {}  # (cpu, number) -> batches it has been missing
        self.lost = 0

    def see(self, cpu: int, number: int) -> None:
        """A record arrived."""
        expected = self.expected.get(cpu, 0)
        if number == expected:
            self.expected[cpu] = number + 1
        elif number > expected:
            # A whole ring of records can be missing: beyond what reordering explains, count at once.
            first = max(expected, number - _WINDOW)
            self.lost += first - expected
            for missing in range(first, number):
                self._open[cpu, missing] = 0
            self.expected[cpu] = number + 1
        else:
            self._open.pop((cpu, number), None)

    def end_batch(self) -> None:
        """Close the gaps that have been open for a whole further batch."""
        if not self._open:
            return
        for key, age in list(self._open.items()):
            if age:
                del self._open[key]
                self.lost += 1
            else:
                self._open[key] = 1


_WINDOW = 64
