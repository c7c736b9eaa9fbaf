"""`lictor bugreport`: one file with what a maintainer needs. Events are not in it, and secrets are taken out."""

from __future__ import annotations

import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lictor import __version__
from lictor.cli import info
from lictor.cli.policy_list import policies
from lictor.cli.remote import remote_options, take_remote
from lictor.daemon.settings import DEFAULTS
from lictor.errors import LictorError

_SECRET = re.compile(
    r"(?i)((?:password|passwd|secret|token|api[-_]?key|authorization)[\"']?\s*[:=]\s*)(\"[^\"]*\"|\S+)"
)
_URL = re.compile(r"(://[^/\s:@]+:)[^@\s]+(@)")
_LOG_LINES = "2000"
_MOST = 4 << 20  # bytes of one part


@click.command(
    help="Collect what a maintainer needs into one file: versions, settings, what the kernel can do, policies and "
    "their states, the agent's log and its use of memory. Events and command lines are not in it; passwords and "
    "tokens in settings and log are taken out. Look through it before you give it away.\n\n\b\nExamples:\n"
    "  lictor bugreport\n  lictor bugreport -o /tmp/report.tar.gz"
)
@click.option("-o", "--output", default="lictor-bugreport.tar.gz", show_default=True, help="The file to write.")
@remote_options
def command(output: str, **options: Any) -> None:
    remote = dict(options)
    told = _told(dict(options))
    parts: dict[str, Callable[[], str]] = {
        "version.txt": _version,
        "machine.txt": _machine,
        "info.json": lambda: _json(info.as_object(take_remote(dict(remote)))),
        "policies.json": lambda: _policies(dict(remote)),
        "probe.json": lambda: _run("lictor", "probe", "--json"),
        "config.yaml": lambda: _run("lictor", "config", "show", "--origin"),
        "metrics.txt": lambda: _metrics(told),
        "agent/status.txt": lambda: _of_agent(told, "status"),
        "agent/limits.txt": lambda: _of_agent(told, "limits"),
        "agent/smaps_rollup.txt": lambda: _of_agent(told, "smaps_rollup"),
        "agent/cgroup.txt": lambda: _of_agent(told, "cgroup"),
        "agent/bpf.txt": lambda: _bpf(told),
        "log.txt": lambda: _run("journalctl", "--no-pager", "-u", "lictor", "-n", _LOG_LINES),
    }
    failed = _write(output, parts)
    click.echo(f"{output}: {len(parts) - len(failed)} parts; look through it before you give it away")
    for name, reason in failed.items():
        click.echo(f"  without {name}: {reason}", err=True)


def _write(output: str, parts: dict[str, Callable[[], str]]) -> dict[str, str]:
    """Write the archive; gives the parts that could not be had, and why."""
    failed: dict[str, str] = {}
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LictorError(f"{output} cannot be written: {error.strerror}", "name another file with -o") from error
    with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, collect in parts.items():
            try:
                _add(archive, name, without_secrets(collect()))
            except (LictorError, OSError, subprocess.SubprocessError) as error:
                failed[name] = str(error).partition("\n")[0]
        _add(archive, "missing.json", _json(failed))
    return failed


def without_secrets(text: str) -> str:
    """The text without the values of what looks like a secret."""
    return _URL.sub(r"\1*****\2", _SECRET.sub(r"\1*****", text))


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode(errors="replace")[:_MOST]
    entry = tarfile.TarInfo(f"lictor-bugreport/{name}")
    entry.size = len(data)
    entry.mtime = int(time.time())
    entry.mode = 0o600
    archive.addfile(entry, io.BytesIO(data))


def _version() -> str:
    return f"lictor {__version__}\npython {platform.python_version()}\n"


def _machine() -> str:
    found = [" ".join(os.uname())]
    for path in ("/etc/os-release", "/proc/cmdline", "/sys/kernel/security/lockdown", "/sys/kernel/security/lsm"):
        try:
            found.append(f"# {path}\n{Path(path).read_text(errors='replace').strip()}")
        except OSError as error:
            found.append(f"# {path}: {error.strerror}")
    return "\n".join(found) + "\n"


def _policies(options: dict[str, Any]) -> str:
    from google.protobuf.json_format import MessageToDict

    return _json(MessageToDict(policies("", options), preserving_proto_field_name=True))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _run(*command: str) -> str:
    program = shutil.which(command[0]) or str(Path(sys.executable).parent / command[0])
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def _told(options: dict[str, Any]) -> dict[str, Any]:
    """The settings of the agent that answers; the defaults where none does."""
    try:
        settings: dict[str, Any] = info.as_object(take_remote(options))["settings"]
    except LictorError:
        settings = {}
    return {"pid-file": DEFAULTS["pid_file"], "metrics-server": DEFAULTS["metrics_server"]} | settings


def _metrics(told: dict[str, Any]) -> str:
    where = told["metrics-server"]
    if not where:
        raise LictorError("the agent serves no metrics (metrics-server)")
    host, _, port = where.rpartition(":")
    with urllib.request.urlopen(f"http://{host or 'localhost'}:{port}/metrics", timeout=10) as answer:
        return str(answer.read(_MOST).decode(errors="replace"))


def _pid(told: dict[str, Any]) -> int:
    try:
        return int(Path(told["pid-file"]).read_text())
    except (OSError, ValueError) as error:
        raise LictorError(f"the agent's process is not known ({told['pid-file']})", "start the agent") from error


def _of_agent(told: dict[str, Any], name: str) -> str:
    return Path(f"/proc/{_pid(told)}/{name}").read_text(errors="replace")


def _bpf(told: dict[str, Any]) -> str:
    """The agent's maps, programs and links, as its descriptors show them."""
    found = []
    for entry in sorted(Path(f"/proc/{_pid(told)}/fdinfo").iterdir(), key=lambda path: int(path.name)):
        text = entry.read_text(errors="replace")
        if any(word in text for word in ("map_id:", "prog_id:", "link_id:")):
            found.append(f"# fd {entry.name}\n{text}")
    return "".join(found)
