"""Facts of a machine: what look-ups give, and that saving loses nothing. The kernel's types are this machine's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.catalog import syscalls
from lictor.errors import LictorError
from lictor.host import functions, preemption
from lictor.host.facts import HostFacts, Preemption
from lictor.host.formats import Format, FormatField, FormatTable, paragraph
from lictor.host.functions import Symbol, SymbolTable, pack
from lictor.host.nearest import nearest
from lictor.wire.ctype import CType, Hop, WalkError, walk

BTF = Path("/sys/kernel/btf/vmlinux")
SYMBOLS = pack(
    [
        Symbol("vfs_write", "t"),
        Symbol("security_file_open", "t"),
        Symbol("notify_die", "k"),
        Symbol("__x64_sys_openat", "te"),
        Symbol("ns_to_timespec64", "t"),
        Symbol("seq_printf", "t"),
        Symbol("static_twice", "td", "xfs"),
    ]
)
SCHED_SWITCH = """name: sched_switch
ID: 300
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;

	field:char prev_comm[TASK_COMM_LEN];	offset:8;	size:16;	signed:0;
	field:pid_t prev_pid;	offset:24;	size:4;	signed:1;
	field:__data_loc char[] name;	offset:28;	size:4;	signed:0;
	field:const char * file;	offset:32;	size:8;	signed:0;
	field:unsigned long args[6];	offset:40;	size:48;	signed:0;

