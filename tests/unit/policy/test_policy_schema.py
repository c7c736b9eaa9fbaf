"""The document model as schemas: what editors and API servers are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml
from click.testing import CliRunner

from lictor.cli.policy_schema import command
from lictor.policy.schema import custom_resources, json_schema


def test_all_words_of_the_format_are_there() -> None:
    parts = json_schema()["$defs"]
    assert len(parts["Argument"]["properties"]["type"]["enum"]) == 52
    assert len(parts["MatchArgs"]["properties"]["operator"]["enum"]) == 36
    assert len(parts["MatchAction"]["properties"]["action"]["enum"]) == 12


def test_references_lead_somewhere_and_objects_are_strict() -> None:
    schema = json_schema()
    for node in nodes(schema):
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"]
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values())


def test_custom_resources_are_structural() -> None:
    cluster, namespaced = custom_resources()
    assert (cluster["metadata"]["name"], namespaced["spec"]["scope"]) == ("tracingpolicies.cilium.io", "Namespaced")
    for resource in (cluster, namespaced):
        root = resource["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert all("$ref" not in node for node in nodes(root))
        for node in schemas(root):
            assert node.get("type"), node


def test_the_rules_of_the_server() -> None:
    root = custom_resources()[1]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = root["properties"]["spec"]
    assert spec["x-kubernetes-validations"][0]["rule"] == "!has(self.hostSelector)"
    probe = spec["properties"]["kprobes"]["items"]
    assert probe["required"] == ["call"]
    assert probe["properties"]["syscall"]["default"] is True
    assert probe["x-kubernetes-validations"][0]["rule"].endswith("has(self.returnArg))")


def test_they_fit_an_annotation_of_kubectl() -> None:
    assert all(len(json.dumps(one)) < 262_144 for one in custom_resources())


def test_the_command() -> None:
    printed = CliRunner().invoke(command, ["--crd"]).output
    assert [one["kind"] for one in yaml.load_all(printed, Loader=yaml.CSafeLoader)] == ["CustomResourceDefinition"] * 2
    assert "*id" not in printed


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from nodes(one)
    elif isinstance(value, list):
        for one in value:
            yield from nodes(one)


def schemas(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    children = [*node.get("properties", {}).values(), node.get("items"), node.get("additionalProperties")]
    for child in children:
        if isinstance(child, dict):
            yield from schemas(child)
