"""The process that attacks. It prepares, says so, and waits, so that a policy can come between preparation and attack;
then all its threads strike together, and it says what came of it.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from attacks import network
from attacks.row import Attack, Ground, Strike

_SWITCH_S = 0.0002  # let go of the interpreter often: the threads shall race
_LOOK_MS = 100


@dataclass(frozen=True, slots=True)
class Report:
    """`attempts` were made in all, `effects` were seen. `faults`: what went wrong with the test itself."""

    attempts: int = 0
    effects: int = 0
    faults: tuple[str, ...] = ()


class Attacker:
    """A fork of this process that carries out one attack."""

    def __init__(self, attack: Attack, grounds: list[Ground], strikes: int) -> None:
        self._name = attack.name
        heard, self._go = os.pipe()
        said, tells = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._go)
            _live(attack, grounds, strikes, heard, tells)
        os.close(heard)
        os.close(tells)
        self._said = os.fdopen(said, "rb")
        if self._said.readline() != b"ready\n":
            raise AssertionError(f"{self._name}: it could not be prepared: {self._said.read().decode()}")

    def strike(self, meanwhile: Callable[[], None] = lambda: None) -> Report:
        """Let it attack; gives its report when it is through. `meanwhile` is called again and again until then."""
        os.write(self._go, b"go")
        os.close(self._go)
        ends = select.poll()
        ends.register(self._said, select.POLLIN)
        while not ends.poll(_LOOK_MS):
            meanwhile()
        with self._said:
            said = self._said.read()
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if not said:
            raise AssertionError(f"{self._name}: the attacker ended with {status}")
        report = msgspec.json.decode(said, type=Report)
        if report.faults:
            raise AssertionError(f"{self._name}: {report.faults[0]}")
        return report


def _live(attack: Attack, grounds: list[Ground], strikes: int, heard: int, said: int) -> None:
    """The life of the attacker; does not return."""
    go, tells = os.fdopen(heard, "rb"), os.fdopen(said, "wb")
    try:
        sys.setswitchinterval(_SWITCH_S)
        if attack in network.ATTACKS:
            network.enter()
        prepared = [attack.prepare(ground) for ground in grounds]
        tells.write(b"ready\n")
        tells.flush()
        go.read(2)
        tells.write(msgspec.json.encode(_together(prepared, strikes)))
    except BaseException:
        tells.write(traceback.format_exc().encode())
    finally:
        tells.flush()
        os._exit(0)  # children that attacks left die with us


def _together(strikes: list[Strike], times: int) -> Report:
    start = threading.Barrier(len(strikes))
    effects = [0] * len(strikes)
    faults: list[str] = []

    def work(index: int) -> None:
        start.wait()
        try:
            for _ in range(times):
                effects[index] += strikes[index]()
        except BaseException:
            faults.append(traceback.format_exc())

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(strikes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Report(times * len(strikes), sum(effects), tuple(faults))
