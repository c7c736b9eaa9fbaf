"""SIGHUP: which settings changed, which of them a running agent can take over, and which wait for a restart."""

from __future__ import annotations

import dataclasses

from lictor.daemon.settings import SPECS, Settings


def take_over(running: Settings, found: Settings) -> tuple[Settings, list[str], list[str]]:
    """The settings after a reload, the names that changed, and the names that would have but need a restart."""
    differing = [name for name in SPECS if getattr(running, name) != getattr(found, name)]
    live = [name for name in differing if SPECS[name].live]
    merged = dataclasses.replace(running, **{name: getattr(found, name) for name in live})
    return merged, live, [name for name in differing if not SPECS[name].live]
