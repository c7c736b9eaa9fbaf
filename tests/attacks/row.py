"""What an attack is: a policy of the library, and a way to do what it forbids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

Strike = Callable[[], bool]
"""One attempt. Whether the effect is there; an attempt that was refused has none."""

LIBRARY = Path(__file__).parents[2] / "policies" / "library"
_METHODS = Path(__file__).parent / "policies"
ALL_KERNELS = ("6.1", "6.12", "6.12-lictor")
SINCE_6_5 = ("6.12", "6.12-lictor")
WITH_OVERRIDE = ("6.12-lictor",)  # where functions can be made to fail (CONFIG_FUNCTION_ERROR_INJECTION)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where one thread of an attack works. `number` is different for each thread of all attackers."""

    number: int
    programs: Path

    def program(self, name: str) -> str:
        """A built program of `native/`."""
        return str(self.programs / name)


Prepare = Callable[[Ground], Strike]
"""Everything that happens before the policy is there: files made, descriptors opened, connections established."""


class Outcome(Enum):
    """What comes of an attack when its policy is in force."""

    STOPPED = "no effect, ever"
    DETOUR = "the effect is there: docs/limits.md names it"
    AS_PROMISED = "no effect where the rule's promise is that, else as in a race"
    RACE = "now and then the effect is there: docs/limits.md has the rate"


@dataclass(frozen=True, slots=True)
class Attack:
    """`policy` is a path in the library without `.yaml`; `methods/NAME` is one of `policies/` here. `kernels`: where it
    can be tried. `cost`: how many plain attempts one that succeeds takes the time of. `host`: works in the test's own
    network namespace, and can be refused under lockdown.
    """

    name: str
    policy: str
    prepare: Prepare
    kernels: tuple[str, ...] = ALL_KERNELS
    outcome: Outcome = Outcome.STOPPED
    promised: bool = True  # False: other system calls do the same, so that the rule on this one promises less
    cost: int = 1
    host: bool = False

    @property
    def policy_file(self) -> Path:
        directory, name = self.policy.split("/")
        return (_METHODS if directory == "methods" else LIBRARY / directory) / f"{name}.yaml"
