"""TLS for the API's TCP addresses, with certificates that are followed when their files change."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from lictor import log
from lictor.errors import LictorError

_log = log.get("api")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. `client_ca`: whose client certificates are believed; `require_client`: nobody comes in without."""

    cert: str
    key: str
    client_ca: tuple[str, ...] = ()
    require_client: bool = False

    def check(self) -> None:
        """Raises LictorError for files that do not go together."""
        if bool(self.cert) != bool(self.key):
            given, other = ("certificate", "key") if self.cert else ("key", "certificate")
            raise LictorError(
                f"there is a TLS {given} without a {other}", "give both server-tls-cert-file and server-tls-key-file"
            )
        if self.require_client and not self.client_ca:
            raise LictorError("client certificates are required, but no CA for them is named", _CA)
        if (self.client_ca or self.require_client) and not self.cert:
            raise LictorError("client certificates need TLS", "give server-tls-cert-file and server-tls-key-file")


_CA = "give server-tls-client-ca-files"


class Tls:
    """One context for all addresses. `refresh` takes over files that changed; connections that stand keep theirs."""

    def __init__(self, files: TlsFiles) -> None:
        files.check()
        self._files = files
        self._seen = self._stamps()
        self.context = _context(files)

    def refresh(self) -> bool:
        """Whether something changed. Files that cannot be used leave everything as it is, and are logged."""
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        try:
            _context(self._files)  # all of them, before the first is taken over
            _load(self.context, self._files)
        except LictorError as error:
            _log.error("the TLS files changed and cannot be used; the old ones stay: %s", error)
            return False
        _log.info("the TLS files changed and are in use")
        return True

    def _stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(name) for name in (self._files.cert, self._files.key, *self._files.client_ca))


def _stamp(name: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["h2"])
    if files.client_ca:
        context.verify_mode = ssl.CERT_REQUIRED if files.require_client else ssl.CERT_OPTIONAL
    _load(context, files)
    return context


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    try:
        context.load_cert_chain(files.cert, files.key)
        for name in files.client_ca:
            context.load_verify_locations(name)
    except OSError as error:  # ssl.SSLError is one
        raise LictorError(
            f"the TLS files {', '.join((files.cert, files.key, *files.client_ca))} cannot be used: {error}",
            "they must be readable PEM files, and the key must be the certificate's",
        ) from error


def client_context(ca: str, cert: str, key: str, verify: bool = True) -> ssl.SSLContext:
    """For the command line. `ca` empty: the system's authorities."""
    try:
        context = ssl.create_default_context(cafile=ca or None)
        if cert:
            context.load_cert_chain(cert, key or cert)
    except OSError as error:
        missing = next((name for name in (ca, cert, key) if name and not Path(name).exists()), "")
        raise LictorError(
            f"the TLS files cannot be used: {error}{f' ({missing})' if missing else ''}", "name readable PEM files"
        ) from error
    context.set_alpn_protocols(["h2"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
