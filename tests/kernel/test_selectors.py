"""Which processes a selector is for, and what it asks of them at the event."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from engine import Bench
from live import Expected, Row, check, compiled, copy_of, far_below, rows

from lictor.kernel.libbpf import lib
from lictor.policy.machine import Machine

pytestmark = pytest.mark.kernel
SEEK = 'import os, sys; fd = os.open("/dev/null", 0); os.lseek(fd, int(sys.argv[1]), 0)'
PYTHON = os.path.realpath(sys.executable)


def on_seek(selector: str, offset: int = 4242) -> str:
    return f"""
        kprobes:
        - call: sys_lseek
          args: [{{index: 1, type: int64}}]
          selectors:
          - matchArgs: [{{index: 1, operator: Equal, values: ["{offset}"]}}]
            {selector}
        """


def seek(offset: int = 4242, *before: str) -> None:
    """A process that seeks, started by a shell that stays its parent."""
    subprocess.run([*before, sys.executable, "-S", "-c", SEEK, str(offset)], check=True)


def seek_below_a_copy(directory: Path) -> None:
    """The same below a program of a name of our own, and once not."""
    shell, script = directory / "myshell", directory / "script"
    shutil.copy("/bin/sh", shell)
    script.write_text(f"{sys.executable} -S -c '{SEEK}' 4242\ntrue\n")
    subprocess.run([shell, "-c", f"/bin/sh {script}; true"], check=True)
    seek()


def seek_inside_and_outside(*wrapper: str) -> Callable[[Path], None]:
    def act(_directory: Path) -> None:
        seek()
        seek(4242, *wrapper)

    return act


def once(_directory: Path) -> list[Expected]:
    return [{"args": [{"long_arg": "4242"}]}]


def never(_directory: Path) -> list[Expected]:
    return []


def twice(directory: Path) -> list[Expected]:
    return once(directory) * 2


def seek_here(_directory: Path) -> None:
    seek_once_here()
    seek()


def seek_once_here() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    os.lseek(fd, 4242, os.SEEK_SET)
    os.close(fd)


def names(matched: str, value: str) -> str:
    return on_seek(f"matchBinaries: [{{operator: {matched}, values: [{value}]}}]")


def row(name: str, spec: str, expected: Callable[[Path], list[Expected]], action: Callable[[Path], object]) -> Row:
    return Row(name, spec, action, expected, everyone=True)


def seek_once(_directory: Path) -> None:
    seek()


def on_chdir(selector: str) -> str:
    return f"""
        kprobes:
        - call: sys_chdir
          args: [{{index: 0, type: string}}]
          selectors:
          - matchArgs: [{{index: 0, operator: Equal, values: [/proc]}}]
            {selector}
        """


def chdir_far_below(levels: int) -> Callable[[Path], None]:
    """By a shell that lies so many directories with the longest possible name below."""

    def act(directory: Path) -> None:
        far = far_below(directory, levels)
        program = copy_of("/bin/sh", far)
        subprocess.run(["sh", "-c", "cd /proc"], executable=f"/proc/self/fd/{program}", pass_fds=[program], check=True)
        os.close(program)
        os.close(far)

    return act


def changed(_directory: Path) -> list[Expected]:
    return [{"args": [{"string_arg": "/proc"}]}]


FAR_BELOW = [
    row(f"binary {matched} {value}, {levels} levels up", spec, changed if holds else never, chdir_far_below(levels))
    for levels in (15, 40, 90)
    for matched, value, holds in (
        ("Prefix", "DIR/d", True),
        ("NotPrefix", "DIR/d", False),
        ("Postfix", "/program", True),
        ("Postfix", "/sh", False),
        ("In", "/bin/sh", False),
    )
    for spec in [on_chdir(f"matchBinaries: [{{operator: {matched}, values: [{value}]}}]")]
]

ROWS = [
    *FAR_BELOW,
    row("binary In", names("In", PYTHON), once, seek_once),
    row("binary In, another", names("In", "/bin/cat"), never, seek_once),
    row("binary NotIn", names("NotIn", "/bin/cat"), once, seek_once),
    row("binary NotIn, it", names("NotIn", PYTHON), never, seek_once),
    row("binary Prefix", names("Prefix", f"/nowhere, {PYTHON[:-3]}"), once, seek_once),
    row("binary NotPrefix", names("NotPrefix", PYTHON[:-3]), never, seek_once),
    row("binary Postfix", names("Postfix", f"/cat, {PYTHON[-5:]}"), once, seek_once),
    row("binary NotPostfix", names("NotPostfix", "/cat"), once, seek_once),
    row(
        "followChildren",
        on_seek("matchBinaries: [{operator: In, values: [DIR/myshell], followChildren: true}]"),
        once,
        seek_below_a_copy,
    ),
    row(
        "children are not followed",
        on_seek("matchBinaries: [{operator: In, values: [DIR/myshell]}]"),
        never,
        seek_below_a_copy,
    ),
    row("parent binary", on_seek(f"matchParentBinaries: [{{operator: In, values: [{PYTHON}]}}]"), once, seek_once),
    row(
        "not of that parent",
        on_seek(f"matchParentBinaries: [{{operator: NotIn, values: [{PYTHON}]}}]"),
        never,
        seek_once,
    ),
    row("pid", on_seek("matchPIDs: [{operator: In, values: [SELF]}]"), once, seek_here),
    row("not the pid", on_seek("matchPIDs: [{operator: NotIn, values: [SELF]}]"), once, seek_here),
    row(
        "pid, followForks",
        on_seek("matchPIDs: [{operator: In, values: [SELF], followForks: true}]"),
        twice,
        seek_here,
    ),
    row(
        "two pids entries hold both",
        on_seek("matchPIDs: [{operator: In, values: [SELF]}, {operator: NotIn, values: [SELF]}]"),
        never,
        seek_here,
    ),
    row(
        "pid in its namespace",
        on_seek("matchPIDs: [{operator: In, values: [1], isNamespacePID: true}]"),
        once,
        lambda _: seek(4242, "unshare", "-pf"),
    ),
    row(
        "namespace of the host",
        on_seek("matchNamespaces: [{namespace: Uts, operator: In, values: [host_ns]}]"),
        once,
        seek_inside_and_outside("unshare", "-u"),
    ),
    row(
        "not the namespace of the host",
        on_seek("matchNamespaces: [{namespace: Net, operator: NotIn, values: [host_ns]}]"),
        once,
        seek_inside_and_outside("unshare", "-n"),
    ),
    row(
        "capability",
        on_seek("matchCapabilities: [{type: Effective, operator: In, values: [CAP_SYS_ADMIN]}]"),
        once,
        seek_inside_and_outside("setpriv", "--reuid=65534", "--clear-groups"),
    ),
    row(
        "capability, permitted",
        on_seek("matchCapabilities: [{type: Permitted, operator: NotIn, values: [CAP_SYS_ADMIN]}]"),
        once,
        seek_inside_and_outside("setpriv", "--reuid=65534", "--clear-groups"),
    ),
    row(
        "capability, inheritable",
        on_seek("matchCapabilities: [{type: Inheritable, operator: In, values: [CAP_NET_RAW]}]"),
        once,
        seek_inside_and_outside("setpriv", "--inh-caps=+net_raw"),
    ),
    row(
        "without a capability",
        on_seek("matchCapabilities: [{type: Effective, operator: NotIn, values: [CAP_SYS_ADMIN]}]"),
        once,
        seek_inside_and_outside("setpriv", "--reuid=65534", "--clear-groups"),
    ),
]


def on_return(condition: str) -> str:
    return f"""
        kprobes:
        - call: sys_lseek
          return: true
          args: [{{index: 1, type: int64}}]
          returnArg: {{index: 0, type: int64}}
          selectors:
          - matchPIDs: [{{operator: In, values: [SELF]}}]
            matchReturnArgs: [{{index: 0, {condition}}}]
        """


def seek_well_and_badly(directory: Path) -> None:
    fd = os.open(directory / "wanted", os.O_RDONLY)
    for offset in (0, 7, 4242, -1):
        try:
            os.lseek(fd, offset, os.SEEK_SET)
        except OSError:
            assert offset == -1
    os.close(fd)


def came_back(*wanted: tuple[int, int]) -> Callable[[Path], list[Expected]]:
    """Pairs of an offset and what the call gave."""
    return lambda _: [
        {"args": [{"long_arg": str(offset)}], "return": {"long_arg": str(result)}} for offset, result in wanted
    ]


def returning(name: str, condition: str, *wanted: tuple[int, int]) -> Row:
    return Row(name, on_return(condition), seek_well_and_badly, came_back(*wanted))


ROWS += [
    returning("a call that failed", 'operator: LessThan, values: ["0"]', (-1, -22)),
    returning("a call that did not", 'operator: NotInRange, values: ["-4095:-1"]', (0, 0), (7, 7), (4242, 4242)),
    returning("what a call gave", 'operator: Equal, values: ["7", "4242"]', (7, 7), (4242, 4242)),
]
# How a process comes to have another one than the host's.
OTHER_NAMESPACES = (
    ("Ipc", "-i"), ("Mnt", "-m"), ("Pid", "-pf"), ("PidForChildren", "-p"), ("Net", "-n"), ("Time", "-Tf"),
    ("TimeForChildren", "-T"), ("Cgroup", "-C"), ("User", "-U"),
)  # fmt: skip
ROWS += [
    row(
        f"{kind} of the host",
        on_seek(f"matchNamespaces: [{{namespace: {kind}, operator: In, values: [host_ns]}}]"),
        once,
        seek_inside_and_outside("unshare", flag),
    )
    for kind, flag in OTHER_NAMESPACES
]
CHANGE = """
import ctypes, os
fd = os.open('/dev/null', 0)
os.lseek(fd, 4242, 0)
{}
os.lseek(fd, 4242, 0)
os.lseek(fd, 4242, 0)
"""


def change(statement: str) -> Callable[[Path], object]:
    return lambda _: subprocess.run([sys.executable, "-S", "-c", CHANGE.format(statement)], check=True)


UNSHARE_UTS = "ctypes.CDLL(None).unshare(0x04000000)"
ROWS += [
    row(
        "namespace change",
        on_seek("matchNamespaceChanges: [{operator: In, values: [Uts]}]"),
        once,
        change(UNSHARE_UTS),
    ),
    row(
        "another namespace changed",
        on_seek("matchNamespaceChanges: [{operator: NotIn, values: [Net]}]"),
        once,
        change(UNSHARE_UTS),
    ),
    row(
        "capability change",
        on_seek("matchCapabilityChanges: [{type: Effective, operator: In, values: [CAP_SYS_ADMIN]}]"),
        once,
        change("os.seteuid(65534)"),
    ),
]


@rows(ROWS)
def test_selector(row: Row, bench: Bench, machine: Machine, place: Path) -> None:
    check(row, bench, machine, place)


def test_children_that_lived_before_are_followed(bench: Bench, machine: Machine, place: Path) -> None:
    shell = place / "myshell"
    shutil.copy("/bin/sh", shell)
    script = place / "script"
    script.write_text(f"read x; exec {sys.executable} -S -c '{SEEK}' 4242\n")
    child = subprocess.Popen([shell, "-c", f"/bin/sh {script}; true"], stdin=subprocess.PIPE, text=True)
    children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    bench.wait(lambda: bool(children.read_text()), "the child")
    spec = on_seek(f"matchBinaries: [{{operator: In, values: [{shell}], followChildren: true}}]")
    events = bench.during(compiled(spec, machine), lambda: child.communicate("go\n"))
    assert len(events) == 1, events


def test_first_selector_that_matches_acts(bench: Bench, machine: Machine) -> None:
    spec = """
        kprobes:
        - call: sys_lseek
          args: [{index: 1, type: int64}]
          selectors:
          - label: quiet
            matchArgs: [{index: 1, operator: Equal, values: ["4242"]}]
            matchActions: [{action: NoPost}]
          - label: loud
            matchArgs: [{index: 1, operator: InRange, values: ["4242:4243"]}]
        """
    fd = os.open("/dev/null", os.O_RDONLY)
    bench.engine.load(compiled(spec, machine))
    for offset in (4242, 4243, 4242):
        os.lseek(fd, offset, os.SEEK_SET)
    quiet, loud = bench.engine.statistics("", "row")
    bench.engine.unload("", "row")
    os.close(fd)
    bench.read()
    assert (quiet.selector, quiet.matches, quiet.posts) == (0, 2, 0)
    assert (loud.selector, loud.matches, loud.posts) == (1, 1, 1)


def test_rate_limit(bench: Bench, machine: Machine) -> None:
    spec = on_seek('matchActions: [{action: Post, rateLimit: "1m"}]').replace("operator: Equal", "operator: InRange")
    spec = spec.replace('["4242"]', '["4242:4243"]')
    fd = os.open("/dev/null", os.O_RDONLY)

    def act() -> None:
        for offset in (4242, 4243, 4242, 4242, 4243):
            os.lseek(fd, offset, os.SEEK_SET)

    events = bench.during(compiled(spec, machine), act)
    os.close(fd)
    # Other values are another event.
    assert [event["args"][0]["long_arg"] for event in events if event["tid"] == os.getpid()] == ["4242", "4243"]


RATES = """
import os, sys, threading
def seek():
    os.lseek(fd, 4242, 0)
    os.lseek(fd, 4242, 0)
