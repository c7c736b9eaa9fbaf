#!/usr/bin/env python3
"""Generates the Python modules of the gRPC API from its .proto files; `--check` says whether they still agree.

The modules are kept in the tree, so that an installation needs no protobuf compiler. Their imports are moved below
`lictor.api.pb`: a top-level package `tetragon` would be somebody else's name.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

API = Path(__file__).parents[1] / "src" / "lictor" / "api"
PROTOS = API / "proto"
TARGET = API / "pb"
FILES = sorted(path.relative_to(PROTOS) for path in PROTOS.rglob("*.proto"))
WELL_KNOWN = Path(protoc.__file__).parent / "_proto"
_IMPORT = re.compile(r"^(from|import) tetragon\b", re.MULTILINE)


def compile_protos(*outputs: str) -> None:
    """Run the protobuf compiler over every file of the API."""
    code = protoc.main(["protoc", f"-I{PROTOS}", f"-I{WELL_KNOWN}", *outputs, *map(str, FILES)])
    if code:
        sys.exit("the .proto files do not compile")


def generate() -> None:
    """Write the modules and their type stubs anew."""
    compile_protos(f"--python_out={TARGET}", f"--mypy_out={TARGET}")
    for module in (TARGET / "tetragon").glob("*_pb2.py*"):
        text = _IMPORT.sub(r"\1 lictor.api.pb.tetragon", module.read_text())
        module.write_text(re.sub(r"\btetragon\.(\w+_pb2)\b", r"lictor.api.pb.tetragon.\1", text))


def check() -> list[str]:
    """The files whose module describes something else than the .proto. Compares meaning, not the compiler's version."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "set"
        compile_protos(f"--descriptor_set_out={out}")
        wanted = FileDescriptorSet.FromString(out.read_bytes()).file
    return [one.name for one in wanted if _generated(one.name) != _level(one)]


def _generated(name: str) -> FileDescriptorProto:
    module = importlib.import_module("lictor.api.pb." + name.removesuffix(".proto").replace("/", ".") + "_pb2")
    found = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(found)
    return _level(found)


def _level(described: FileDescriptorProto) -> FileDescriptorProto:
    """Without the derived `json_name`, which only one of the two forms spells out."""
    messages = list(described.message_type)
    while messages:
        message = messages.pop()
        messages += message.nested_type
        for field in message.field:
            field.ClearField("json_name")
    return described


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 when something differs")
    if not parser.parse_args().check:
        generate()
        return
    stale = check()
    if stale:
        sys.exit(f"out of date: {', '.join(stale)}; run python tools/gen_protos.py")


if __name__ == "__main__":
    main()
