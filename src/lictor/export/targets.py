"""Where `export-to` can lead: URLs such as `syslog+tls://logs:6514?format=cef`, checked when the agent starts.

Secrets are never in a URL, which every user of the machine can read: options name the files that hold them.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from lictor.errors import LictorError

FORMATS = ("json", "ecs", "ocsf", "cef")


class Scheme(NamedTuple):
    """`place` is what follows the scheme: path, host or hosts; `topic` says what the path behind a host means."""

    form: str
    meaning: str
    place: str
    port: int = 0
    topic: str = ""
    options: tuple[str, ...] = ()
    library: str = ""  # an extra of the package


COMMON_OPTIONS = {
    "format": f"{', '.join(FORMATS)}; default json",
    "spool": "most bytes that wait on disk, such as 512M; default: `export-spool-size`",
}
OPTIONS = COMMON_OPTIONS | {
    "ca": "file with the certificates to trust; default: those of the system",
    "cert": "file with our own certificate",
    "key": "file with its key",
    "token-file": "file with a bearer token",
    "user": "name to log in with",
    "password-file": "file with its password",
    "facility": "syslog facility as a number; default 13, log audit",
}
_TLS = ("ca", "cert", "key")
_LOGIN = ("user", "password-file")

SCHEMES: dict[str, Scheme] = {
    "stdout": Scheme("stdout:", "standard output of the agent", ""),
    "unix": Scheme("unix:///path", "a listening unix socket, one line per event", "path"),
    "fifo": Scheme("fifo:///path", "a named pipe, one line per event", "path"),
    "syslog+tcp": Scheme("syslog+tcp://host:514", "RFC 5424 over TCP, octet-counted", "host", 514, "", ("facility",)),
    "syslog+tls": Scheme(
        "syslog+tls://host:6514", "RFC 5424 over TLS (RFC 5425)", "host", 6514, "", ("facility", *_TLS)
    ),
    "http": Scheme("http://host/path", "POST of JSON lines", "host", 80, "path", ("token-file", *_LOGIN)),
    "https": Scheme("https://host/path", "POST of JSON lines", "host", 443, "path", ("token-file", *_LOGIN, *_TLS)),
    "nats": Scheme("nats://host:4222/subject", "NATS: the server has it", "host", 4222, "subject", _LOGIN, "nats"),
    "nats+js": Scheme(
        "nats+js://host:4222/subject", "NATS JetStream: a stream has stored it", "host", 4222, "subject", _LOGIN, "nats"
    ),
    "nats+tls": Scheme(
        "nats+tls://host:4222/subject", "NATS over TLS", "host", 4222, "subject", (*_TLS, *_LOGIN), "nats"
    ),
    "nats+js+tls": Scheme(
        "nats+js+tls://host:4222/subject", "JetStream over TLS", "host", 4222, "subject", (*_TLS, *_LOGIN), "nats"
    ),
    "otlp": Scheme("otlp://host:4318/v1/logs", "OTLP logs over HTTP", "host", 4318, "path", ("token-file",), "otlp"),
    "otlp+tls": Scheme(
        "otlp+tls://host:4318/v1/logs", "the same over TLS", "host", 4318, "path", ("token-file", *_TLS), "otlp"
    ),
    "otlp+grpc": Scheme("otlp+grpc://host:4317", "OTLP logs over gRPC", "host", 4317, "", ("token-file",), "otlp"),
    "otlp+grpc+tls": Scheme(
        "otlp+grpc+tls://host:4317", "the same over TLS", "host", 4317, "", ("token-file", *_TLS), "otlp"
    ),
    "kafka": Scheme(
        "kafka://host:9092,host:9092/topic", "the Kafka protocol, all replicas", "hosts", 9092, "topic", (), "kafka"
    ),
    "kafka+tls": Scheme(
        "kafka+tls://host:9093/topic", "the same over TLS", "hosts", 9093, "topic", (*_TLS, *_LOGIN), "kafka"
    ),
}


@dataclass(frozen=True, slots=True)
class Target:
    """One export, as `url` has it.

    `hosts` has (name, port); `path` is a file's, or what stands behind the host without its slash.
    """

    url: str
    scheme: str
    hosts: tuple[tuple[str, int], ...]
    path: str
    options: Mapping[str, str]

    @property
    def name(self) -> str:
        """What logs, metrics and gap records call it."""
        if not SCHEMES[self.scheme].place:
            return self.scheme
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        slash = "/" if self.hosts and self.path else ""
        return f"{self.scheme}://{hosts}{slash}{self.path}"

    @property
    def directory(self) -> str:
        """The name of its spool: the same after a restart, whatever its options are."""
        readable = re.sub(r"\W+", "-", self.name).strip("-")[-40:].strip("-")
        return f"{readable}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"

    @property
    def format(self) -> str:
        return self.options.get("format", "json")

    @property
    def spool_bytes(self) -> int:
        """Its own limit, 0 for none."""
        size = self.options.get("spool", "0").lower()
        shift = {"k": 10, "m": 20, "g": 30}.get(size[-1], 0)
        return int(size.rstrip("kmg")) << shift

    @property
    def host(self) -> str:
        return self.hosts[0][0]

    @property
    def port(self) -> int:
        return self.hosts[0][1]


def parse(url: str) -> Target:
    """The target of a URL. Raises LictorError with what it should be."""
    name, colon, rest = url.partition(":")
    scheme = SCHEMES.get(name)
    if scheme is None or not colon:
        near = difflib.get_close_matches(name, SCHEMES, n=1, cutoff=0.5)
        hint = f"did you mean {SCHEMES[near[0]].form}?" if near else f"use one of {', '.join(SCHEMES)}"
        raise LictorError(f"export-to: {_shown(url)} leads nowhere", hint)
    try:
        parts = urlsplit("x:" + rest)
        place = parts.netloc
        hosts = _hosts(place, scheme) if scheme.place.startswith("host") else ()
    except ValueError as error:
        raise LictorError(f"export-to: {_shown(url)} cannot be read: {error}", f"write {scheme.form}") from error
    if "@" in place:
        raise LictorError(f"export-to: {_shown(url)} has a name or password in it", "use the option password-file")
    path = unquote(parts.path)
    if scheme.place.startswith("host"):
        path = path.lstrip("/")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if (
        parts.fragment
        or (scheme.place == "path" and (place or not path.startswith("/")))
        or (scheme.place == "" and (place or path))
        or (scheme.place.startswith("host") and (not hosts or (scheme.topic in ("subject", "topic") and not path)))
    ):
        raise LictorError(f"export-to: {_shown(url)} is not complete", f"write {scheme.form}")
    _check_options(url, options, (*COMMON_OPTIONS, *scheme.options))
    return Target(url, name, hosts, path, options)


def parse_all(urls: Sequence[str]) -> list[Target]:
    """The targets of `export-to`. Raises LictorError also for one that is there twice."""
    targets = [parse(url) for url in urls]
    for at, one in enumerate(targets):
        if one.name in {other.name for other in targets[:at]}:
            raise LictorError(f"export-to has {one.name} twice", "name each target once")
    return targets


def _hosts(place: str, scheme: Scheme) -> tuple[tuple[str, int], ...]:
    found = []
    for one in place.rpartition("@")[2].split(",") if scheme.place == "hosts" else [place]:
        parts = urlsplit("//" + one)
        if not parts.hostname:
            return ()
        found.append((parts.hostname, parts.port or scheme.port))
    return tuple(found)


def _check_options(url: str, options: Mapping[str, str], known: Sequence[str]) -> None:
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise LictorError(f"export-to: {_shown(url)} has no option {name}", hint)
    if options.get("format", "json") not in FORMATS:
        raise LictorError(f"export-to: {_shown(url)} wants the format {options['format']}", f"use {', '.join(FORMATS)}")
    if not re.fullmatch(r"\d+[kKmMgG]?", options.get("spool", "1")):
        raise LictorError(f"export-to: {_shown(url)}: spool is {options['spool']}", "write a size such as 512M")
    facility = options.get("facility", "13")
    if not facility.isdigit() or int(facility) > 23:
        raise LictorError(f"export-to: {_shown(url)}: facility is {facility}", "it must be a number from 0 to 23")
    for one, other in (("cert", "key"), ("key", "cert"), ("user", "password-file"), ("password-file", "user")):
        if one in options and other not in options:
            raise LictorError(f"export-to: {_shown(url)} has {one} without {other}", "give both")


def _shown(url: str) -> str:
    """Without what might be a password: messages end up in logs."""
    return re.sub(r"//[^/]*@", "//…@", url)
