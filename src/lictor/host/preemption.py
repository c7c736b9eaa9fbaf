"""Which preemption model the kernel runs with: it decides what some ways of enforcing can promise."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from pathlib import Path

from lictor.host.facts import Preemption

_WORDS = {one.value: one for one in Preemption}


def find(
    chosen: str | None = None, command_line: str | None = None, version: str | None = None, config: str | None = None
) -> Preemption:
    """From what says it most surely: debugfs, the command line, the version string, the build's configuration.
    Arguments stand in for this machine's own texts."""
    version = os.uname().version if version is None else version
    if "PREEMPT_RT" in version:
        return Preemption.RT
    chosen = _read(Path("/sys/kernel/debug/sched/preempt")) if chosen is None else chosen
    if "(" in chosen:
        return _WORDS.get(chosen.partition("(")[2].partition(")")[0], Preemption.UNKNOWN)
    config = _config() if config is None else config
    built = set(config.splitlines())
    dynamic = "PREEMPT_DYNAMIC" in version or "CONFIG_PREEMPT_DYNAMIC=y" in built
    if dynamic:
        words = (_read(Path("/proc/cmdline")) if command_line is None else command_line).split()
        asked = [word.removeprefix("preempt=") for word in words if word.startswith("preempt=")]
        if asked and asked[-1] in _WORDS:
            return _WORDS[asked[-1]]
    elif " PREEMPT " in f" {version} ":
        return Preemption.FULL
    return _from_config(built)


def _from_config(built: set[str]) -> Preemption:
    # The order of names matters to nobody: exactly one of them is set.
    options = {
        "CONFIG_PREEMPT_NONE=y": Preemption.NONE,
        "CONFIG_PREEMPT_VOLUNTARY=y": Preemption.VOLUNTARY,
        "CONFIG_PREEMPT_LAZY=y": Preemption.LAZY,
        "CONFIG_PREEMPT=y": Preemption.FULL,
        "CONFIG_PREEMPT_RT=y": Preemption.RT,
    }
    return next((model for option, model in options.items() if option in built), Preemption.UNKNOWN)


def _config() -> str:
    try:
        return gzip.decompress(Path("/proc/config.gz").read_bytes()).decode()
    except OSError:
        return _first_text(Path(base) / f"config-{os.uname().release}" for base in ("/boot", "/lib/modules"))


def _first_text(paths: Iterable[Path]) -> str:
    return next(filter(None, map(_read, paths)), "")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
