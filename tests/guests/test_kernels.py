"""The kernel suite again, under stock Debian kernels. Newer ones, and those in $LICTOR_TEST_KERNELS: `make prove`."""

from __future__ import annotations

import pytest

from guests.pool import PYTEST, STOCK, Guest

# Random inputs are tried on the running kernel; here some of them show that the kernel at hand does the same.
# What is run alone there is left to the running kernel and to `make prove`, which has the time.
ALONE = [f"--ignore=tests/kernel/test_{what}_alone.py" for what in ("matches", "reads")]
SUITE = ("env", "LICTOR_EXAMPLES=10", "TEST_STARTS=1", *PYTEST, *ALONE, "tests/kernel")


@pytest.mark.parametrize("guest", [Guest(kernel, SUITE) for kernel in STOCK], ids=str)
def test_kernel_suite(output: str) -> None:
    assert " passed" in output
