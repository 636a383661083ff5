"""Typed values as JSON, and back: what a record of a session is made of.

Addresses are text, bytes Base64, dataclasses the list of their fields: one that is added at the
end, with a default, leaves old records readable. The type hints say how a value is read.
"""

import binascii
import types
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from operator import attrgetter
from typing import Any, Union, get_args, get_origin, get_type_hints

from bng.ethernet import Mac

Reader = Callable[[object], Any]
"""Takes what JSON has; raises ValueError when that is no such value."""
ADDRESSES = (IPv4Address, IPv4Network, IPv6Address, IPv6Network)


def pack(value: object) -> object:
    """Return *value* as JSON has it. Raises: TypeError for a type that has no form there."""
    kind: Any = type(value)
    return _packer(kind)(value)


_AS_IT_IS = frozenset((types.NoneType, bool, int, float, str))
_AS_TEXT = frozenset((*ADDRESSES, Mac))


@cache
def _packer(kind: Any) -> Callable[[Any], object]:  # noqa: ANN401 - any type
    """Return what packs values of type *kind*. Raises: TypeError."""
    if kind in _AS_IT_IS:
        return lambda value: value
    if kind in _AS_TEXT:
        return str
    if issubclass(kind, tuple):
        return lambda value: [pack(item) for item in value]
    if is_dataclass(kind):
        names = [field.name for field in fields(kind)]
        return lambda value: [pack(getattr(value, name)) for name in names]
    if issubclass(kind, Enum):
        return lambda value: value.name
    if issubclass(kind, bytes):
        return lambda value: b64encode(value).decode()
    if issubclass(kind, Mapping):
        return lambda value: {key: pack(item) for key, item in value.items()}
    raise TypeError(f"{kind.__name__} in a record")


def pack_fields(value: Any, keys: Mapping[str, str]) -> dict[str, object]:  # noqa: ANN401
    """Return fields of a dataclass by key, without those that have their default.

    *keys* are names of fields by key.
    """
    kind: Any = type(value)
    plan = _PLANS.get((kind, id(keys)))
    if plan is None or plan.keys is not keys:
        plan = _PLANS[kind, id(keys)] = _plan(kind, keys)
    packed = {}
    for key, default, found in zip(keys, plan.defaults, plan.get(value), strict=True):
        if found is default or (
            default is not None and default is not MISSING and found == default
        ):
            continue
        packed[key] = found if type(found) in _AS_IT_IS else pack(found)
    return packed


@dataclass(frozen=True, slots=True)
class _Plan:
    """How fields of a dataclass are packed: all are read at once, every session's many times."""

    keys: Mapping[str, str]
    get: Callable[[object], tuple[object, ...]]
    defaults: tuple[object, ...]


_PLANS: dict[tuple[object, int], _Plan] = {}
"""By dataclass and identity of the keys, which the plan keeps alive."""


def _plan(kind: Any, keys: Mapping[str, str]) -> _Plan:  # noqa: ANN401 - any dataclass
    defaults = defaults_of(kind)
    getter = attrgetter(*keys.values())
    return _Plan(
        keys,
        getter if len(keys) > 1 else lambda value: (getter(value),),
        tuple(defaults.get(name, MISSING) for name in keys.values()),
    )


def unpack_fields(
    readers: Mapping[str, Reader], keys: Mapping[str, str], packed: Mapping[str, object]
) -> dict[str, Any]:
    """Return the fields that `pack_fields` packed; a key that nobody knows is ignored.

    Raises: ValueError.
    """
    return {name: readers[name](packed[key]) for key, name in keys.items() if key in packed}


@cache
def defaults_of(kind: Any) -> dict[str, object]:  # noqa: ANN401 - any dataclass
    """Return the defaults of the fields of a dataclass that have any."""
    found: dict[str, object] = {}
    for field in fields(kind):
        if field.default is not MISSING:
            found[field.name] = field.default
        elif field.default_factory is not MISSING:
            found[field.name] = field.default_factory()
    return found


def readers_of(kind: Any, names: Iterable[str]) -> dict[str, Reader]:  # noqa: ANN401 - a dataclass
    """Return a reader for each of the fields *names* of a dataclass."""
    hints = get_type_hints(kind)
    return {name: reader(hints[name]) for name in names}


def reader(hint: Any) -> Reader:  # noqa: ANN401 - a type hint
    """Return what reads values of a type. Raises: TypeError for one that has no form in JSON."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        inners = [reader(arg) for arg in args if arg is not types.NoneType]
        return _one_of(inners, optional=types.NoneType in args)
    if origin is tuple:
        if args[-1] is Ellipsis:
            return _each(reader(args[0]))
        return _fixed([reader(arg) for arg in args])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(reader(args[1]))
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _member(hint)
    if is_dataclass(hint):
        return _made(hint, [field.name for field in fields(hint)])
    if isinstance(hint, type) and issubclass(hint, tuple):  # a NamedTuple
        return _made(hint, list(hint.__annotations__))
    raise TypeError(f"{hint} in a record")


def _exactly(kind: type, *others: type) -> Reader:
    def read(value: object) -> object:
        if type(value) is kind or type(value) in others:
            return value
        raise ValueError(f"{kind.__name__} expected")

    return read


def _from_text(make: Callable[[str], object]) -> Reader:
    def read(value: object) -> object:
        if type(value) is not str:
            raise ValueError("text expected")
        return make(value)

    return read


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


_SIMPLE: dict[object, Reader] = {
    bool: _exactly(bool),
    int: _exactly(int),
    float: _exactly(float, int),
    str: _exactly(str),
    bytes: _from_text(_bytes),
    Mac: _from_text(Mac.parse),
    **{kind: _from_text(kind) for kind in ADDRESSES},
}


def _items(value: object) -> list[object]:
    if type(value) is not list:
        raise ValueError("list expected")
    return value


def _one_of(inners: list[Reader], *, optional: bool) -> Reader:
    """Return what the first of *inners* makes of a value that takes it: they must not overlap."""

    def read(value: object) -> object:
        if value is None and optional:
            return None
        for inner in inners[:-1]:
            with suppress(ValueError):
                return inner(value)
        return inners[-1](value)

    return read


def _each(inner: Reader) -> Reader:
    return lambda value: tuple([inner(item) for item in _items(value)])


def _fixed(inners: list[Reader]) -> Reader:
    def read(value: object) -> object:
        items = _items(value)
        if len(items) != len(inners):
            raise ValueError(f"{len(inners)} items expected")
        return tuple([inner(item) for inner, item in zip(inners, items, strict=True)])

    return read


def _mapping(inner: Reader) -> Reader:
    def read(value: object) -> object:
        if type(value) is not dict:
            raise ValueError("object expected")
        return {key: inner(item) for key, item in value.items()}

    return read


def _member(kind: type[Enum]) -> Reader:
    def make(name: str) -> object:
        if name not in kind.__members__:
            raise ValueError(f"{name} is no {kind.__name__}")
        return kind[name]

    return _from_text(make)


def _made(kind: Any, names: list[str]) -> Reader:  # noqa: ANN401 - a dataclass or NamedTuple
    pairs = list(readers_of(kind, names).items())

    def read(value: object) -> object:
        items = _items(value)
        try:
            return kind(**{name: read(item) for (name, read), item in zip(pairs, items)})  # noqa: B905
        except TypeError as error:  # too few
            raise ValueError(str(error)) from None

    return read
