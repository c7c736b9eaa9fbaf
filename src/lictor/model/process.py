"""What a user sees of a process. Field names, order and presence are those of `tetragon.Process`.

JSON follows protobuf's rules: defaults are left out, 64-bit numbers are strings, and a field that is a
wrapper in protobuf (`pid`, `uid`, …) is `None` when unknown, so that a real 0 is written.
"""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Base of the leaves: immutable, and without its defaults in JSON."""


class Namespace(Value, frozen=True):
    inum: int = 0
    is_host: bool = False


class Namespaces(Value, frozen=True):
    uts: Namespace | None = None
    ipc: Namespace | None = None
    mnt: Namespace | None = None
    pid: Namespace | None = None
    pid_for_children: Namespace | None = None
    net: Namespace | None = None
    time: Namespace | None = None
    time_for_children: Namespace | None = None
    cgroup: Namespace | None = None
    user: Namespace | None = None


class Capabilities(Value, frozen=True):
    """Names as in `tetragon.CapabilitiesType` (catalog.capabilities)."""

    permitted: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()


class UserNamespace(Value, frozen=True):
    level: int | None = None
    uid: int | None = None
    gid: int | None = None
    ns: Namespace | None = None


class ProcessCredentials(Value, frozen=True):
    uid: int | None = None
    gid: int | None = None
    euid: int | None = None
    egid: int | None = None
    suid: int | None = None
    sgid: int | None = None
    fsuid: int | None = None
    fsgid: int | None = None
    securebits: tuple[str, ...] = ()
    caps: Capabilities | None = None
    user_ns: UserNamespace | None = None


class InodeProperties(Value, frozen=True):
    number: str = ""  # uint64: a string in JSON
    links: int | None = None


class FileProperties(Value, frozen=True):
    inode: InodeProperties | None = None
    path: str = ""


class BinaryProperties(Value, frozen=True):
    """Set where the executable raised privileges, or no longer has a name (memfd, deleted)."""

    setuid: int | None = None
    setgid: int | None = None
    privileges_changed: tuple[str, ...] = ()
    file: FileProperties | None = None


class Image(Value, frozen=True):
    id: str = ""
    name: str = ""


class SecurityContext(Value, frozen=True):
    privileged: bool = False


class Container(Value, frozen=True):
    id: str = ""
    name: str = ""
    image: Image | None = None
    start_time: str = ""
    pid: int | None = None
    maybe_exec_probe: bool = False
    security_context: SecurityContext | None = None


class Pod(Value, frozen=True):
    namespace: str = ""
    name: str = ""
    uid: str = ""
    container: Container | None = None
    pod_labels: dict[str, str] = {}
    workload: str = ""
    workload_kind: str = ""
    pod_annotations: dict[str, str] = {}


class UserRecord(Value, frozen=True):
    name: str = ""


class EnvVar(Value, frozen=True, rename={"key": "Key", "value": "Value"}):
    key: str = ""
    value: str = ""


class Process(Value, frozen=True):
    """`start_time` is RFC 3339; `docker` the first 31 characters of the container id; `auid` the login uid."""

    exec_id: str = ""
    pid: int | None = None
    uid: int | None = None
    cwd: str = ""
    binary: str = ""
    arguments: str = ""
    flags: str = ""
    start_time: str = ""
    auid: int | None = None
    pod: Pod | None = None
    docker: str = ""
    parent_exec_id: str = ""
    refcnt: int = 0
    cap: Capabilities | None = None
    ns: Namespaces | None = None
    tid: int | None = None
    process_credentials: ProcessCredentials | None = None
    binary_properties: BinaryProperties | None = None
    user: UserRecord | None = None
    in_init_tree: bool | None = None
    environment_variables: tuple[EnvVar, ...] = ()


class ProcessExtra(Value, frozen=True):
    """What Lictor adds about a process: the `lictor.process` object of an event (docs/reference/events.md)."""

    executable: str = ""  # resolved path of what runs, where `binary` (the name asked for) is another
    cgroup: str = ""  # path from the root of its hierarchy
    cgroup_id: str = ""  # uint64
    container_id: str = ""  # whole
    session_id: int = 0
    tty: str = ""  # "pts/0", "ttyS1"; empty without one
    truncated_bytes: int = 0  # of arguments and environment, beyond the limit or for want of room
    argv: tuple[str, ...] = ()  # only where `arguments` cannot be split back without doubt
