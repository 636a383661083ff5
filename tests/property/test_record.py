"""The record of a session: whatever can be in one comes back from it as it was."""

import types
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from random import Random
from types import SimpleNamespace
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bng.aaa.model import AccessAccept, RatePolicy, SubscriberProfile
from bng.ethernet import AccessLine, Mac
from bng.session import restart
from bng.session.actions import Handle
from bng.session.model import Session

HANDLE = Handle(7, 3, 1)
METHOD: Any = SimpleNamespace(name="pppoe", record=lambda session: {"pppoe": 17})
ANY_LENGTH = restart.MAX_RECORD_BYTES - (1 << 20)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(0, (1 << 64) - 1),
    float: st.floats(0, 1e9),
    str: st.binary(max_size=12).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    bytes: st.binary(max_size=20),
    Mac: st.binary(min_size=6, max_size=6).map(Mac),
    IPv4Address: st.integers(0, 0xFFFF_FFFF).map(IPv4Address),
    IPv4Network: st.builds(
        lambda address, length: IPv4Network((address, length), strict=False),
        st.integers(0, 0xFFFF_FFFF),
        st.integers(0, 32),
    ),
    IPv6Address: st.integers(0, (1 << 128) - 1).map(IPv6Address),
    IPv6Network: st.builds(
        lambda address, length: IPv6Network((address, length), strict=False),
        st.integers(0, (1 << 128) - 1),
        st.integers(0, 128),
    ),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Return what a type has; by its own rules, not those of `bng.session.packing`."""
    origin, args = get_origin(hint), get_args(hint)
    if hint in SIMPLE:
        return SIMPLE[hint]
    if origin in (Union, types.UnionType):
        return st.one_of(st.none() if arg is types.NoneType else values(arg) for arg in args)
    if origin is tuple and args[-1] is not Ellipsis:
        return st.tuples(*(values(arg) for arg in args))
    if origin is tuple:
        return st.lists(values(args[0]), max_size=3).map(tuple)
    if origin is Mapping:
        return st.dictionaries(SIMPLE[str], values(args[1]), max_size=3)
    if issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    return st.builds(hint, **strategies(hint, get_type_hints(hint)))


def strategies(kind: Any, names: Any) -> dict[str, st.SearchStrategy[Any]]:
    hints = get_type_hints(kind)
    return {name: values(hints[name]) for name in names}


sessions = st.builds(
    Session,
    handle=st.just(HANDLE),
    method=st.just(METHOD),
    accept=st.builds(
        AccessAccept,
        profile=values(SubscriberProfile),
        **strategies(AccessAccept, restart.OF_THE_ACCEPT.values()),
    ),
    **strategies(Session, restart.RECORDED.values()),
)


def recorded(session: Session) -> dict[str, object]:
    """Return all that a record has of a session."""
    assert session.accept is not None
    return {
        **{name: getattr(session, name) for name in restart.RECORDED.values()},
        **{name: getattr(session.accept, name) for name in restart.OF_THE_ACCEPT.values()},
        "profile": session.profile,
    }


def biggest() -> Session:
    """Return a session with all that RADIUS can give one, within reason."""
    rate = RatePolicy(cir_bps=10**11, cbs_bytes=1 << 34, pir_bps=2 * 10**11, pbs_bytes=1 << 34)
    profile = SubscriberProfile(
        user_name="subscriber-0123456789@provider.example.net",
        ipv4_address=IPv4Address("100.127.255.254"),
        rate_up=rate,
        rate_down=rate,
        acl_in="residential-in",
        acl_out="residential-out",
        nat_profile="residential",
        session_timeout_s=86_400,
        idle_timeout_s=3_600,
        reply_message="Welcome",
    )
    session = Session(HANDLE, "673f2c11000000ff", METHOD, AccessLine(1), Mac(bytes(6)), 1e6)
    session.profile = profile
    session.user_name = profile.user_name
    session.ipv4_address = profile.ipv4_address
    session.circuit_id = session.remote_id = b"access-node-17 eth 1/2/3/44:1001.2002"
    says = {field.name: "Some-Vendor-Attribute-Name of server radius1" for field in fields(profile)}
    session.accept = AccessAccept(profile=profile, source="RADIUS server radius1", sources=says)
    return session


@settings(max_examples=300, deadline=None)
@given(sessions)
def test_what_is_recorded_comes_back(session: Session) -> None:
    assert session.accept is not None
    session.profile = session.accept.profile
    data = restart.encode(session, ANY_LENGTH)
    assert data is not None
    again = restart.restore(restart.read(data), HANDLE, METHOD)
    assert recorded(again) == recorded(session)
    assert restart.read(data)["pppoe"] == 17


@settings(max_examples=100, deadline=None)
@given(sessions, sessions, st.data())
def test_a_record_tells_of_a_session_as_it_is_whenever_it_is_written(
    session: Session, later: Session, data: st.DataObject
) -> None:
    restart.encode(session, ANY_LENGTH)
    names = [*restart.RECORDED.values(), "accept", "profile"]
    for name in data.draw(st.sets(st.sampled_from(names))):
        setattr(session, name, getattr(later, name))
    fresh = Session(HANDLE, "", METHOD, session.line, session.mac, 0.0)
    for name in names:
        setattr(fresh, name, getattr(session, name))
    assert restart.encode(session, ANY_LENGTH) == restart.encode(fresh, ANY_LENGTH)


def test_every_field_of_a_session_is_recorded_or_known_otherwise() -> None:
    names = {field.name for field in fields(Session)}
    assert set(restart.RECORDED.values()) | restart.NOT_RECORDED == names
    assert not set(restart.RECORDED.values()) & restart.NOT_RECORDED
    asked = {field.name for field in fields(AccessAccept)}
    assert asked - set(restart.OF_THE_ACCEPT.values()) == {
        *("profile", "message", "authenticator_response")
    }
    assert is_dataclass(SubscriberProfile)


def test_a_long_record_is_compressed_and_at_last_goes_without_what_is_for_people() -> None:
    session = biggest()
    data = restart.encode(session)
    assert data is not None
    assert data[:1] != b"{"
    assert restart.read(data)["sources"]
    assert session.accept is not None
    random = Random(1)
    short = AccessAccept(
        profile=session.accept.profile,
        classes=tuple(zlib.crc32(bytes([n])).to_bytes(4, "big") * 8 for n in range(8)),
        sources={name: random.randbytes(24).hex() for name in session.accept.sources},
    )
    session.accept = short
    data = restart.encode(session)
    assert data is not None
    assert len(data) <= restart.MAX_RECORD_BYTES
    record = restart.read(data)
    assert "sources" not in record
    assert restart.restore(record, HANDLE, METHOD).accept == AccessAccept(
        profile=short.profile, classes=short.classes
    )


def test_what_fits_in_no_record_is_not_written() -> None:
    session = biggest()
    assert session.profile is not None
    classes = tuple(Random(n).randbytes(253) for n in range(8))
    session.accept = AccessAccept(profile=session.profile, classes=classes)
    assert restart.encode(session) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        zlib.compress(b"{" + b" " * (1 << 20) + b"}"),
        zlib.compress(b'{"v": 1}')[:-6],
    ],
)
def test_what_is_no_record_is_called_so(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        restart.read(data)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": None},
        {"id": 7},
        {"id": None},
        {"profile": None},
        {"profile": {"user_name": 3}},
        {"profile": {}},
        {"line": []},
        {"line": [1, [[1]]]},
        {"line": 1},
        {"mac": "no"},
        {"ip4": "256.0.0.1"},
        {"circuit": "!"},
        {"families": True},
        {"cause": "BOREDOM"},
        {"magic": [1, 2, 3]},
        {"classes": "x"},
        {"sources": []},
    ],
)
def test_a_record_that_says_what_none_says_is_refused(change: dict[str, object]) -> None:
    data = restart.encode(biggest())
    assert data is not None
    restart.restore(restart.read(data), HANDLE, METHOD)
    with pytest.raises(ValueError, match=r"."):
        restart.restore({**restart.read(data), **change}, HANDLE, METHOD)


def test_keys_of_a_later_version_are_ignored() -> None:
    session = biggest()
    data = restart.encode(session)
    assert data is not None
    record = {**restart.read(data), "later": [1, 2]}
    assert restart.restore(record, HANDLE, METHOD).profile == session.profile
