"""`lictor rthooks oci`: a hook for OCI runtimes, that tells the agent of a container and never holds it up for long."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lictor.cli.options import examples
from lictor.cli.remote import Remote, ask_one, remote_options, take_remote
from lictor.errors import LictorError

if TYPE_CHECKING:
    from lictor.api.pb.tetragon import tetragon_pb2

_LONGEST = 4 << 20  # bytes of the state, and of config.json
HOOK = {"path": "/usr/bin/lictor", "args": ["lictor", "rthooks", "oci"], "timeout": 3}
_IN_FULL = json.dumps({"hooks": {"createRuntime": [HOOK]}})


@click.command(
    help=examples(
        "Be a hook of an OCI runtime (`createRuntime`): read the container's state from standard input and its "
        "config.json from the bundle, and tell the agent, so that the first process already shows its container and "
        "pod. When that fails, or takes longer than --within, the container starts all the same.",
        'echo \'{"id": "web", "bundle": "/run/containers/web"}\' | lictor rthooks oci',
        "lictor rthooks oci --print-config",
    )
)
@click.option("--within", type=click.FloatRange(0.1, 60), default=2.0, show_default=True, help="Seconds at most.")
@click.option("--fail-closed", is_flag=True, help="Refuse the container when the agent could not be told.")
@click.option("--print-config", is_flag=True, help="Print what belongs into config.json, and do nothing.")
@remote_options
def command(within: float, fail_closed: bool, print_config: bool, **options: Any) -> None:
    if print_config:
        click.echo(_IN_FULL)
        return
    remote = take_remote(options)
    _end_after(within, fail_closed)
    try:
        _announce(remote)
    except LictorError as error:
        if fail_closed:
            raise
        click.echo(f"lictor: the container starts without being announced: {error}", err=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _announce(remote: Remote) -> None:
    from lictor.api.pb.tetragon import tetragon_pb2 as pb

    state = _object(sys.stdin.buffer.read(_LONGEST), "the container's state on standard input")
    request = pb.RuntimeHookRequest(createContainer=creation(state))
    ask_one(remote, "RuntimeHook", request, pb.RuntimeHookResponse)


def creation(state: dict[str, Any]) -> tetragon_pb2.CreateContainer:
    """What a state (OCI runtime specification) and the bundle that it names say. Raises LictorError."""
    from lictor.api.pb.tetragon import tetragon_pb2 as pb

    identity, bundle = state.get("id"), state.get("bundle")
    if not isinstance(identity, str) or not isinstance(bundle, str) or not identity or not bundle:
        raise LictorError("the container's state names no id or no bundle", "give what the OCI runtime gives its hooks")
    path = Path(bundle, "config.json")
    try:
        with path.open("rb") as file:
            config = _object(file.read(_LONGEST), str(path))
    except OSError as error:
        raise LictorError(f"{path} cannot be read: {error.strerror}", "run it where the runtime runs") from error
    message = pb.CreateContainer(containerID=identity)
    message.cgroupsPath = _text(config, "linux", "cgroupsPath")
    if root := _text(config, "root", "path"):
        message.rootDir = os.path.normpath(os.path.join(bundle, root))
    for source in (config, state):
        annotations = source.get("annotations") or {}
        if not isinstance(annotations, dict):
            raise LictorError("the annotations are no JSON object", "give what the OCI runtime gives its hooks")
        for key, value in annotations.items():
            message.annotations[str(key)] = str(value)
    return message


def _text(config: dict[str, Any], part: str, name: str) -> str:
    found = config.get(part)
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, str) else ""


def _object(text: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise LictorError(f"{where} is no JSON: {error}", "give what the OCI runtime gives its hooks") from error
    if not isinstance(found, dict):
        raise LictorError(f"{where} is no JSON object", "give what the OCI runtime gives its hooks")
    return found


def _end_after(seconds: float, fail_closed: bool) -> None:
    """Whatever hangs then, a pipe that nobody closes or an agent that does not answer: the container waits for us."""

    def end(*_: object) -> None:
        os.write(2, f"lictor: the agent could not be told within {seconds:g} s\n".encode())
        os._exit(1 if fail_closed else 0)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
