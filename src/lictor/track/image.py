"""A process image under observation, and how its public form is made from a record."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from lictor.catalog.process import capability_names, secure_bit_names
from lictor.clock import WallClock
from lictor.model.event import ProcessForms
from lictor.model.process import (
    BinaryProperties,
    Capabilities,
    FileProperties,
    InodeProperties,
    Namespace,
    Namespaces,
    Process,
    ProcessCredentials,
    ProcessExtra,
    UserNamespace,
)
from lictor.track import text
from lictor.track.container import short_id
from lictor.wire.records import Credentials, Decoder, Exec, ExecFlag, Field, NamespaceInodes, ProcessFlag

Key = tuple[int, int]  # (tgid, ktime): names a process image, as struct process_key does


@dataclass(slots=True, eq=False)
class Image:
    """One image of one process: from an exec (or a fork, or the scan) to the next exec or the exit.

    `parent` is the image it came from. `depth` counts that chain, so that it can be cut before it grows for ever.
    `forms` of a fork that has not been asked about is made when it is.
    """

    key: Key
    parent: Image | None
    parent_key: Key | None
    cgroup_id: int = 0
    in_init_tree: bool = False
    kernel_thread: bool = False
    start: int = 0  # boot-clock ns that `start_time` shows
    forms: ProcessForms | None = None
    exited: bool = False
    depth: int = 0
    tombstone: bool = field(default=False)


@dataclass(frozen=True, slots=True)
class Detail:
    """Which parts of a process events carry: what the reference's switches of the same names turn on."""

    node_name: str
    credentials: bool = False  # enable-process-cred
    namespaces: bool = False  # enable-process-ns
    extras: bool = True


