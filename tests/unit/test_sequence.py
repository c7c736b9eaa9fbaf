"""Gaps are losses, disorder is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lictor.pipeline.sequence import Sequence


def closed(numbers: list[int]) -> Sequence:
    sequence = Sequence()
    for number in numbers:
        sequence.see(0, number)
    sequence.end_batch()
    sequence.end_batch()
    return sequence


def test_a_gap_is_counted_after_a_further_batch() -> None:
    sequence = Sequence()
    for number in (0, 1, 4):
        sequence.see(0, number)
    sequence.end_batch()
    assert sequence.lost == 0
    sequence.end_batch()
    assert sequence.lost == 2


def test_a_late_record_is_not_lost() -> None:
    sequence = Sequence()
    sequence.see(0, 1)
    sequence.end_batch()
    sequence.see(0, 0)
    sequence.end_batch()
    sequence.end_batch()
    assert sequence.lost == 0


@given(st.sets(st.integers(0, 2000), min_size=1))
def test_every_missing_number_is_counted_once(seen: set[int]) -> None:
    assert closed(sorted(seen)).lost == max(seen) + 1 - len(seen)


@given(st.permutations(range(40)))
def test_order_within_the_window_does_not_matter(order: list[int]) -> None:
    assert closed(order).lost == 0
