"""The agent that a command talks to: its address, how the connection is secured, and one question to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from lictor.daemon.settings import DEFAULTS, SERVER_ADDRESS
from lictor.errors import LictorError

if TYPE_CHECKING:
    from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Remote:
    """`tls`: ca, certificate, key, server name and whether to verify; None: not encrypted."""

    address: str
    timeout: float
    tls: tuple[str, str, str, str, bool] | None = None


def remote_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of the connection; `take_remote` takes their values from those of the command."""
    for option in reversed(
        (
            click.option(
                "--server-address",
                envvar="LICTOR_SERVER_ADDRESS",
                help="The agent: unix:///path or host:port. Default: where the agent's info file says, else "
                f"{SERVER_ADDRESS}.",
            ),
            click.option("--timeout", type=float, default=30.0, show_default=True, help="Seconds for one question."),
            click.option("--tls-ca-cert-file", default="", help="Authorities of the agent's certificate, PEM."),
            click.option("--tls-cert-file", default="", help="Certificate to show to the agent, PEM."),
            click.option("--tls-key-file", default="", help="Its key, PEM."),
            click.option("--tls-server-name", default="", help="Name in the agent's certificate, if not the host's."),
            click.option("--tls-skip-verify", is_flag=True, help="Believe any certificate of the agent."),
        )
    ):
        command = option(command)
    return command


def take_remote(values: dict[str, Any]) -> Remote:
    """The agent that the options name. Their values are gone from `values` then."""
    address = values.pop("server_address") or _announced()
    timeout = values.pop("timeout")
    ca, cert, key, name, skip = (
        values.pop(option)
        for option in ("tls_ca_cert_file", "tls_cert_file", "tls_key_file", "tls_server_name", "tls_skip_verify")
    )
    tls = (ca, cert, key, name, not skip) if any((ca, cert, key, name, skip)) else None
    return Remote(address, timeout, tls)


def _announced() -> str:
    """Where the agent of this machine says it is."""
    try:
        with open(DEFAULTS["info_file"], encoding="utf-8") as file:
            found = json.load(file).get("server_address")
    except (OSError, ValueError, AttributeError):
        found = None
    return found if isinstance(found, str) and found else SERVER_ADDRESS


def ask(remote: Remote, questions: Sequence[tuple[str, Message, Any]]) -> list[Any]:
    """The answers to some questions, each a method, a request and the class of the answer."""
    from lictor.api import client

    async def run() -> list[Any]:
        async with client.connect(remote.address, remote.tls) as channel:
            return [await client.call(channel, method, request, kind) for method, request, kind in questions]

    async def within() -> list[Any]:
        try:
            return await asyncio.wait_for(run(), remote.timeout)
        except TimeoutError:
            raise LictorError(
                f"the agent at {remote.address} did not answer within {remote.timeout:g} s", "raise --timeout"
            ) from None

    return asyncio.run(within())


def ask_one(remote: Remote, method: str, request: Message, kind: Any) -> Any:
    return ask(remote, [(method, request, kind)])[0]


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `-o text|json`."""
    return click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)(
        command
    )


def show_json(value: Any) -> None:
    """A value, or a message in protobuf's JSON form, for programs."""
    if hasattr(value, "DESCRIPTOR"):
        from google.protobuf.json_format import MessageToDict

        value = MessageToDict(value, preserving_proto_field_name=True)
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
