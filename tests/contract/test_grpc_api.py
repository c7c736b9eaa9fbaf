"""The messages, enums and services are those of the Tetragon API (grpc-api.json): names, numbers, types, labels."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, ServiceDescriptor

FACTS = json.loads((Path(__file__).parent / "grpc-api.json").read_text())
TYPES = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


def _modules() -> list[Any]:
    names = [name.removesuffix(".proto").replace("/", ".") for name in FACTS["files"]]
    return [importlib.import_module(f"lictor.api.pb.{name}_pb2") for name in names]


def _messages(found: dict[str, Descriptor]) -> dict[str, Descriptor]:
    everything = {}
    for descriptor in found.values():
        everything[descriptor.full_name] = descriptor
        everything |= _messages(dict(descriptor.nested_types_by_name))
    return everything


MESSAGES: dict[str, Descriptor] = {}
ENUMS: dict[str, EnumDescriptor] = {}
SERVICES: dict[str, ServiceDescriptor] = {}
for module in _modules():
    MESSAGES |= _messages(dict(module.DESCRIPTOR.message_types_by_name))
    ENUMS |= {one.full_name: one for one in module.DESCRIPTOR.enum_types_by_name.values()}
    SERVICES |= {one.full_name: one for one in module.DESCRIPTOR.services_by_name.values()}


def _described(field: FieldDescriptor) -> dict[str, Any]:
    inner = field.message_type or field.enum_type
    facts: dict[str, Any] = {
        "n": field.number,
        "name": field.name,
        "type": inner.full_name if inner else TYPES[field.type],
    }
    if field.is_repeated:
        facts["repeated"] = True
    oneof = field.containing_oneof
    if oneof is not None:
        if oneof.name == f"_{field.name}":
            facts["optional"] = True
        else:
            facts["oneof"] = oneof.name
    if field.GetOptions().deprecated:
        facts["deprecated"] = True
    return facts


def test_nothing_is_missing_and_nothing_is_new() -> None:
    assert set(MESSAGES) == set(FACTS["messages"])
    assert set(ENUMS) == set(FACTS["enums"])
    assert set(SERVICES) == set(FACTS["services"])


@pytest.mark.parametrize("name", FACTS["messages"])
def test_message(name: str) -> None:
    wanted = FACTS["messages"][name]
    descriptor = MESSAGES[name]
    assert bool(wanted.get("map_entry")) == descriptor.GetOptions().map_entry
    by_number = {field["n"]: {k: v for k, v in field.items() if v is not False} for field in wanted["fields"]}
    assert {field.number: _described(field) for field in descriptor.fields} == by_number


@pytest.mark.parametrize("name", FACTS["enums"])
def test_enum(name: str) -> None:
    assert {value.name: value.number for value in ENUMS[name].values} == FACTS["enums"][name]


@pytest.mark.parametrize("name", FACTS["services"])
def test_service(name: str) -> None:
    found = [
        {
            "rpc": method.name,
            "in": method.input_type.full_name,
            "out": method.output_type.full_name,
            "server_streaming": method.server_streaming,
        }
        for method in SERVICES[name].methods
    ]
    assert found == FACTS["services"][name]
