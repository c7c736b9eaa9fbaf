"""A plan in words."""

from __future__ import annotations

from collections.abc import Callable

from lictor.policy.compile import Compiled
from lictor.policy.explain import explain
from lictor.policy.machine import Machine

Compile = Callable[..., Compiled]


def words(machine: Machine, found: Compiled) -> str:
    assert found.plan is not None, found.diagnostics
    return "\n".join(explain(found.plan, machine))


def test_conditions_in_words(compile_spec: Compile, machine: Machine) -> None:
    spec = """
  podSelector: {matchLabels: {app: web}}
  lsmhooks:
  - hook: file_open
    args: [{index: 0, type: file}, {index: 0, type: int, resolve: f_flags}]
    selectors:
    - label: secrets
      matchArgs:
      - {index: 0, operator: NotPrefix, values: [/usr/, /lib/]}
      - {args: [1], operator: Mask, values: ["3"]}
      - {args: [1], operator: GreaterThan, values: ["5"]}
      matchBinaries: [{operator: NotPostfix, values: [sh], followChildren: true}]
      matchPIDs: [{operator: In, values: [1], followForks: true}]
      matchNamespaces: [{namespace: Net, operator: In, values: [host_ns]}]
      matchNamespaceChanges: [{operator: In, values: [Mnt]}]
      matchCapabilities: [{operator: NotIn, values: [CAP_BPF]}]
      matchCapabilityChanges: [{operator: In, values: [CAP_KILL]}]
      matchActions: [{action: Override, argError: -13}, {action: Post, rateLimit: 2m, rateLimitScope: process}]
"""
    found = words(machine, compile_spec(spec))
    for part in (
        "pods with app In web",
        "selector 0 `secrets`",
        "the program does not end with sh, or it descends from such a one",
        "the process id is 1, or it descends from such a one",
        "the Net namespace is the host's",
        "namespace Mnt was changed",
        "the effective capabilities have none of CAP_BPF",
        "effective capabilities CAP_KILL changed",
        "argument 0 does not begin with /lib/ or /usr/  (path)",
        "f_flags of argument 0 has a bit of 0x3  (register)",
        "f_flags of argument 0 is at least 6  (register)",
        "Override with error -13, Post at most once in 120 s per process",
        "promise   prevented by lsm",
        "around it descriptors that were open before",
    ):
        assert part in found, found


def test_many_functions_are_told_of_together(compile_spec: Compile, machine: Machine) -> None:
    spec = "\n  lists: [{name: l, type: generated_syscalls}]\n  kprobes: [{call: list:l}]"
    found = words(machine, compile_spec(spec))
    assert found.count("kprobes[0]") == 1
    assert "more\n  attached  kprobe.multi each: one link for" in found


def test_what_is_missing_and_what_returns(compile_spec: Compile, machine: Machine) -> None:
    spec = """
  kprobes:
  - {call: nosuch, syscall: false, ignore: {callNotFound: true}}
  - call: sys_read
    return: true
    returnArg: {index: 0, type: long}
    args: [{index: 1, type: char_buf, sizeArgIndex: 3, returnCopy: true}]
    selectors:
    - matchReturnArgs: [{index: 0, operator: LessThan, values: ["0"]}]
      matchReturnActions: [{action: Post}]
"""
    found = words(machine, compile_spec(spec))
    assert "attached  to nothing: this kernel does not have it" in found
    assert "as many bytes as argument 2 says, up to 4,096 bytes, in the memory of the process, at return" in found
    assert "at return if return value is at most -1  (register)" in found
