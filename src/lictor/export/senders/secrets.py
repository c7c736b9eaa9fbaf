"""What a connection needs beside an address: TLS, tokens, passwords; from files, read anew for each connection."""

from __future__ import annotations

import ssl
from pathlib import Path

from lictor.export.senders.base import UnreachableError
from lictor.export.targets import Target


def tls(target: Target) -> ssl.SSLContext:
    """Verifies the receiver; shows our own certificate where there is one. Raises UnreachableError."""
    options = target.options
    try:
        context = ssl.create_default_context(cafile=options.get("ca"))
        if "cert" in options:
            context.load_cert_chain(options["cert"], options["key"])
    except (OSError, ssl.SSLError) as error:
        raise UnreachableError(f"the certificates cannot be read: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def read(target: Target, option: str) -> str:
    """The content of the file an option names; empty without the option. Raises UnreachableError."""
    path = target.options.get(option)
    if path is None:
        return ""
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UnreachableError(f"the file of {option} cannot be read: {error}") from error
