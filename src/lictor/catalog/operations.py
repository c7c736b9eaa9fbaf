"""Operations that policies watch and deny: which hooks and system calls they are, and what gets around a rule."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Operation:
    """`lsm`: hooks of the security modules, the best first; `syscalls`: every call that does it, 32-bit ABI alike.

    `outside`: its effect reaches beyond the thread that does it (other threads share memory and descriptors), so that
    killing the process afterwards may come too late. `uring`: io_uring does it without the system call. `cgroup`:
    attach types that can deny it. `also`: LSM hooks that must deny as well, or the effect can be had through them.
    `bypass`: what else is known to get around a rule, whatever the hook.
    """

    name: str
    lsm: tuple[str, ...]
    syscalls: tuple[str, ...]
    outside: bool = True
    uring: bool = False
    cgroup: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    bypass: tuple[str, ...] = ()


_OPEN_FILES = "descriptors that were open before"
_PACKETS = "packet and raw sockets (AF_PACKET, SOCK_RAW), tunnel devices, and addresses that are translated on the way"
_ROWS = (
    Operation(
        "exec",
        ("bprm_check_security", "bprm_creds_for_exec", "bprm_creds_from_file", "bprm_committing_creds"),
        ("execve", "execveat"),
        outside=False,
        bypass=("code that is mapped or interpreted without an exec, as the loader is that a program names",),
    ),
    Operation(
        "open",
        ("file_open", "file_post_open"),
        ("open", "openat", "openat2", "creat", "open_by_handle_at"),
        uring=True,
        bypass=(_OPEN_FILES,),
    ),
    Operation(
        "read",
        ("file_permission",),
        (
            "read", "pread64", "readv", "preadv", "preadv2", "sendfile", "splice", "copy_file_range", "mmap",
        ),
        uring=True,
        also=("mmap_file",),
        bypass=("files that are mapped already",),
    ),
    Operation(
        "write",
        ("file_permission",),
        ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "splice", "copy_file_range", "mmap"),
        uring=True,
        also=("mmap_file",),
        bypass=("files that are mapped already",),
    ),
    Operation(
        "truncate",
        ("path_truncate", "file_truncate"),
        ("truncate", "ftruncate", "open", "openat", "openat2", "creat"),
        uring=True,
    ),
    Operation("rename", ("path_rename", "inode_rename"), ("rename", "renameat", "renameat2"), uring=True),
    Operation("link", ("path_link", "inode_link"), ("link", "linkat"), uring=True),
    Operation("symlink", ("path_symlink", "inode_symlink"), ("symlink", "symlinkat"), uring=True),
    Operation("unlink", ("path_unlink", "inode_unlink"), ("unlink", "unlinkat"), uring=True),
    Operation("mkdir", ("path_mkdir", "inode_mkdir"), ("mkdir", "mkdirat"), uring=True),
    Operation("rmdir", ("path_rmdir", "inode_rmdir"), ("rmdir", "unlinkat"), uring=True),
    Operation("mknod", ("path_mknod", "inode_mknod"), ("mknod", "mknodat")),
    Operation(
        "chmod",
        ("path_chmod", "inode_setattr"),
        ("chmod", "fchmod", "fchmodat", "fchmodat2"),
        bypass=("access lists (setxattr), which have the same bits but set-uid",),
    ),
    Operation("chown", ("path_chown", "inode_setattr"), ("chown", "lchown", "fchown", "fchownat")),
    Operation(
        "setxattr",
        ("inode_setxattr",),
        ("setxattr", "lsetxattr", "fsetxattr", "setxattrat"),
        uring=True,
    ),
    Operation("map", ("mmap_file",), ("mmap", "remap_file_pages")),
    Operation(
        "protect",
        ("file_mprotect",),
        ("mprotect", "pkey_mprotect"),
        bypass=("memory that is executable from the beginning",),
    ),
    Operation(
        "mount",
        ("sb_mount", "move_mount"),
        ("mount", "move_mount", "open_tree", "fsmount", "mount_setattr"),
        also=("sb_mount", "move_mount"),
        bypass=("mounts that are put nowhere (open_tree, fsmount), and mount_setattr, which no hook asks about",),
    ),
    Operation("unmount", ("sb_umount",), ("umount2",)),
    Operation("pivot_root", ("sb_pivotroot",), ("pivot_root",)),
    Operation("chroot", ("path_chroot",), ("chroot",)),
    Operation(
        "ptrace",
        ("ptrace_access_check", "ptrace_traceme"),
        ("ptrace", "process_vm_readv", "process_vm_writev"),
        also=("ptrace_access_check", "ptrace_traceme"),
    ),
    Operation(
        "load module",
        ("kernel_read_file", "kernel_load_data"),
        ("init_module", "finit_module"),
        also=("kernel_read_file", "kernel_load_data"),
    ),
    Operation("bpf", ("bpf", "bpf_prog", "bpf_map"), ("bpf",)),
    Operation("kexec", ("kernel_load_data", "kernel_read_file"), ("kexec_load", "kexec_file_load")),
    Operation(
        "setuid",
        ("task_fix_setuid",),
        ("setuid", "setreuid", "setresuid", "setfsuid"),
        outside=False,
        bypass=("programs that are set-uid",),
    ),
    Operation(
        "setgid",
        ("task_fix_setgid",),
        ("setgid", "setregid", "setresgid", "setfsgid"),
        outside=False,
        bypass=("programs that are set-gid",),
    ),
    Operation(
        "capset",
        ("capset",),
        ("capset",),
        outside=False,
        bypass=("what an exec gives: to root, to programs that are set-uid or have capabilities",),
    ),
    Operation("create user namespace", ("userns_create",), ("unshare", "clone", "clone3"), outside=False),
    Operation("change namespace", (), ("setns", "unshare", "clone", "clone3"), outside=False),
    Operation("set clock", ("settime",), ("clock_settime", "settimeofday", "adjtimex", "clock_adjtime")),
    Operation("signal", ("task_kill",), ("kill", "tkill", "tgkill", "pidfd_send_signal", "rt_sigqueueinfo")),
    Operation("control device", ("file_ioctl",), ("ioctl",), uring=False, bypass=(_OPEN_FILES,)),
    Operation(
        "connect",
        ("socket_connect",),
        ("connect",),
        uring=True,
        cgroup=("connect4", "connect6"),
        also=("socket_sendmsg",),  # with MSG_FASTOPEN sending connects
        bypass=("sockets that are connected already", _PACKETS),
    ),
    Operation(
        "send",
        ("socket_sendmsg",),
        ("sendto", "sendmsg", "sendmmsg", "write", "writev", "sendfile", "splice"),
        uring=True,
        cgroup=("sendmsg4", "sendmsg6"),
        bypass=(_PACKETS,),
    ),
    Operation("receive", ("socket_recvmsg",), ("recvfrom", "recvmsg", "recvmmsg", "read", "readv"), uring=True),
    Operation("bind", ("socket_bind",), ("bind",), uring=True, cgroup=("bind4", "bind6")),
    Operation("listen", ("socket_listen",), ("listen",), uring=True),
    Operation("accept", ("socket_accept",), ("accept", "accept4"), uring=True),
    Operation("create socket", ("socket_create",), ("socket", "socketpair"), uring=True, cgroup=("sock_create",)),
)  # fmt: skip

OPERATIONS = {row.name: row for row in _ROWS}
BY_LSM: dict[str, Operation] = {}
BY_SYSCALL: dict[str, Operation] = {}
for _row in sorted(_ROWS, key=lambda row: not row.outside):  # of two that share a hook the graver one counts
    for _hook in _row.lsm:
        BY_LSM.setdefault(_hook, _row)
    for _call in _row.syscalls:
        BY_SYSCALL.setdefault(_call, _row)
# The hook is told in an argument which of the two it is.
BY_LSM["file_permission"] = replace(OPERATIONS["write"], name="read or write")
BY_SYSCALL |= {
    "mmap": OPERATIONS["map"], "open": OPERATIONS["open"], "openat": OPERATIONS["open"],
    "openat2": OPERATIONS["open"], "creat": OPERATIONS["open"], "write": OPERATIONS["write"],
    "writev": OPERATIONS["write"], "sendfile": OPERATIONS["write"], "splice": OPERATIONS["write"],
    "copy_file_range": OPERATIONS["write"], "unlinkat": OPERATIONS["unlink"],
    "unshare": OPERATIONS["change namespace"],
}  # fmt: skip
