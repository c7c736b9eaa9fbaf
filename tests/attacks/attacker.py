"""The process that attacks. It prepares, says so, and waits, so that a policy can come between preparation and attack;
whenever it is asked, all its threads strike together, and it says what came of it.
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

from attacks import network, streams
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
    """A fork of this process that carries out one attack, as often as it is asked to."""

    def __init__(self, attack: Attack, grounds: list[Ground]) -> None:
        self._name = attack.name
        heard, self._go = os.pipe()
        said, tells = os.pipe()
        sys.stdout.flush()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._go)
            _live(attack, grounds, heard, tells)
        os.close(heard)
        os.close(tells)
        self._said = os.fdopen(said, "rb")
        if self._said.readline() != b"ready\n":
            raise AssertionError(f"{self._name}: it could not be prepared: {self._said.read().decode()}")

    def strike(self, attempts: int, meanwhile: Callable[[], None] = lambda: None) -> Report:
        """Let it make at least so many; gives its report. `meanwhile` is called again and again until then."""
        os.write(self._go, b"%d\n" % attempts)
        ends = select.poll()
        ends.register(self._said, select.POLLIN)
        while not ends.poll(_LOOK_MS):
            meanwhile()
        said = self._said.readline()
        if not said:
            raise AssertionError(f"{self._name}: the attacker is gone")
        report = msgspec.json.decode(said, type=Report)
        if report.faults:
            raise AssertionError(f"{self._name}: {report.faults[0]}")
        return report

    def close(self) -> None:
        os.close(self._go)
        self._said.close()
        os.waitpid(self._pid, 0)


def _live(attack: Attack, grounds: list[Ground], heard: int, said: int) -> None:
    """The life of the attacker; does not return."""
    asked, tells = os.fdopen(heard, "rb"), os.fdopen(said, "wb")
    try:
        sys.setswitchinterval(_SWITCH_S)
        if attack in (*network.ATTACKS, *streams.ATTACKS):
            network.enter()
        prepared = [attack.prepare(ground) for ground in grounds]
        tells.write(b"ready\n")
        tells.flush()
        for attempts in asked:
            tells.write(msgspec.json.encode(_together(prepared, -(-int(attempts) // len(grounds)))) + b"\n")
            tells.flush()
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
