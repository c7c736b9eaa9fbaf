"""Objects of the kernel as values of hooks: each member as the test knows it to be."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine import Bench
from live import Expected, Row, check, learned, rows

from lictor.policy.machine import Machine

pytestmark = pytest.mark.kernel
BY_KPROBE = (("kprobe",), ("fentry", "fexit", "kprobe.multi"))
LIBC = ctypes.CDLL(None, use_errno=True)
SYS_BPF, SYS_PERF_EVENT_OPEN, SYS_CAPSET, SYS_CAPGET = 321, 298, 126, 125
CAP_NET_RAW, CAP_SYS_NICE = 13, 23
CAP_VERSION_3 = 0x20080522
PERF_SOFTWARE, PAGE_FAULTS = 1, 2


def on(function: str, *arguments: str, match: str = "", whose: str = "") -> str:
    listed = ", ".join(f"{{{one}}}" for one in arguments)
    return f"""
        kprobes:
        - call: {function}
          syscall: false
          args: [{listed}]
          selectors:
          - matchPIDs: [{{operator: In, values: [SELF]{whose}}}]
            {match}
        """


def there(*names: str) -> str:
    """Of the names that a function has had, the one that this kernel knows it by."""
    known = {line.split()[2] for line in Path("/proc/kallsyms").read_text().splitlines()}
    return next((name for name in names if name in known), names[0])


def prefixed(index: int, text: str) -> str:
    return f"matchArgs: [{{index: {index}, operator: Prefix, values: [{text}]}}]"


def in_child(action: Callable[[], object]) -> None:
    child = os.fork()
    if not child:
        try:
            action()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def become_another(_: Path) -> None:
    def action() -> None:
        os.setresgid(11, 12, 13)
        os.setresuid(1, 2, 3)

    in_child(action)


def be_nicer(_: Path) -> None:
    os.setpriority(os.PRIO_PROCESS, 0, -1)
    os.setpriority(os.PRIO_PROCESS, 0, 0)


def capabilities() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line[3:6].lower(): int(line.split()[1], 16) for line in lines if line.startswith("Cap")}


def set_capabilities(effective: int, permitted: int, inheritable: int) -> None:
    words = [(mask >> shift) & 0xFFFFFFFF for shift in (0, 32) for mask in (effective, permitted, inheritable)]
    assert LIBC.syscall(SYS_CAPSET, struct.pack("<Ii", CAP_VERSION_3, 0), struct.pack("<6I", *words)) == 0


def without_raw_sockets(_: Path) -> dict[str, int]:
    """Puts a capability down and takes it up again, in a child."""
    mine = capabilities()

    def action() -> None:
        set_capabilities(mine["eff"] & ~(1 << CAP_NET_RAW), mine["prm"], mine["inh"])
        set_capabilities(mine["eff"], mine["prm"], mine["inh"])

    in_child(action)
    return mine


def mask(value: int) -> str:
    return f"{value:016x}"


CAPSET = (
    "index: 0, type: cap_permitted", "index: 1, type: cap_effective", "index: 2, type: kernel_cap_t",
    "index: 3, type: kernel_cap_t", "index: 4, type: kernel_cap_t",
)  # fmt: skip


def capset(mine: dict[str, int], less: int = 0, lacking: int = 0) -> Expected:
    return {
        "args": [
            {"cap_permitted_arg": mask(mine["prm"])},
            {"cap_effective_arg": mask(mine["eff"] & ~lacking)},
            {"kernel_cap_t_arg": mask(mine["eff"] & ~less)},
            {"kernel_cap_t_arg": mask(mine["inh"])},
            {"kernel_cap_t_arg": mask(mine["prm"])},
        ]
    }


def user_namespace() -> Expected:
    return {
        "level": 0,
        "uid": 0,
        "gid": 0,
        "ns": {"inum": os.stat("/proc/self/ns/user").st_ino, "is_host": True},
    }


def bpf(command: int, attributes: bytes) -> None:
    made = LIBC.syscall(SYS_BPF, command, attributes.ljust(128, b"\0"), 128)
    assert made >= 0, os.strerror(ctypes.get_errno())
    os.close(made)


def make_map(_: Path) -> None:
    bpf(0, struct.pack("<7I16s", 2, 4, 24, 3, 0, 0, 0, b"lictor_truth"))


def load_program(_: Path) -> None:
    code = ctypes.create_string_buffer(bytes([0xB7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]))
    word = ctypes.create_string_buffer(b"GPL")
    head = struct.pack(
        "<IIQQIIQII16s", 1, 2, ctypes.addressof(code), ctypes.addressof(word), 0, 0, 0, 0, 0, b"a_filter"
    )
    bpf(5, head)


def open_event(kind: int, config: int, config1: int = 0, config2: int = 0) -> None:
    attributes = struct.pack("<IIQQQQQIIQQ", kind, 112, config, 0, 0, 0, 1, 0, 0, config1, config2).ljust(112, b"\0")
    made = LIBC.syscall(SYS_PERF_EVENT_OPEN, attributes, 0, -1, -1, 0)
    assert made >= 0, os.strerror(ctypes.get_errno())
    os.close(made)


def probe_a_function(_: Path) -> int:
    kind = int(Path("/sys/bus/event_source/devices/kprobe/type").read_text())
    name = ctypes.create_string_buffer(b"security_task_prctl")
    open_event(kind, 0, ctypes.addressof(name), 0)
    return kind


def module_file() -> Path | None:
    """A module of this kernel, where it is one that `tools/vm.py` fetched; compressed in newer ones."""
    name = f"*/lib/modules/{os.uname().release}/kernel/drivers/net/dummy.ko*"
    return next(Path("/root/.cache/lictor-vm").glob(name), None)


def insert_module(_: Path) -> None:
    subprocess.run(["/sbin/insmod", str(module_file()), "numdummies=0"], check=True)
    subprocess.run(["/sbin/rmmod", "dummy"], check=True)


def through_a_pipe(_: Path) -> None:
    out, into = os.pipe()
    os.write(into, b"whole")
    os.writev(into, [b"in ", b"", b"pieces"])
    os.close(out)
    os.close(into)


def talk(action: Callable[[socket.socket], object]) -> Callable[[Path], None]:
    def act(_: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
            action(client)

    return act


def send_file(client: socket.socket) -> None:
    with open("/proc/self/exe", "rb") as file:
        os.sendfile(client.fileno(), file.fileno(), 0, 100)


SENT = ("index: 1, type: iov_iter, resolve: msg_iter", "index: 2, type: size_t")


def read_shared(_: Path) -> str:
    path = Path(f"/dev/shm/lictor-{os.getpid()}")
    path.write_bytes(b"x" * 10)
    path.chmod(0o640)
    path.read_bytes()
    path.unlink()
    return str(path)


OF_A_TASK = """
        tracepoints:
        - subsystem: task
          event: task_rename
          raw: true
          args:
          - {index: 0, type: cred, resolve: real_cred}
          - {index: 0, type: user_namespace, resolve: cred.user_ns}
          - {index: 0, type: kernel_cap_t, resolve: cred.cap_permitted}
          - {index: 0, type: cap_effective, resolve: cred}
          - {index: 0, type: cap_inheritable, resolve: cred}
          selectors:
          - matchPIDs: [{operator: In, values: [SELF]}]
            matchArgs: [{args: [2], operator: Mask, values: [CAP_SYS_NICE]}]
        """


def rename(_: Path) -> dict[str, int]:
    name = Path("/proc/self/comm").read_bytes().strip()
    LIBC.prctl(15, name, 0, 0, 0)
    return capabilities()


def told(arguments: list[Expected], times: int = 1) -> Callable[[Any], list[Expected]]:
    return lambda _: [{"args": arguments}] * times


ROWS = [
    learned(
        "cred, user_namespace and sets of capabilities, of a task",
        OF_A_TASK,
        rename,
        lambda mine: [
            {
                "args": [
                    {"process_credentials_arg": {"uid": os.getuid(), "user_ns": user_namespace()}},
                    {"user_ns_arg": user_namespace()},
                    {"kernel_cap_t_arg": mask(mine["prm"])},
                    {"cap_effective_arg": mask(mine["eff"])},
                    {"cap_inheritable_arg": mask(mine["inh"])},
                ]
            }
        ],
    ),
    Row(
        "cred",
        on("commit_creds", "index: 0, type: cred", whose=", followForks: true"),
        become_another,
        lambda _: [
            {"args": [{"process_credentials_arg": {"gid": 11, "egid": 12, "sgid": 13, "fsgid": 12, "uid": 0}}]},
            {"args": [{"process_credentials_arg": {"uid": 1, "euid": 2, "suid": 3, "fsuid": 2, "gid": 11}}]},
        ],
        *BY_KPROBE,
        everyone=True,
    ),
    Row(
        "cred, user_namespace, capability",
        on(
            "security_capable", "index: 0, type: cred", "index: 1, type: user_namespace", "index: 2, type: capability",
            match="matchArgs: [{index: 2, operator: Equal, values: [CAP_SYS_NICE]}]",
        ),
        be_nicer,
        lambda _: [
            {
                "args": [
                    {"process_credentials_arg": {"euid": 0, "user_ns": user_namespace()}},
                    {"user_ns_arg": user_namespace()},
                    {"capability_arg": {"value": CAP_SYS_NICE, "name": "CAP_SYS_NICE"}},
                ]
            }
        ],
        *BY_KPROBE,
    ),
    Row(
        "kernel_cap_t, cap_permitted, cap_effective",
        on("security_capset", *CAPSET, whose=", followForks: true"),
        without_raw_sockets,
        lambda _: [capset(capabilities(), 1 << CAP_NET_RAW), capset(capabilities(), 0, 1 << CAP_NET_RAW)],
        *BY_KPROBE,
        everyone=True,
    ),
    Row(
        "CapabilitiesGained",
        on(
            "security_capset", *CAPSET, whose=", followForks: true",
            match="matchArgs: [{args: [1, 2], operator: CapabilitiesGained}]",
        ),
        without_raw_sockets,
        lambda _: [{"args": [{}, {"cap_effective_arg": lambda one: not int(one, 16) >> CAP_NET_RAW & 1}, {}, {}, {}]}],
        *BY_KPROBE,
        everyone=True,
    ),
    Row(
        "bpf_map",
        on("security_bpf_map", "index: 0, type: bpf_map"),
        make_map,
        told(
            [
                {
                    "bpf_map_arg": {
                        "MapType": "BPF_MAP_TYPE_ARRAY",
                        "KeySize": 4,
                        "ValueSize": 24,
                        "MaxEntries": 3,
                        "MapName": "lictor_truth",
                    }
                }
            ]
        ),
        *BY_KPROBE,
    ),
    Row(
        "bpf_prog",
        on("security_bpf_prog", "index: 0, type: bpf_prog"),
        load_program,
        told([{"bpf_prog_arg": {"ProgType": "BPF_PROG_TYPE_SOCKET_FILTER", "InsnCnt": 2, "ProgName": "a_filter"}}]),
        *BY_KPROBE,
    ),
    Row(
        "perf_event, a count of the kernel's own",
        on("security_perf_event_alloc", "index: 0, type: perf_event"),
        lambda _: open_event(PERF_SOFTWARE, PAGE_FAULTS, 12345, 678),
        told([{"perf_event_arg": {"KprobeFunc": None, "ProbeOffset": None, "Config": str(PAGE_FAULTS)}}]),
        *BY_KPROBE,
    ),
    Row(
        "perf_event, a kprobe",
        on("security_perf_event_alloc", "index: 0, type: perf_event"),
        probe_a_function,
        told([{"perf_event_arg": {"KprobeFunc": "security_task_prctl"}}]),
        *BY_KPROBE,
    ),
    Row(
        "module",
        """
        tracepoints:
        - subsystem: module
          event: module_load
          raw: true
          args: [{index: 0, type: module}]
          selectors:
          - matchPIDs: [{operator: In, values: [SELF], followForks: true}]
        """,
        insert_module,
        told([{"module_arg": {"name": "dummy"}}]),
        everyone=True,
        given=lambda: module_file() is not None,
    ),
    Row(
        "load_info",
        on("mod_sysfs_setup", "index: 1, type: load_info", whose=", followForks: true"),
        insert_module,
        # Debian signs its modules.
        told([{"module_arg": {"name": "dummy", "signature_ok": True}}]),
        *BY_KPROBE,
        everyone=True,
        given=lambda: module_file() is not None,
    ),
    Row(
        "filename",
        on(
            there("do_filp_open", "do_file_open"), "index: 0, type: int", "index: 1, type: filename",
            match="matchArgs: [{index: 1, operator: Postfix, values: [/wanted]}]",
        ),
        lambda d: (d / "wanted").read_bytes(),
        lambda d: [{"args": [{"int_arg": -100}, {"string_arg": str(d / "wanted")}]}],
        *BY_KPROBE,
    ),
    Row(
        "path",
        on("security_inode_getattr", "index: 0, type: path", match=prefixed(0, "DIR/")),
        lambda d: (d / "wanted").stat(),
        lambda d: [{"args": [{"path_arg": {"path": str(d / "wanted"), "permission": "-rw-r--r--"}}]}],
        *BY_KPROBE,
    ),
    Row(
        "dentry, within its file system",
        on("security_inode_unlink", "index: 1, type: dentry", match=prefixed(1, "/lictor-")),
        read_shared,
        lambda _: [{"args": [{"path_arg": {"path": f"/lictor-{os.getpid()}", "permission": "-rw-r-----"}}]}],
        *BY_KPROBE,
    ),
    learned(
        "kiocb",
        on("shmem_file_read_iter", "index: 0, type: kiocb", match=prefixed(0, "/dev/shm/lictor-")),
        read_shared,
        lambda path: [{"args": [{"file_arg": {"path": path, "permission": "-rw-r-----"}}]}] * 2,
        *BY_KPROBE,
    ),
    Row(
        "iov_iter: a buffer, a vector",
        on(there("pipe_write", "anon_pipe_write"), "index: 0, type: kiocb", "index: 1, type: iov_iter"),
        through_a_pipe,
        lambda _: [{"args": [{}, {"bytes_arg": one}]} for one in ("d2hvbGU=", "aW4gcGllY2Vz")],
        *BY_KPROBE,
    ),
    Row(
        "iov_iter inside another struct",
        on("tcp_sendmsg", *SENT),
        talk(lambda client: client.sendmsg([b"two ", b"pieces"])),
        told([{"bytes_arg": "dHdvIHBpZWNlcw=="}, {"size_arg": "10"}]),
        *BY_KPROBE,
    ),
    Row(
        "iov_iter of pages is an error, no value",
        on("tcp_sendmsg", *SENT),
        talk(send_file),
        told([{"error_arg": {"Message": os.strerror(95)}}, {"size_arg": "100"}]),
        *BY_KPROBE,
        function="splice_to_socket",
    ),
]  # fmt: skip


@rows(ROWS)
def test_value(row: Row, bench: Bench, machine: Machine, place: Path) -> None:
    check(row, bench, machine, place)
