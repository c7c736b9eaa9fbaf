"""Guests of this test run: all begin when the first is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attacks import arena

from guests.pool import PROGRAMS, Guest, Guests


@pytest.fixture(scope="session")
def guests(request: pytest.FixtureRequest) -> Iterator[Guests]:
    """Those of all tests that were chosen for this run. Programs of attacks are built here: that takes long there."""
    arena.build(PROGRAMS)
    chosen = [item.callspec.params["guest"] for item in request.session.items if _has_guest(item)]  # type: ignore[attr-defined]
    made = Guests(chosen)
    yield made
    made.close()


def _has_guest(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    return callspec is not None and "guest" in callspec.params


@pytest.fixture
def output(guest: Guest, guests: Guests) -> str:
    """What the guest printed; it must have ended well."""
    done = guests.result(guest)
    assert done.returncode == 0, f"{guest}:\n{done.stdout[-8000:]}\n{done.stderr[-4000:]}"
    print(done.stdout)
    return done.stdout
