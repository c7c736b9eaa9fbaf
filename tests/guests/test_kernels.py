"""The kernel suite again, under stock Debian kernels, and under those in $LICTOR_TEST_KERNELS."""

from __future__ import annotations

import pytest

from guests.pool import KERNELS, PYTEST, Guest

# Random inputs are tried on the running kernel; here some of them show that the kernel at hand does the same.
SUITE = ("env", "LICTOR_EXAMPLES=10", *PYTEST, "tests/kernel")


@pytest.mark.parametrize("guest", [Guest(kernel, SUITE) for kernel in KERNELS], ids=str)
def test_kernel_suite(output: str) -> None:
    assert " passed" in output