fd = os.open("/dev/null", 0)
for _ in range(2):
    thread = threading.Thread(target=seek)
    thread.start()
    thread.join()
"""


@pytest.mark.parametrize(("scope", "count"), [("thread", 4), ("process", 2), ("global", 1)])
def test_scopes_of_rate_limits(bench: Bench, machine: Machine, scope: str, count: int) -> None:
    """Two processes with two threads each, one after the other, which may have one's number again."""
    spec = on_seek(f"matchActions: [{{action: Post, rateLimit: 1h, rateLimitScope: {scope}}}]")

    def act() -> None:
        for _ in range(2):
            subprocess.run([sys.executable, "-S", "-c", RATES], check=True)

    events = bench.during(compiled(spec, machine), act)
    assert len(events) == count, events


def test_a_rate_limit_ends_with_its_policy(bench: Bench, machine: Machine) -> None:
    spec = on_seek("matchActions: [{action: Post, rateLimit: 1h, rateLimitScope: global}]")
    counts = [len(bench.during(compiled(spec, machine), seek_once_here)) for _ in range(3)]
    assert counts == [1, 1, 1]


def test_a_call_that_never_returns_is_told(bench: Bench, machine: Machine) -> None:
    spec = """
        kprobes:
        - call: sys_exit_group
          return: true
          args: [{index: 0, type: int}]
          returnArg: {index: 0, type: int}
        """
    bench.events.clear()
    with bench.policy(compiled(spec, machine)):
        child = subprocess.Popen(["/bin/sh", "-c", "exit 7"])
        child.wait()
        bench.reader.losses()
        bench.read()
    (event,) = [event for event in bench.events if event.tid == child.pid]
    assert event.extra.flags == ("neverReturned",)
    assert msgspec.to_builtins(event.body)["args"] == ({"int_arg": 7},)


