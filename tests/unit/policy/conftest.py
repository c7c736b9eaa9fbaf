"""A machine for the compiler's tests: this kernel's types; functions, tracepoints and abilities as a test wants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from lictor.host.facts import HostFacts, Preemption
from lictor.host.features import ABILITIES
from lictor.host.formats import paragraph
from lictor.host.functions import Symbol, pack
from lictor.policy.compile import Compiled, compile_policy
from lictor.policy.machine import Machine

BTF = Path("/sys/kernel/btf/vmlinux")
_TRACED = (
    "security_file_permission", "security_file_open", "security_bprm_check", "security_mmap_file", "vfs_write",
    "tcp_connect", "commit_creds", "cap_capable",
)  # fmt: skip
_CALLS = ("openat", "read", "write", "close", "lseek", "dup", "execve", "connect", "symlinkat", "unlinkat", "prctl",
          "exit_group")  # fmt: skip
SYMBOLS = pack(
    [
        *(Symbol(name, "t") for name in _TRACED),
        *(Symbol(f"__x64_sys_{name}", "te") for name in _CALLS),
        *(Symbol(f"__ia32_sys_{name}", "te") for name in _CALLS),
        Symbol("notify_die", "k"),
    ]
)
_COMMON = """	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;
"""
_FORMATS = {
    "sched/sched_process_exec": """	field:__data_loc char[] filename;	offset:8;	size:4;	signed:0;
	field:pid_t pid;	offset:12;	size:4;	signed:1;
	field:pid_t old_pid;	offset:16;	size:4;	signed:1;
""",
    "raw_syscalls/sys_enter": """	field:long id;	offset:8;	size:8;	signed:1;
	field:unsigned long args[6];	offset:16;	size:48;	signed:0;
""",
    "syscalls/sys_enter_openat": """	field:int __syscall_nr;	offset:8;	size:4;	signed:1;
	field:int dfd;	offset:16;	size:8;	signed:0;
	field:const char * filename;	offset:24;	size:8;	signed:0;
	field:int flags;	offset:32;	size:8;	signed:0;
	field:umode_t mode;	offset:40;	size:8;	signed:0;
""",
}
FORMATS = "".join(paragraph(name, _COMMON + text) for name, text in _FORMATS.items())

HEAD = "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\nmetadata: {name: test}\nspec:\n"


@pytest.fixture(scope="session")
def facts() -> HostFacts:
    """A kernel that can do everything, and is not preemptible."""
    if not BTF.exists():
        pytest.skip("this kernel has no BTF")
    return HostFacts(
        release="6.12.0",
        architecture="x86_64",
        preemption=Preemption.VOLUNTARY,
        abilities={ability.name: "" for ability in ABILITIES},
        btf=BTF.read_bytes(),
        symbols=SYMBOLS.encode(),
        formats=FORMATS.encode(),
    )


@pytest.fixture(scope="session")
def machine(facts: HostFacts) -> Machine:
    return Machine(facts)


Without = Callable[..., Machine]


@pytest.fixture(scope="session")
def without(facts: HostFacts) -> Without:
    """The machine without some abilities, or with another preemption model."""

    def make(*names: str, preemption: Preemption = Preemption.VOLUNTARY) -> Machine:
        abilities = facts.abilities | dict.fromkeys(names, "not built in")
        other = msgspec.structs.replace(facts, abilities=abilities, preemption=preemption)
        vars(other)["kernel"] = facts.kernel  # taken apart once
        return Machine(other)

    return make


Compile = Callable[..., Compiled]


@pytest.fixture(scope="session")
def compile_spec(machine: Machine) -> Compile:
    """Compiles the text below `spec:` (indented by two), on the machine or on another."""

    def make(spec: str, on: Machine | None = None) -> Compiled:
        return compile_policy((HEAD + spec).encode(), "test.yaml", on or machine)

    return make
