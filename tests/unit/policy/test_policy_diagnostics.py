"""Each mistake has its own diagnosis: code, place, what was expected, a hint."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lictor.policy.codes import CODES, Severity
from lictor.policy.compile import Compiled, compile_policy
from lictor.policy.diagnostics import Diagnostic, as_sarif, as_text
from lictor.policy.machine import Machine

Compile = Callable[..., Compiled]
ROOT = Path(__file__).parents[3]

# below `spec:`, with § where the diagnosis points → code, part of the message, part of the hint or what is expected
WRONG = [
    ("  §kprobe: []", "unknown-field", "`kprobe`", "did you mean `kprobes`?"),
    ("  kprobes: [{call: sys_dup, message: §7.5}]", "number-as-text", "7.5", "quote it"),
    ("  kprobes: [{call: §[x]}]", "wrong-type", "found a list", "text"),
    ("  kprobes: §{}", "wrong-type", "found a mapping", "`- …`"),
    ("  kprobes:§", "wrong-type", "found nothing", "remove the field"),
    ("  kprobes: [§{syscall: false}]", "missing-field", "`call` is missing", ""),
    ("  kprobes: [{call: sys_dup, §matchArgs: []}]", "unknown-field", "`matchArgs`", "a selector"),
    ("  kprobes: [{call: §vfs_wirte, syscall: false}]", "unknown-function", "vfs_wirte", "`vfs_write`"),
    ("  kprobes: [{call: §sys_opena}]", "unknown-function", "sys_opena", "`sys_openat`"),
    ("  kprobes: [{call: §vfs_write}]", "not-a-syscall", "vfs_write", "syscall: false"),
    ("  kprobes: [{call: §'list:x'}]", "unknown-list", "`x`", "declare it"),
    ("  lsmhooks: [{hook: §file_opne}]", "unknown-hook", "file_opne", "`file_open`"),
    ("  lsmhooks: [{hook: §security_file_open}]", "unknown-hook", "", "`file_open`"),
    ("  tracepoints: [{subsystem: sched, event: §sched_process_exce}]", "unknown-tracepoint", "", "exec"),
    ("  tracepoints: [{subsystem: sched, event: §sched_switc, raw: true}]", "unknown-tracepoint", "", "sched_switch"),
    ("  options: [{name: §polcy-mode, value: x}]", "unknown-option", "polcy-mode", "`policy-mode`"),
    ("  options: [{name: policy-mode, value: §x}]", "bad-value", "`x`", "enforce or monitor"),
    ("  hostSelector: §{matchLabels: {a: b}}", "conflict", "no labels", "`hostSelector: {}`"),
    ("  lists: [{name: a, type: generated_ftrace, pattern: §'('}]", "bad-value", "regular expression", "RE2"),
]

ARGS = "  kprobes:\n  - call: security_file_permission\n    syscall: false\n    args:\n"
WRONG_ARGUMENTS = [
    ("    - {index: §2, type: int}", "bad-index", "(struct file * file, int mask)", "0 to 1"),
    ("    - {index: §-1, type: int}", "out-of-range", "-1", "0 to"),
    ("    - {index: 0, type: §path}", "type-mismatch", "another struct than `struct path`", "use `file`"),
    ("    - {index: 0, type: §int}", "type-differs", "address of 64 bits", "use `file`"),
    ("    - {index: 1, type: §int64}", "type-differs", "32 bits", "use `int32`"),
    ("    - {index: 1, type: §file}", "type-mismatch", "no pointer", "use `int32`"),
    ("    - {index: 0, type: §fil}", "unknown-value", "`fil`", "did you mean `file`?"),
    ("    - {index: 0, type: string, resolve: f_path.§dentrie}", "bad-resolve", "dentrie", "`dentry`"),
    ("    - {index: 0, type: string, btfType: §fil, resolve: x}", "bad-resolve", "`fil`", "`file`"),
    ("    - {index: 0, source: §current_task, resolve: comm}", "conflict", "`data`", "move it"),
    ("    - {index: 0, type: file, returnCopy: §true}", "no-return", "", "return: true"),
    ("    - {index: 0, type: file, sizeArgIndex: §1}", "no-effect", "takes no size", ""),
]

SELECTORS = ARGS + "    - {index: 0, type: file}\n    - {index: 1, type: int}\n    selectors:\n"
WRONG_SELECTORS = [
    ("    - matchArgs: [{index: §3, operator: Equal, values: [x]}]", "unknown-argument", "argument 3", "index 0 or 1"),
    ("    - matchArgs: [{args: [§2], operator: Equal, values: [x]}]", "unknown-argument", "place 2", "0 to 1"),
    ("    - matchArgs: [{index: 0, operator: §Equals, values: [x]}]", "unknown-value", "Equals", "`Equal`"),
    ("    - matchArgs: [{index: 0, operator: §equal, values: [x]}]", "alias", "`Equal`", "write `Equal`"),
    ("    - matchArgs: [{index: 0, operator: §GT, values: ['1']}]", "operator-type", "`file`", "Prefix"),
    ("    - matchArgs: [{index: 1, operator: §Prefix, values: [x]}]", "operator-type", "`int`", "Mask"),
    ("    - matchArgs: [§{index: 1, operator: Equal}]", "missing-field", "needs `values`", ""),
    ("    - matchArgs: [{index: 1, operator: Equal, values: [§abc]}]", "bad-value", "`abc`", "decimal"),
    ("    - matchArgs: [{index: 1, operator: Equal, values: [§'4294967296']}]", "out-of-range", "", "2147483647"),
    ("    - matchArgs: [{index: 1, operator: InRange, values: [§'5:1']}]", "bad-value", "", "`1:5`"),
    ("    - matchArgs: [{index: 1, operator: GT, values: §['2147483647']}]", "never-matches", "no `int`", ""),
    ("    - matchArgs: [{index: 0, operator: FileType, values: [§file]}]", "bad-value", "kind of file", "reg"),
    ("    - matchArgs: [{index: 0, operator: Prefix, values: [§'']}]", "bad-value", "empty text", "one character"),
    ("    - matchReturnArgs: [§{index: 0, operator: Equal, values: ['1']}]", "no-return", "", "return: true"),
    ("    - matchReturnActions: §[{action: Post}]", "no-return", "no return", "return: true"),
    ("    - matchBinaries: [{operator: In, values: [§cat]}]", "relative-path", "`cat`", "Postfix"),
    ("    - matchBinaries: [{operator: In, values: §[]}]", "missing-field", "needs values", "one path"),
    ("    - matchPIDs: [{operator: In, values: [§-1]}]", "out-of-range", "-1", "0 to 4294967295"),
    ("    - matchNamespaces: [{namespace: §Pidd, operator: In, values: [host_ns]}]", "unknown-value", "", "`Pid`"),
    ("    - matchNamespaces: [{namespace: Pid, operator: In, values: [§host]}]", "bad-value", "`host`", "host_ns"),
    ("    - matchNamespaceChanges: [{operator: In, values: [§Mount]}]", "unknown-value", "`Mount`", "Mnt"),
    ("    - matchCapabilities: [{operator: In, values: [§CAP_SYS_ADMN]}]", "unknown-value", "", "`CAP_SYS_ADMIN`"),
    ("    - macros: [§x]", "unknown-macro", "`x`", ""),
    ("    - matchActions: [{action: §Kill}]", "unknown-value", "`Kill`", "Sigkill"),
    ("    - matchActions: [§{action: Signal}]", "action-parameter", "`argSig`", ""),
    ("    - matchActions: [{action: Signal, argSig: §99}]", "action-parameter", "99", "1 to 64"),
    ("    - matchActions: [{action: Override, argError: §1}]", "action-parameter", "", "-1"),
    ("    - matchActions: [{action: §Set, argIndex: 0, argValue: 1}]", "action-not-here", "`Set`", "Post"),
    ("    - matchActions: [{action: §NotifyEnforcer, argError: -1}]", "no-enforcer", "", "enforcers"),
    ("    - matchActions: [{action: TrackSock, argSock: §0}]", "action-parameter", "no socket", "`sock`"),
    ("    - matchActions: [{action: Post, rateLimit: §soon}]", "action-parameter", "`soon`", "`5s`"),
    (
        "    - matchActions: [{action: Post, rateLimit: 5s, rateLimitScope: §pod}]",
        "action-parameter",
        "`pod`",
        "thread",
    ),
    ("    - matchActions: [{action: Post, argSig: §9}]", "no-effect", "does not use", ""),
    ("    - matchActions: [{action: Post, imaHash: §true}]", "action-not-here", "IMA", "file_open"),
    ("    - {}\n    - §{}", "unreachable", "selector 0", ""),
    ("    - matchArgs: [{index: 1, operator: CelExpr, values: ['arg1 == 1 &&§']}]", "bad-expression", "ends here", ""),
    ("    - matchArgs: [{index: 1, operator: CelExpr, values: ['§arg0 == 1']}]", "bad-expression", "`arg0`", "arg1"),
]


def wrong(compile_spec: Compile, spec: str, code: str, message: str, help_: str) -> None:
    """`§` is where the diagnosis must point."""
    before, _, after = spec.partition("§")
    line, column = before.count("\n") + 5, len(before) - before.rfind("\n")
    found = compile_spec(before + after)
    matching = [one for one in found.diagnostics if (one.code, one.line, one.column) == (code, line, column)]
    assert matching, [(one.code, one.line, one.column, one.message) for one in found.diagnostics]
    assert any(message in one.message and help_ in f"{one.hint} {one.expected}" for one in matching), matching
    errors = [one.code for one in found.diagnostics if one.severity is Severity.ERROR and one not in matching]
    assert not errors, "one mistake, one error"


@pytest.mark.parametrize(("spec", "code", "message", "help_"), WRONG)
def test_wrong_hooks(compile_spec: Compile, spec: str, code: str, message: str, help_: str) -> None:
    wrong(compile_spec, spec, code, message, help_)


@pytest.mark.parametrize(("spec", "code", "message", "help_"), WRONG_ARGUMENTS)
def test_wrong_arguments(compile_spec: Compile, spec: str, code: str, message: str, help_: str) -> None:
    wrong(compile_spec, ARGS + spec, code, message, help_)


@pytest.mark.parametrize(("spec", "code", "message", "help_"), WRONG_SELECTORS)
def test_wrong_selectors(compile_spec: Compile, spec: str, code: str, message: str, help_: str) -> None:
    wrong(compile_spec, SELECTORS + spec, code, message, help_)


OLD = [
    ("  §rawtracepoints: []", "unknown-field", "`raw: true`"),
    ("  §killers: []", "unknown-field", "`enforcers`"),
    ("  uprobes: [{path: /bin/sh, symbols: [a], §symbol: a}]", "unknown-field", "`symbols"),
    ("  kprobes: [{call: sys_dup, selectors: [{matchActions: [{action: §FollowFD}]}]}]", "unknown-value", "`fd`"),
    (
        "  kprobes: [{call: sys_dup, selectors: [{matchActions: [{action: §NotifyKiller}]}]}]",
        "unknown-value",
        "Enforcer",
    ),
    (
        "  kprobes: [{call: sys_dup, return: true, returnArg: {type: int}, returnArgAction: §Post}]",
        "no-effect",
        "remove",
    ),
]


@pytest.mark.parametrize(("spec", "code", "help_"), OLD)
def test_words_of_older_versions(compile_spec: Compile, spec: str, code: str, help_: str) -> None:
    wrong(compile_spec, spec, code, "", help_)


def test_a_kill_without_a_denial(compile_spec: Compile) -> None:
    spec = SELECTORS.replace("- call: ", "- call: §") + "    - matchActions: [{action: Sigkill}]"
    wrong(compile_spec, spec, "kill-without-deny", "`read or write` may still happen", "Override")


def test_everything_is_said_at_once(compile_spec: Compile) -> None:
    text = (
        "  kprobes:\n  - call: nosuch\n    args: [{index: x, type: fil}]\n  lsmhooks:\n  - hook: nosuch\n    tag: []\n"
    )
    assert [one.code for one in compile_spec(text).diagnostics] == [
        "unknown-function", "wrong-type", "unknown-value", "unknown-hook", "unknown-field",
    ]  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"# only words\n", b"[]", b"7", b"a: 1"])
def test_what_is_no_policy(machine: Machine, data: bytes) -> None:
    found = compile_policy(data, "x", machine)
    assert found.plan is None
    assert found.errors


def test_text_for_people_and_editors(compile_spec: Compile) -> None:
    assert as_text(compile_spec("  kprobe: []").diagnostics)[0] == (
        "test.yaml:5:3: error: `kprobe` is no field here [unknown-field]"
    )


def test_sarif(compile_spec: Compile) -> None:
    log = as_sarif(compile_spec("  kprobe: []").diagnostics, "1.0")
    json.dumps(log)
    (run,) = log["runs"]
    result = run["results"][0]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "unknown-field"
    region = result["locations"][0]["physicalLocation"]["region"]
    assert (result["level"], region) == ("error", {"startLine": 5, "startColumn": 3})


def test_every_code_is_documented_and_used() -> None:
    page = (ROOT / "docs/reference/diagnostics.md").read_text()
    assert re.findall(r"^### `(.*)`$", page, re.MULTILINE) == list(CODES)
    source = "".join(path.read_text() for path in (ROOT / "src/lictor/policy").rglob("*.py") if path.name != "codes.py")
    assert [code for code in CODES if f'"{code}"' not in source] == []


def test_severities_are_those_of_sarif() -> None:
    assert {one.severity.value for one in CODES.values()} == {"error", "warning", "note"}
    assert Diagnostic.__struct_fields__[0] == "code"
