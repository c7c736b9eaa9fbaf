"""A process image under observation, and how its public form is made from a record."""

from __future__ import annotations

from binascii import b2a_base64
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from lictor.catalog.process import capability_names, secure_bit_names
from lictor.clock import WallClock
from lictor.model.forms import Own, ProcessForms, Template, TemplateForms, WholeForms
from lictor.model.process import (
    BinaryProperties,
    Capabilities,
    EnvVar,
    FileProperties,
    InodeProperties,
    Namespace,
    Namespaces,
    Pod,
    Process,
    ProcessCredentials,
    ProcessExtra,
    UserNamespace,
)
from lictor.track import text
from lictor.track.container import short_id
from lictor.track.redact import Redactor
from lictor.wire.records import Common, Credentials, Decoder, ExecFlag, NamespaceInodes, ProcessFlag

Key = tuple[int, int]  # (tgid, ktime): names a process image, as struct process_key does


class Image:
    """One image of one process: from an exec (or a fork, or the scan) to the next exec or the exit.

    `parent` is the image it came from. `depth` counts that chain, so that it can be cut before it grows for ever.
    `forms` of a fork that has not been asked about is made when it is. `flags` are those of `ProcessFlag`.
    `parent_key` says who the parent was where its image is not at hand.
    """

    __slots__ = ("depth", "exited", "flags", "forms", "ktime", "parent", "parent_key", "tgid")

    def __init__(
        self,
        tgid: int,
        ktime: int,
        parent: Image | None,
        flags: int = 0,
        forms: ProcessForms | None = None,
        parent_key: Key | None = None,
    ) -> None:
        self.tgid = tgid
        self.ktime = ktime
        self.parent = parent
        self.flags = flags
        self.forms = forms
        self.parent_key = parent_key
        self.exited = False
        self.depth: int = 0 if parent is None else parent.depth + 1


@dataclass(frozen=True, slots=True)
class Detail:
    """Which parts of a process events carry: what the reference's switches of the same names turn on."""

    node_name: str
    credentials: bool = False  # enable-process-cred
    namespaces: bool = False  # enable-process-ns
    extras: bool = True
    redactor: Redactor | None = None
    environment_names: frozenset[str] = frozenset()  # filter-environment-variables; empty: all


