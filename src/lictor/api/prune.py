"""Field filters on messages: see pipeline/fields.py."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from lictor.api.pb.tetragon import events_pb2
from lictor.pipeline.fields import Pruning, Tree


def pruned(encoded: bytes, pruning: Pruning) -> bytes:
    """A `GetEventsResponse` without the fields of its event that are not wanted."""
    response = events_pb2.GetEventsResponse.FromString(encoded)
    name = response.WhichOneof("event")
    if name is None:
        return encoded
    for include, tree in pruning.trees:
        _prune(getattr(response, name), tree, include)
    made: bytes = response.SerializeToString()
    return made


def _prune(message: Any, tree: Tree, include: bool) -> None:
    for field, value in message.ListFields():
        below = tree.below.get(field.name)
        if below is None or below.whole:
            if include is (below is None):
                message.ClearField(field.name)
        else:
            _inside(field, value, below, include)


def _inside(field: FieldDescriptor, value: Any, tree: Tree, include: bool) -> None:
    if field.message_type is None:
        return
    if field.message_type.GetOptions().map_entry:
        for key in tuple(value):
            if (key in tree.below) is not include:
                del value[key]
    elif field.is_repeated:
        for one in value:
            _prune(one, tree, include)
    else:
        _prune(value, tree, include)
