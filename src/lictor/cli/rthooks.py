"""`lictor rthooks`: what container runtimes tell the agent; `create-container` says it by hand."""

from __future__ import annotations

from typing import Any

import click

from lictor.cli.lazy import lazy
from lictor.cli.options import examples
from lictor.cli.remote import ask_one, remote_options, take_remote
from lictor.errors import LictorError

_FIELDS = {
    "container_id": "containerID",
    "root_dir": "rootDir",
    "cgroup": "cgroupsPath",
    "name": "containerName",
    "image": "containerImage",
    "pod": "podName",
    "pod_uid": "podUID",
    "namespace": "podNamespace",
}


COMMANDS = {
    "create-container": ("rthooks", "Announce a container that is about to be created, by hand."),
    "oci": ("rthooks_oci", "Be a hook of an OCI runtime."),
}


@click.group(
    cls=lazy(COMMANDS),
    help=examples(
        "Tell the agent of a container before its first process runs.",
        "lictor rthooks create-container --container-id 0a1b2c --cgroup /machine/web --name web",
        "lictor rthooks oci --print-config",
    ),
)
def command() -> None:
    pass


@click.command(
    help=examples(
        "Announce a container that is about to be created.",
        "lictor rthooks create-container --container-id 0a1b2c --cgroup /machine/web --name web",
    )
)
@click.option("--container-id", help="Its id.")
@click.option("--root-dir", help="Its root directory.")
@click.option("--cgroup", help="Its cgroup: a path, or slice:prefix:name.")
@click.option("--name", help="Its name.")
@click.option("--image", help="Its image.")
@click.option("--pod", help="The pod it belongs to.")
@click.option("--pod-uid", help="The pod's uid.")
@click.option("-n", "--namespace", help="The pod's namespace.")
@click.option("--annotations", multiple=True, metavar="KEY=VALUE", help="An annotation; may be repeated.")
@remote_options
def create_container_command(annotations: tuple[str, ...], **options: Any) -> None:
    from lictor.api.pb.tetragon import tetragon_pb2 as pb

    remote = take_remote(options)
    request = pb.RuntimeHookRequest()
    message = request.createContainer
    message.SetInParent()
    for option, field in _FIELDS.items():
        if options[option]:
            setattr(message, field, options[option])
    for one in annotations:
        key, found, value = one.partition("=")
        if not found or not key:
            raise LictorError(f"{one!r} is no annotation", "write KEY=VALUE")
        message.annotations[key] = value
    ask_one(remote, "RuntimeHook", request, pb.RuntimeHookResponse)
