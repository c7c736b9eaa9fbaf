"""The document model as JSON Schema, for editors, and as the custom resources that a Kubernetes API server takes."""

from __future__ import annotations

from typing import Any

from lictor.policy import document
from lictor.policy.shape import Many, Named, Part, PartOf

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ID = "https://lictor.dev/schema/tracingpolicy.json"


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of a policy file; strict: fields that do not exist are errors."""
    parts: dict[str, type[Part]] = {}
    _collect(document.Policy, parts)
    root = _object(document.Policy, strict=True)
    root["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": document.NAMESPACED}}},
            "then": {"properties": {"spec": {"not": {"required": ["hostSelector"]}}}},
        }
    ]
    definitions = {name: _object(part, strict=True) for name, part in parts.items() if part is not document.Policy}
    return {"$schema": _DIALECT, "$id": _ID, "title": "TracingPolicy", **root, "$defs": definitions}


def _collect(part: type[Part], found: dict[str, type[Part]]) -> None:
    found[part.__name__] = part
    for field in part.FIELDS.values():
        inner = _part_of(field.kind)
        if inner is not None and inner.__name__ not in found:
            _collect(inner, found)


def _part_of(kind: object) -> type[Part] | None:
    while isinstance(kind, (Many, Named)):
        kind = kind.of
    return kind.part if isinstance(kind, PartOf) else None


def _object(part: type[Part], strict: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, field in part.FIELDS.items():
        schema = _pointed(field.kind.schema())
        schema["description"] = field.doc
        if field.shown_default:
            schema["default"] = field.default
        properties[name] = schema
    found: dict[str, Any] = {"type": "object", "description": (part.__doc__ or "").strip(), "properties": properties}
    # A default stands in for a field that is not there.
    required = [name for name, field in part.FIELDS.items() if field.required]
    if required:
        found["required"] = required
    if strict:
        found["additionalProperties"] = False
    return found


def _pointed(schema: dict[str, Any]) -> dict[str, Any]:
    """References as JSON Schema has them."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    if schema.pop("x-kubernetes-preserve-unknown-fields", False):
        return {}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _pointed(schema[key])
    return schema


def custom_resources() -> list[dict[str, Any]]:
    """The CustomResourceDefinitions of both kinds."""
    return [
        _definition(document.CLUSTER, "tracingpolicies", ["tgtp"], "Cluster"),
        _definition(document.NAMESPACED, "tracingpoliciesnamespaced", ["tgtpn"], "Namespaced"),
    ]


def _definition(kind: str, plural: str, short: list[str], scope: str) -> dict[str, Any]:
    group, version = document.API_VERSION.split("/")
    spec = _structural(document.Spec)
    if scope == "Namespaced":
        _rule(spec, "!has(self.hostSelector)", "hostSelector is not possible in a namespace")
    names = {
        "categories": ["tetragon"],
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "shortNames": short,
        "singular": kind.lower(),
    }
    root = {
        "type": "object",
        "description": (document.Policy.__doc__ or "").strip(),
        "required": ["metadata", "spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": names,
            "scope": scope,
            "versions": [{"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": root}}],
        },
    }


def _structural(part: type[Part]) -> dict[str, Any]:
    """As a structural schema has it: everything in place, no references, unknown fields refused by the server."""
    found = _object(part, strict=False)
    for name, field in part.FIELDS.items():
        schema = _inlined(field.kind)
        schema |= {
            key: found["properties"][name][key]
            for key in ("description", "default")
            if key in found["properties"][name]
        }
        found["properties"][name] = schema
    for rule, message in part.RULES:
        _rule(found, rule, message)
    return found


def _inlined(kind: Any) -> dict[str, Any]:
    if isinstance(kind, PartOf):
        return _structural(kind.part)
    schema: dict[str, Any] = kind.schema()
    if isinstance(kind, Many):
        schema["items"] = _inlined(kind.of)
    elif isinstance(kind, Named):
        schema["additionalProperties"] = _inlined(kind.of)
    return schema


def _rule(schema: dict[str, Any], rule: str, message: str) -> None:
    schema.setdefault("x-kubernetes-validations", []).append({"rule": rule, "message": message})
