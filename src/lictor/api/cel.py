"""CEL expressions over the messages of events, with the functions for addresses that Kubernetes has.

One variable per kind of event (`process_exec`, `process_kprobe`, …), typed with its message: a name that does not
exist is told of when the expression is compiled. Addresses and networks are messages inside of CEL, since the library
carries no foreign values; nobody else sees them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import cache
from typing import Any

from cel_expr_python import cel
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from lictor import log
from lictor.api.pb.tetragon import events_pb2
from lictor.errors import LictorError
from lictor.model.event import Event
from lictor.pipeline.filters import Predicate

_log = log.get("api")
_EVENTS = events_pb2.GetEventsResponse.DESCRIPTOR.oneofs_by_name["event"].fields
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Expressions:
    """Compiles expressions. `encode` makes the message of an event; `failed` counts those that could not be judged.

    An expression that fails on an event (a list that is too short, another kind of event) does not hold for it.
    """

    def __init__(self, encode: Callable[[Event], bytes]) -> None:
        self._encode = encode
        self._last: tuple[Event | None, dict[str, Any]] = (None, {})
        self.failed = 0

    def compile(self, text: str) -> Predicate:
        """Raises LictorError for an expression that is wrong, or is no yes or no."""
        try:
            program = _environment().compile(text)
        except RuntimeError as error:
            reason = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
            raise LictorError(
                f"the CEL expression {text!r} is not valid: {reason}", "see the messages of the API"
            ) from error
        kind = program.return_type()
        if kind not in (cel.Type.BOOL, cel.Type.DYN):
            raise LictorError(f"the CEL expression {text!r} gives {kind.name()}, not true or false", "compare it")
        return lambda event: self._holds(program, event)

    def _holds(self, program: cel.Expression, event: Event) -> bool:
        found = program.eval(data=self._variables(event))
        if found.type() == cel.Type.BOOL:
            return bool(found.value())
        self.failed += 1
        return False

    def _variables(self, event: Event) -> dict[str, Any]:
        """The event as variables; kept for the next expression that asks about it."""
        last, variables = self._last
        if last is not event:
            message = events_pb2.GetEventsResponse.FromString(self._encode(event))
            name = message.WhichOneof("event")
            variables = {name: getattr(message, name)} if name else {}
            self._last = (event, variables)
        return variables


@cache
def _environment() -> cel.Env:
    variables = {one.name: cel.Type(one.message_type.full_name) for one in _EVENTS if one.message_type is not None}
    return cel.NewEnv(
        descriptor_pool.Default(), variables=variables, extensions=[cel.CelExtension("net", _functions())]
    )


def _message(name: str, *fields: tuple[str, int]) -> Any:
    """A message class of our own: fields with their protobuf types."""
    file = descriptor_pb2.FileDescriptorProto(name=f"lictor/{name.lower()}.proto", package="net", syntax="proto3")
    made = file.message_type.add(name=name)
    for number, (field, kind) in enumerate(fields, 1):
        made.field.add(name=field, number=number, type=kind, label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL)
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"net.{name}"))


_BYTES, _UINT32 = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES, descriptor_pb2.FieldDescriptorProto.TYPE_UINT32
_Ip = _message("IP", ("address", _BYTES))
_Cidr = _message("CIDR", ("address", _BYTES), ("prefix", _UINT32))
_IP, _CIDR = cel.Type("net.IP"), cel.Type("net.CIDR")
_BOOL, _INT, _STRING = cel.Type.BOOL, cel.Type.INT, cel.Type.STRING


def _address(text: str) -> _Address:
    """An address as Kubernetes takes it: no zone, no IPv4 inside of IPv6."""
    found = ipaddress.ip_address(text)
    if isinstance(found, ipaddress.IPv6Address) and (found.scope_id or found.ipv4_mapped):
        raise ValueError(f"{text} is no plain address")
    return found


def _interface(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    if "/" not in text:
        raise ValueError(f"{text} has no prefix length")
    address, _, prefix = text.partition("/")
    _address(address)
    return ipaddress.ip_interface(f"{address}/{int(prefix)}")


def _ip(found: _Address) -> Any:
    return _Ip(address=found.packed)


def _of(message: Any) -> _Address:
    return ipaddress.ip_address(message.address)


def _cidr(text: str) -> Any:
    found = _interface(text)
    return _Cidr(address=found.ip.packed, prefix=found.network.prefixlen)


def _network(message: Any) -> _Network:
    return ipaddress.ip_network((message.address, message.prefix), strict=False)


def _is(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def can(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return can


def _inside(network: _Network, other: _Address) -> bool:
    return network.version == other.version and other in network


def _contains(network: _Network, other: _Network) -> bool:
    return network.version == other.version and other.subnet_of(network)  # type: ignore[arg-type]


def _canonical(text: str) -> bool:
    return str(_address(text)) == text


def _global_unicast(one: _Address) -> bool:
    """As Go has it: neither unspecified, loopback, multicast, link-local nor broadcast; private ones are."""
    return not (
        one.is_unspecified or one.is_loopback or one.is_multicast or one.is_link_local or str(one) == "255.255.255.255"
    )


def _link_local_multicast(one: _Address) -> bool:
    if one.version == 4:
        return one in ipaddress.ip_network("224.0.0.0/24")
    return one.packed[0] == 0xFF and one.packed[1] & 0x0F == 2


# Name, whether it is called on a value, parameters, result, and what it does. Overloads have the same name.
_TABLE: tuple[tuple[str, bool, tuple[cel.Type, ...], cel.Type, Callable[..., Any]], ...] = (
    ("ip", False, (_STRING,), _IP, lambda text: _ip(_address(text))),
    ("isIP", False, (_STRING,), _BOOL, _is(_address)),
    ("ip.isCanonical", False, (_STRING,), _BOOL, _canonical),
    ("string", False, (_IP,), _STRING, lambda one: str(_of(one))),
    ("family", True, (_IP,), _INT, lambda one: _of(one).version),
    ("isUnspecified", True, (_IP,), _BOOL, lambda one: _of(one).is_unspecified),
    ("isLoopback", True, (_IP,), _BOOL, lambda one: _of(one).is_loopback),
    ("isLinkLocalUnicast", True, (_IP,), _BOOL, lambda one: _of(one).is_link_local),
    ("isLinkLocalMulticast", True, (_IP,), _BOOL, lambda one: _link_local_multicast(_of(one))),
    ("isGlobalUnicast", True, (_IP,), _BOOL, lambda one: _global_unicast(_of(one))),
    ("cidr", False, (_STRING,), _CIDR, _cidr),
    ("isCIDR", False, (_STRING,), _BOOL, _is(_interface)),
    ("containsIP", True, (_CIDR, _IP), _BOOL, lambda one, ip: _inside(_network(one), _of(ip))),
    ("containsIP", True, (_CIDR, _STRING), _BOOL, lambda one, text: _inside(_network(one), _address(text))),
    ("containsCIDR", True, (_CIDR, _CIDR), _BOOL, lambda one, other: _contains(_network(one), _network(other))),
    (
        "containsCIDR", True, (_CIDR, _STRING), _BOOL,
        lambda one, text: _contains(_network(one), _interface(text).network),
    ),
    ("ip", True, (_CIDR,), _IP, lambda one: _ip(_of(one))),
    ("masked", True, (_CIDR,), _CIDR, lambda one: _cidr(str(_network(one)))),
    ("prefixLength", True, (_CIDR,), _INT, lambda one: one.prefix),
)  # fmt: skip


def _functions() -> list[cel.FunctionDecl]:
    overloads: dict[str, list[cel.Overload]] = {}
    for name, member, parameters, result, run in _TABLE:
        words = "_".join(one.name().replace(".", "_").lower() for one in parameters)
        found = cel.Overload(
            f"lictor_{name}_{words}_{'member' if member else 'global'}",
            return_type=result,
            parameters=list(parameters),
            is_member=member,
            impl=run,
        )
        overloads.setdefault(name, []).append(found)
    return [cel.FunctionDecl(name, found) for name, found in overloads.items()]
