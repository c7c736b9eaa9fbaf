"""The kernel suite again, under stock Debian kernels, and under those in $LICTOR_TEST_KERNELS."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from guests.pool import Guest

OWN = sorted(path.name for path in Path(os.environ.get("LICTOR_TEST_KERNELS", "/nonexistent")).glob("*/"))
SUITE = (sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/kernel")


@pytest.mark.parametrize(
    "guest", [Guest(kernel, SUITE) for kernel in ("6.1", "6.12", *OWN)], ids=lambda one: one.kernel
)
def test_kernel_suite(output: str) -> None:
    assert " passed" in output