class ImageBuilder:
    """Builds the public forms of images. Keeps what many processes share: credentials, namespaces, names."""

    def __init__(self, decoder: Decoder, clock: WallClock, detail: Detail, host: NamespaceInodes) -> None:
        self.decoder = decoder
        self._clock = clock
        self.detail = detail
        self._host = host
        self._prefix = f"{detail.node_name}:"
        self._credentials = lru_cache(maxsize=4096)(decoder.credentials)
        self._namespaces = lru_cache(maxsize=4096)(lambda packed: self.public_namespaces(decoder.namespaces(packed)))
        self._public_credentials = lru_cache(maxsize=4096)(self._make_credentials)

    def exec_id(self, tgid: int, ktime: int) -> str:
        """Base64 of `node:ktime:tgid`."""
        return b2a_base64(f"{self._prefix}{ktime}:{tgid}".encode(), newline=False).decode()

    def parent_exec_id(self, image: Image) -> str:
        """Empty for a process that has no parent, or none that is known of."""
        if image.parent is not None:
            return self.exec_id(image.parent.tgid, image.parent.ktime)
        return self.exec_id(*image.parent_key) if image.parent_key else ""

    def time(self, boot_ns: int) -> str:
        return self._clock.rfc3339(boot_ns)

    def template(self, common: Common, cgroup: str, container: str, pod: Pod | None = None) -> Template:
        """What all images with this common part show alike."""
        cred = self._credentials(common.cred)
        bits = common.exec_flags
        executable = text.path_text(common.exe)
        if bits & ExecFlag.PATH_DELETED or common.nlink == 0:
            executable += " (deleted)"
        cwd = text.path_text(common.cwd)
        name = text.path_text(common.filename)
        binary = text.binary_path(name, executable, cwd, bool(bits & ExecFlag.INTERPRETED))
        detail = self.detail
        process = Process(
            uid=cred.euid,
            cwd=cwd,
            binary=binary,
            flags=text.exec_flags(bits, common.process_flags, cwd == "/"),
            auid=cred.loginuid,
            pod=pod,
            docker=short_id(container),
            cap=_capabilities(cred) if detail.credentials else None,
            ns=self._namespaces(common.ns) if detail.namespaces else None,
            process_credentials=self._public_credentials(common.cred, common.ns) if detail.credentials else None,
            binary_properties=_binary_properties(common, cred, executable) if detail.credentials else None,
            in_init_tree=bool(common.process_flags & ProcessFlag.IN_INIT_TREE),
        )
        if not detail.extras:
            return Template(process, None)
        extra = ProcessExtra(
            executable=executable if executable != binary else "",
            cgroup=cgroup,
            cgroup_id=str(common.cgroup_id),
            container_id=container,
            session_id=common.session,
            tty=text.tty_name(common.tty),
        )
        return Template(process, extra)

    def forms(
        self,
        template: Template,
        tgid: int,
        ktime: int,
        parent_id: str,
        args: bytes,
        env: bytes,
        cut: bool,
        missing: int,
    ) -> ProcessForms:
        """An image of a template. `cut`: `args` is not all; `missing`: bytes of arguments and environment not here."""
        arguments, argv = self.seen_arguments(template.process.binary, args, cut)
        own = None
        if argv or env or missing:
            own = Own(self._seen_environment(template.process.binary, env), missing, argv)
        stamp = self._clock.rfc3339(ktime)
        return TemplateForms(template, self.exec_id(tgid, ktime), tgid, stamp, parent_id, arguments, own)

    def seen_arguments(self, binary: str, args: bytes, cut: bool = False) -> tuple[str, tuple[str, ...]]:
        """The arguments as they may be seen, and their exact list, as `text.arguments` gives them."""
        arguments, argv = text.arguments(args, cut)
        if self.detail.redactor is None:
            return arguments, argv
        redacted = self.detail.redactor.text(binary, arguments)
        return redacted, argv if redacted == arguments else ()

    def _seen_environment(self, binary: str, env: bytes) -> tuple[EnvVar, ...]:
        found = text.environment(env)
        names = self.detail.environment_names
        if names:
            found = tuple(one for one in found if one.key in names)
        return found if self.detail.redactor is None else self.detail.redactor.environment(binary, found)

    def clone_of(self, image: Image) -> ProcessForms:
        """A fork without exec shares its creator's image and differs in who and when it is."""
        above = image.parent
        forms = above.forms if above else None
        process = forms.process if forms else Process(flags="unknown")
        return WholeForms(
            msgspec.structs.replace(
                process,
                exec_id=self.exec_id(image.tgid, image.ktime),
                pid=image.tgid,
                tid=image.tgid,
                start_time=self._clock.rfc3339(image.ktime),
                parent_exec_id=self.parent_exec_id(image),
                in_init_tree=bool(image.flags & ProcessFlag.IN_INIT_TREE),
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
        cred = self._credentials(packed)
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


def _binary_properties(common: Common, cred: Credentials, executable: str) -> BinaryProperties | None:
    raised = tuple(name for bit, name in _RAISED if common.exec_flags & bit)
    file = None
    if common.nlink == 0:
        file = FileProperties(InodeProperties(str(common.inode), common.nlink), executable)
    if not raised and file is None:
        return None
    return BinaryProperties(
        setuid=cred.euid if common.exec_flags & ExecFlag.RAISED_SETUID else None,
        setgid=cred.egid if common.exec_flags & ExecFlag.RAISED_SETGID else None,
        privileges_changed=raised,
        file=file,
    )