def test_a_call_under_way_when_its_policy_goes_is_told(bench: Bench, machine: Machine) -> None:
    spec = """
        kprobes:
        - call: sys_pause
          return: true
          args: []
          returnArg: {index: 0, type: int}
        """
    bench.events.clear()
    with bench.policy(compiled(spec, machine)):
        child = subprocess.Popen([sys.executable, "-S", "-c", "import signal; signal.pause()"])
        state = Path(f"/proc/{child.pid}/syscall")
        bench.wait(lambda: state.read_text().split()[0] == "34", "the call")
    bench.reader.losses()
    bench.read()
    child.kill()
    child.wait()
    assert [event.extra.flags for event in bench.events if event.tid == child.pid] == [("neverReturned",)]


def test_bits_of_an_image_do_not_outlive_it(bench: Bench, machine: Machine) -> None:
    """Not even where the kernel skips the program that looks at execs, as it may from Linux 7.0 on."""
    spec = """
        kprobes:
        - call: sys_lseek
          args: [{index: 1, type: int64}]
          selectors:
          - matchArgs: [{index: 1, operator: Equal, values: ["4344"]}]
            matchBinaries: [{operator: In, values: [/usr/bin/dd]}]
        """
    fd = os.open("/dev/null", os.O_RDONLY)
    seek = "dd if=/dev/null of=/dev/null bs=1 count=0 skip=4344"
    programs = bench.engine.store.object
    lib.bpf_link__destroy(programs._links.pop(programs.programs.index("scope_exec")))
    try:
        bench.read()
        bench.events.clear()
        with bench.policy(compiled(spec, machine)):
            os.lseek(fd, 4344, os.SEEK_SET)  # from now on the bits of this process are known
            child = subprocess.Popen(["/bin/sh", "-c", f"{seek}; exec {seek}"], stderr=subprocess.DEVNULL)
            child.wait()
        bench.read()
    finally:
        programs.attach("scope_exec")
        os.close(fd)
    found = [event for event in bench.events if event.tid != os.getpid()]
    assert len(found) == len(bench.events) == 2
    assert found[1].tid == child.pid