print fmt: "%s", REC->name
"""


@pytest.fixture(scope="module")
def facts() -> HostFacts:
    if not BTF.exists():
        pytest.skip("this kernel has no BTF")
    abilities = {"kprobe": "", "fentry": "", "fmod_ret": "", "bpf_override_return": "no such option"}
    formats = paragraph("sched/sched_switch", SCHED_SWITCH)
    return HostFacts(
        release="6.12.0",
        architecture="x86_64",
        abilities=abilities,
        btf=BTF.read_bytes(),
        symbols=SYMBOLS.encode(),
        formats=formats.encode(),
    )


def test_saving_loses_nothing(facts: HostFacts) -> None:
    saved = facts.to_json()
    again = HostFacts.from_json(saved)
    archive = facts.to_archive()
    assert len(archive) < len(saved)
    assert HostFacts.from_json(archive).to_json() == saved
    assert len(saved) < len(facts.btf)
    assert again.to_json() == saved
    assert again.function("vfs_write") is not None
    assert again.tracepoint("sched", "sched_switch") == facts.tracepoint("sched", "sched_switch")


@pytest.mark.parametrize("text", [b"", b"{}", b"\xfd7zXZ\x00broken", b'{"release": "6.1", "btf": "AAAA"}'])
def test_what_is_not_facts_is_said_so(text: bytes) -> None:
    with pytest.raises(LictorError, match="not the facts of a machine"):
        HostFacts.from_json(text)


def test_functions(facts: HostFacts) -> None:
    found = facts.function("vfs_write")
    assert found is not None
    assert found.prototype is not None
    assert [(one.name, one.text) for one in found.prototype.parameters][:2] == [
        ("file", "struct file *"),
        ("buf", "const char *"),
    ]
    assert found.prototype.returns.text == "ssize_t"
    assert (found.kprobe, found.fentry) == ("", "")
    assert found.fmod_ret.startswith("it is no `security_*` function, and its errors may not be injected")
    assert found.override == "no such option"
    hook = facts.function("security_file_open")
    assert hook is not None
    assert hook.fmod_ret == ""
    barred = facts.function("notify_die")
    assert barred is not None
    assert "ftrace does not know it" in barred.kprobe
    assert barred.symbol.barred
    twice = facts.function("static_twice")
    assert twice is not None
    assert twice.symbol.ambiguous
    assert "several functions" in twice.kprobe
    assert twice.module == "xfs"
    assert twice.prototype is None
    assert facts.function("vfs_wirte") is None
    assert facts.near_functions("vfs_wirte") == ["vfs_write"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ns_to_timespec64", "it returns `struct timespec64`, a struct"),
        ("seq_printf", "its number of arguments is not fixed"),
    ],
)
def test_functions_without_a_trampoline(facts: HostFacts, name: str, reason: str) -> None:
    found = facts.function(name)
    assert found is not None
    assert (found.kprobe, found.fentry) == ("", reason)


def test_abilities_that_were_not_tried(facts: HostFacts) -> None:
    assert "not tried" in facts.lacks("lsm")
    assert HostFacts(release="6.1").has("lsm")


def test_hooks_and_tracepoints(facts: HostFacts) -> None:
    opened = facts.lsm_hook("file_open")
    assert opened is not None
    assert opened.parameters[0].text == "struct file *"
    assert opened.returns.text == "int"
    assert "file_open" in facts.lsm_hooks
    raw = facts.raw_tracepoint("sched_process_exec")
    assert raw is not None
    assert [one.text for one in raw.parameters] == ["struct task_struct *", "pid_t", "struct linux_binprm *"]
    assert raw.parameters[0].name == "p"
    assert "sched_process_exec" in facts.raw_tracepoints
    assert facts.raw_tracepoint("no_such") is None


def test_tracepoint_formats() -> None:
    table = FormatTable(paragraph("sched/sched_switch", SCHED_SWITCH) + paragraph("a/b", ""))
    assert list(table.names()) == ["sched/sched_switch", "a/b"]
    assert table.find("sched", "sched_switch") == Format(
        "sched",
        "sched_switch",
        (
            FormatField("common_type", "unsigned short", 0, 2, False),
            FormatField("prev_comm", "char", 8, 16, False, 16),
            FormatField("prev_pid", "pid_t", 24, 4, True),
            FormatField("name", "char", 28, 4, False, dynamic=True),
            FormatField("file", "const char *", 32, 8, False),
            FormatField("args", "unsigned long", 40, 48, False, 6),
        ),
    )


def test_paths_through_types(facts: HostFacts) -> None:
    task = facts.type("task_struct")
    assert task is not None
    found = walk(task, "mm.owner.real_parent.comm")
    assert [hop.dereference for hop in found.hops] == [True, True, True, False]
    assert (found.type.text, found.type.size, found.type.length) == ("char[16]", 16, 16)
    indexed = walk(task, "files.fd_array[3].f_inode.i_ino")
    first = walk(task, "files.fd_array[0].f_inode.i_ino")
    assert indexed.hops[1].offset - first.hops[1].offset == 3 * 8
    chained = walk(task, "files.fdt.fd[2].f_inode")
    assert chained.hops[3] == Hop(16, True)
    assert walk(task, "in_execve").bits == 1


@pytest.mark.parametrize(
    ("path", "at", "says"),
    [
        ("mm.ownr.comm", 1, "`struct mm_struct` has no member `ownr`"),
        ("comm[16]", 0, "`char[16]` has 16 elements"),
        ("comm.x", 1, "`char[16]` has no members"),
        ("pid[1]", 0, "`pid_t` is not an array"),
        ("mm..owner", 1, "`` is not a member name"),
        ("stack.x", 1, "`void *` does not point to a struct"),
    ],
)
def test_paths_that_lead_nowhere(facts: HostFacts, path: str, at: int, says: str) -> None:
    task = facts.type("struct task_struct")
    assert task is not None
    with pytest.raises(WalkError) as caught:
        walk(task, path)
    assert caught.value.at == at
    assert says in str(caught.value)


def test_how_types_are_spelled(facts: HostFacts) -> None:
    def member(struct: str, name: str) -> CType:
        found = facts.type(struct)
        place = found.member(name) if found else None
        assert place is not None
        return place.type

    assert member("file_operations", "read").text == "ssize_t (*)(struct file *, char *, size_t, loff_t *)"
    assert member("qstr", "name").text == "const unsigned char *"
    assert member("task_struct", "comm").target is not None
    assert member("task_struct", "mm").points_to == "mm_struct"
    assert member("task_struct", "mm").is_pointer
    assert member("task_struct", "prio").signed
    assert facts.type("no_such_struct") is None


def test_registers(facts: HostFacts) -> None:
    di, ip = facts.register("rdi"), facts.register("rip")
    assert di is not None
    assert ip is not None
    assert (di.offset, ip.offset, di.type.size) == (112, 128, 8)


def test_near_names() -> None:
    names = ["tcp_connect", "tcp_v4_connect", "udp_recvmsg"]
    assert nearest("tcp_conect", names)[0] == "tcp_connect"
    assert nearest("zzz", names) == []


@pytest.mark.parametrize(
    ("debugfs", "command_line", "version", "config", "model"),
    [
        ("none voluntary (full) lazy", "", "#1 SMP PREEMPT_DYNAMIC", "", Preemption.FULL),
        ("", "ro preempt=full", "#1 SMP PREEMPT_DYNAMIC", "CONFIG_PREEMPT_VOLUNTARY=y", Preemption.FULL),
        ("", "ro", "#1 SMP PREEMPT_DYNAMIC", "CONFIG_PREEMPT_VOLUNTARY=y", Preemption.VOLUNTARY),
        ("", "", "#1 SMP PREEMPT_RT Debian", "", Preemption.RT),
        ("", "", "#1 SMP PREEMPT Debian", "", Preemption.FULL),
        ("", "preempt=full", "#1 SMP", "CONFIG_PREEMPT_NONE=y", Preemption.NONE),
        ("", "", "#1 SMP", "", Preemption.UNKNOWN),
    ],
)
def test_preemption_models(debugfs: str, command_line: str, version: str, config: str, model: Preemption) -> None:
    assert preemption.find(debugfs, command_line, version, config) is model


KALLSYMS = """ffffffff81000000 T _stext
ffffffff81001000 t __pfx_vfs_write
ffffffff81001010 T vfs_write
ffffffff81002000 T __ia32_sys_getpid
ffffffff81002000 T __x64_sys_getpid
ffffffff81003000 t c_show
ffffffff81004000 t c_show
ffffffff81005000 t vfs_write.cold
ffffffff81006000 t notify_die
ffffffff82000000 T _etext
ffffffff83000000 t dev_attr_size
ffffffff83100000 d jiffies
ffffffffc0000000 t ovl_open\t[overlay]
ffffffffc0100000 t bpf_prog_6deef7357e7b4530\t[bpf]
"""


def test_functions_from_the_kernels_files() -> None:
    text = functions.from_texts(
        KALLSYMS,
        "vfs_write\n__ia32_sys_getpid\novl_open [overlay]\nc_show\n",
        "0xffffffff81006000-0xffffffff81006010\tnotify_die\n",
        "__ia32_sys_getpid\tERRNO\n",
    )
    assert text.splitlines() == [
        "__ia32_sys_getpid te",
        "__x64_sys_getpid te",
        "_stext",
        "c_show td",
        "notify_die k",
        "ovl_open t overlay",
        "vfs_write t",
    ]


def test_functions_where_little_may_be_read() -> None:
    hidden = re.sub(r"^[0-9a-f]+", "0000000000000000", KALLSYMS, flags=re.MULTILINE)
    names = [line.split()[0] for line in functions.from_texts(hidden, "", "", "").splitlines()]
    assert {"vfs_write", "vfs_write.cold", "ovl_open", "dev_attr_size"} <= set(names)
    assert not {"jiffies", "__pfx_vfs_write", "bpf_prog_6deef7357e7b4530"} & set(names)


def test_system_calls() -> None:
    stat, umount = syscalls.find("x64", "sys_newstat"), syscalls.find("x64", "umount2")
    assert stat is not None
    assert (stat.number, stat.name, stat.symbol) == (4, "stat", "__x64_sys_newstat")
    assert umount is not None
    assert umount.entry == "sys_umount"
    opened = syscalls.find("i386", "open")
    assert opened is not None
    assert (opened.number, opened.symbol) == (5, "__ia32_compat_sys_open")
    assert opened.parameters[0] == ("filename", "const char *")
    assert syscalls.find("x64", "no_such") is None
    assert syscalls.numbers("arm64")["openat"] == 56
    assert len({(call.abi, call.number, call.name) for call in syscalls.every()}) > 1500


@given(st.sets(st.text("abc_.", min_size=1, max_size=4)), st.text("abc_.", min_size=1, max_size=4))
def test_every_symbol_is_found_and_no_other(names: set[str], other: str) -> None:
    table = SymbolTable(pack(Symbol(name, "te"[: len(name) % 3], "m" * (len(name) % 2)) for name in names))
    for name in names:
        assert table.find(name) == Symbol(name, "te"[: len(name) % 3], "m" * (len(name) % 2))
    assert (other in table) == (other in names)
    assert list(table.names()) == sorted(names)


def test_symbol_tables() -> None:
    table = SymbolTable(SYMBOLS)
    assert len(table) == 7
    assert "vfs_write" in table
    assert table.find("static_twice") == Symbol("static_twice", "td", "xfs")
    assert table.find("x") is None