class ImageBuilder:
    """Builds the public form of an image. Keeps what many processes share: credentials, namespaces, names."""

    def __init__(self, decoder: Decoder, clock: WallClock, detail: Detail, host: NamespaceInodes) -> None:
        self._clock = clock
        self.detail = detail
        self._host = host
        self._prefix = detail.node_name
        self.credentials = lru_cache(maxsize=4096)(decoder.credentials)
        self._namespaces = lru_cache(maxsize=4096)(lambda packed: self.public_namespaces(decoder.namespaces(packed)))
        self._public_credentials = lru_cache(maxsize=4096)(self._make_credentials)

    def exec_id(self, key: Key) -> str:
        return base64.b64encode(f"{self._prefix}:{key[1]}:{key[0]}".encode()).decode()

    def time(self, boot_ns: int) -> str:
        return self._clock.rfc3339(boot_ns)

    def from_exec(
        self, record: Exec, fields: dict[int, bytes], parent_id: str, cgroup: str, container: str
    ) -> ProcessForms:
        """The image that an exec record describes. `fields` has the bytes of each `Field`."""
        cred = self.credentials(record.cred)
        bits = record.exec_flags
        process_bits = record.process_flags
        executable = text.path_text(fields[Field.EXE])
        if bits & ExecFlag.PATH_DELETED or record.nlink == 0:
            executable += " (deleted)"
        cwd = text.path_text(fields[Field.CWD])
        name = text.path_text(fields[Field.FILENAME])
        binary = text.binary_path(name, executable, cwd, bool(bits & ExecFlag.INTERPRETED))
        raw_args = fields[Field.ARGS]
        cut = bool(bits & ExecFlag.ARGS_TRUNCATED)
        arguments, argv = text.arguments(raw_args, cut)
        key = (record.key_tgid, record.key_ktime)
        detail = self.detail
        process = Process(
            exec_id=self.exec_id(key),
            pid=record.key_tgid,
            uid=cred.euid,
            cwd=cwd,
            binary=binary,
            arguments=arguments,
            flags=text.exec_flags(bits, process_bits, cwd == "/"),
            start_time=self._clock.rfc3339(record.key_ktime),
            auid=cred.loginuid,
            docker=short_id(container),
            parent_exec_id=parent_id,
            cap=_capabilities(cred) if detail.credentials else None,
            ns=self._namespaces(record.ns) if detail.namespaces else None,
            tid=record.key_tgid,
            process_credentials=self._public_credentials(record.cred, record.ns) if detail.credentials else None,
            binary_properties=_binary_properties(record, cred, executable) if detail.credentials else None,
            in_init_tree=bool(process_bits & ProcessFlag.IN_INIT_TREE),
            environment_variables=text.environment(fields[Field.ENV]),
        )
        if not detail.extras:
            return ProcessForms(process)
        missing = record.args_total - len(raw_args)
        if record.env_total:
            missing += record.env_total - len(fields[Field.ENV])
        extra = ProcessExtra(
            executable=executable if executable != binary else "",
            cgroup=cgroup,
            cgroup_id=str(record.cgroup_id),
            container_id=container,
            session_id=record.session,
            tty=text.tty_name(record.tty),
            truncated_bytes=missing,
            argv=argv,
        )
        return ProcessForms(process, extra)

    def clone_of(self, image: Image) -> ProcessForms:
        """A fork without exec shares its creator's image and differs in who and when it is."""
        above = image.parent
        forms = above.forms if above else None
        process = forms.process if forms else Process(flags="unknown")
        return ProcessForms(
            msgspec.structs.replace(
                process,
                exec_id=self.exec_id(image.key),
                pid=image.key[0],
                tid=image.key[0],
                start_time=self._clock.rfc3339(image.start or image.key[1]),
                parent_exec_id=self.exec_id(image.parent_key) if image.parent_key else "",
                in_init_tree=image.in_init_tree,
                flags=_without_clone(process.flags),
                binary_properties=None,
            ),
            forms.extra if forms else None,
        )

    def public_namespaces(self, inodes: NamespaceInodes) -> Namespaces:
        """Each namespace with its inode number, and whether it is the host's."""
        return Namespaces(
            **{
                name: Namespace(inum, inum == getattr(self._host, name)) if inum else None
                for name, inum in inodes._asdict().items()
            }
        )

    def _make_credentials(self, packed: bytes, packed_ns: bytes) -> ProcessCredentials:
        cred = self.credentials(packed)
        ns = self._namespaces(packed_ns)
        return ProcessCredentials(
            uid=cred.uid,
            gid=cred.gid,
            euid=cred.euid,
            egid=cred.egid,
            suid=cred.suid,
            sgid=cred.sgid,
            fsuid=cred.fsuid,
            fsgid=cred.fsgid,
            securebits=secure_bit_names(cred.securebits),
            caps=_capabilities(cred),
            user_ns=UserNamespace(cred.user_ns_level, cred.user_ns_uid, cred.user_ns_gid, ns.user),
        )


@lru_cache(maxsize=4096)
def _capability_sets(permitted: int, effective: int, inheritable: int) -> Capabilities:
    return Capabilities(capability_names(permitted), capability_names(effective), capability_names(inheritable))


def _capabilities(cred: Credentials) -> Capabilities:
    return _capability_sets(cred.permitted, cred.effective, cred.inheritable)


@lru_cache(maxsize=1024)
def _without_clone(flags: str) -> str:
    return " ".join(word for word in flags.split() if word != "clone")


_RAISED = (
    (ExecFlag.RAISED_FILE_CAP, "PRIVILEGES_RAISED_EXEC_FILE_CAP"),
    (ExecFlag.RAISED_SETUID, "PRIVILEGES_RAISED_EXEC_FILE_SETUID"),
    (ExecFlag.RAISED_SETGID, "PRIVILEGES_RAISED_EXEC_FILE_SETGID"),
)


def _binary_properties(record: Exec, cred: Credentials, executable: str) -> BinaryProperties | None:
    raised = tuple(name for bit, name in _RAISED if record.exec_flags & bit)
    file = None
    if record.nlink == 0:
        file = FileProperties(InodeProperties(str(record.inode), record.nlink), executable)
    if not raised and file is None:
        return None
    return BinaryProperties(
        setuid=cred.euid if record.exec_flags & ExecFlag.RAISED_SETUID else None,
        setgid=cred.egid if record.exec_flags & ExecFlag.RAISED_SETGID else None,
        privileges_changed=raised,
        file=file,
    )
