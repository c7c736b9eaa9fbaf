"""All attacks, and the names that they are asked for by."""

from __future__ import annotations

from attacks import execution, files, kernel, memory, methods, network, privileges, streams, tricks
from attacks.row import Attack

ATTACKS: tuple[Attack, ...] = (
    *execution.ATTACKS,
    *files.ATTACKS,
    *tricks.ATTACKS,
    *memory.ATTACKS,
    *kernel.ATTACKS,
    *privileges.ATTACKS,
    *network.ATTACKS,
    *streams.ATTACKS,
    *methods.ATTACKS,
)
BY_NAME = {attack.name: attack for attack in ATTACKS}
