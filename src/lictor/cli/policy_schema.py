"""`lictor policy schema`: the document model as JSON Schema or as Kubernetes custom resources."""

from __future__ import annotations

import click
import msgspec
import yaml

from lictor.cli.options import examples
from lictor.policy import schema


@click.command(
    help=examples(
        "Print the JSON Schema of policies (for editors), or the custom resources (for Kubernetes).",
        "lictor policy schema > tracingpolicy.schema.json",
        "lictor policy schema --crd > crds.yaml",
    )
)
@click.option("--crd", is_flag=True, help="The CustomResourceDefinitions, as YAML.")
def command(crd: bool) -> None:
    if crd:
        click.echo(yaml.dump_all(schema.custom_resources(), Dumper=_Plain, sort_keys=False, width=120), nl=False)
    else:
        click.echo(msgspec.json.format(msgspec.json.encode(schema.json_schema()), indent=2))


class _Plain(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Without anchors: they are hard to read, and some tools do not know them."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 (PyYAML's signature)
        return True
