"""The kernel suite again, under stock Debian kernels, and under those in $LICTOR_TEST_KERNELS."""

from __future__ import annotations

import sys

import pytest

from guests.pool import KERNELS, Guest

SUITE = (sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/kernel")


@pytest.mark.parametrize("guest", [Guest(kernel, SUITE) for kernel in KERNELS], ids=str)
def test_kernel_suite(output: str) -> None:
    assert " passed" in output
