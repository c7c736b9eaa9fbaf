"""No document breaks the compiler: it gives a plan or says why not."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from lictor.policy import document, dump
from lictor.policy.compile import compile_policy
from lictor.policy.explain import explain
from lictor.policy.machine import Machine
from lictor.policy.shape import Choice, Flag, Integer, Kind, Many, Named, Part, PartOf, Text, Unsigned32

_WORDS = st.sampled_from(
    [
        "sys_openat", "sys_dup", "vfs_write", "security_file_open", "security_file_permission", "list:a", "file_open",
        "socket_connect", "sched", "sched_process_exec", "raw_syscalls", "sys_enter", "/bin/sh", "/etc/", "0", "1",
        "-1", "0xffffffffffffffff", "1:5", "5:1", "99999999999999999999999", "10.0.0.0/8", "::1", "host_ns", "Pid",
        "CAP_SYS_ADMIN", "IPPROTO_TCP", "AF_INET", "TCP_LISTEN", "arg0 == 1 && arg1 < 2", "reg", "f_path.dentry",
        "comm", "rdi", "current_task", "pt_regs", "TrackSock", "5m", "process", "a", "i386/sys_dup", "rax=1",
        "é\n\t", "", "sys_dup,sys_close", "mm.owner.comm", "task_struct", "real_parent[0].comm",
    ]
)  # fmt: skip
_ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(), _WORDS, st.text(max_size=8),
    st.lists(_WORDS, max_size=2), st.dictionaries(_WORDS, _WORDS, max_size=2),
)  # fmt: skip


def values_of(kind: Kind) -> st.SearchStrategy[Any]:
    if isinstance(kind, PartOf):
        return parts(kind.part)
    if isinstance(kind, Many):
        return st.lists(values_of(kind.of), max_size=3)
    if isinstance(kind, Named):
        return st.dictionaries(_WORDS, values_of(kind.of), max_size=2)
    if isinstance(kind, Choice):
        return st.sampled_from(kind.words)
    if isinstance(kind, Flag):
        return st.booleans()
    if isinstance(kind, (Integer, Unsigned32)):
        return st.integers(-2, 7)
    return _WORDS if isinstance(kind, Text) else _ANYTHING


def parts(part: type[Part]) -> st.SearchStrategy[dict[str, Any]]:
    """Mostly right, sometimes wrong: a field may hold anything."""

    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        found = {}
        for name, field in part.FIELDS.items():
            if draw(st.integers(0, 9)) < (9 if field.required else 2):
                found[name] = draw(_ANYTHING if draw(st.integers(0, 29)) == 0 else values_of(field.kind))
        return found

    return build()


@st.composite
def policies(draw: st.DrawFn) -> bytes:
    spec = draw(parts(document.Spec))
    section = draw(st.sampled_from(document.SECTIONS))
    spec[section] = draw(st.lists(values_of(document.Spec.FIELDS[section].kind.of), min_size=1, max_size=2))  # type: ignore[attr-defined]
    kind = draw(st.sampled_from([document.CLUSTER, document.NAMESPACED]))
    whole = {"apiVersion": document.API_VERSION, "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    return yaml.safe_dump(whole, allow_unicode=True).encode()


@given(data=policies())
def test_no_document_breaks_it(data: bytes, machine: Machine) -> None:
    found = compile_policy(data, "x", machine)
    assert (found.plan is None) == bool(found.errors)
    assert found.plan == compile_policy(data, "x", machine).plan
    if found.plan is not None:
        assert list(explain(found.plan, machine))
    if found.draft is not None:
        dump.dump(found.draft)


@given(data=st.binary(max_size=200))
def test_no_bytes_break_it(data: bytes, machine: Machine) -> None:
    found = compile_policy(data, "x", machine)
    assert found.errors
