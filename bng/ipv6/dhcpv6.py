"""Codec of DHCPv6 messages (RFC 8415 §8, §9, §21).

Nothing is decided here: what a message means is `bng.ipv6.server`'s and `bng.ipv6.relay`'s
business. Nesting is as deep as the format demands (message, IA, lease, status; one relay header at
a time) and every list has a limit, so hostile bytes cost little. Authentication and Reconfigure
are not supported. Options nobody here looks at are skipped.
"""

import struct
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from bng.errors import MalformedPacket
from bng.ipv6.messages import (
    Ia,
    IaLease,
    IaType,
    Message,
    MessageType,
    OptionCode,
    RelayMessage,
    Status,
)
from bng.wire import u16, u32

MAX_OPTIONS: Final = 64  # of a message; likewise of an IA, a lease, a list of classes
MAX_DUID_BYTES: Final = 130  # RFC 8415 §11.1

_HEADER_BYTES: Final = 4
_RELAY_HEADER: Final = struct.Struct("!BB16s16s")
_OPTION: Final = struct.Struct("!HH")
_IA: Final = struct.Struct("!III")
_ADDRESS: Final = struct.Struct("!16sII")
_PREFIX: Final = struct.Struct("!IIB16s")


# ---- parsing


def parse(data: bytes) -> Message:
    """Read a message between client and server; of an option that may come once, the first counts.

    Raises: MalformedPacket when something does not fit, there is too much of it, or it is a relay
    message.
    """
    if len(data) < _HEADER_BYTES:
        raise MalformedPacket(f"DHCPv6 header cut to {len(data)} bytes")
    if data[0] in {MessageType.RELAY_FORW, MessageType.RELAY_REPL}:
        raise MalformedPacket("a relay message where a client's or server's should be")
    first: dict[int, bytes] = {}
    ias: list[Ia] = []
    for code, value in split_options(data, _HEADER_BYTES):
        if code in _IAS:
            ias.append(_ia(IaType(code), value))
        else:
            first.setdefault(code, value)
    for flag in (OptionCode.RAPID_COMMIT, OptionCode.RECONF_ACCEPT):
        if first.get(flag):
            raise MalformedPacket(f"option {flag} has a value")
    preference = _sized(first, OptionCode.PREFERENCE, 1)
    elapsed = _sized(first, OptionCode.ELAPSED_TIME, 2)
    return Message(
        kind=data[0],
        transaction_id=int.from_bytes(data[1:4]),
        client_id=_duid(first.get(OptionCode.CLIENTID)),
        server_id=_duid(first.get(OptionCode.SERVERID)),
        ias=tuple(ias),
        status=_status(first.get(OptionCode.STATUS_CODE)),
        requested=_numbers(first.get(OptionCode.ORO)),
        preference=None if preference is None else preference[0],
        elapsed_s=None if elapsed is None else int.from_bytes(elapsed) / 100,
        rapid_commit=OptionCode.RAPID_COMMIT in first,
        reconfigure_accept=OptionCode.RECONF_ACCEPT in first,
        user_class=_classes(first.get(OptionCode.USER_CLASS, b"")),
        vendor_class=_vendor_class(first.get(OptionCode.VENDOR_CLASS)),
        options=tuple((code, value) for code, value in first.items() if code not in _FIELDS),
    )


def parse_relay(data: bytes) -> RelayMessage:
    """Read one layer of relay message; what it carries is not looked at.

    Raises: MalformedPacket when something does not fit, or it carries no message.
    """
    if len(data) < _RELAY_HEADER.size:
        raise MalformedPacket(f"relay header cut to {len(data)} bytes")
    kind, hop_count, link, peer = _RELAY_HEADER.unpack_from(data)
    if kind not in {MessageType.RELAY_FORW, MessageType.RELAY_REPL}:
        raise MalformedPacket(f"msg-type {kind} is no relay message")
    first: dict[int, bytes] = {}
    for code, value in split_options(data, _RELAY_HEADER.size):
        first.setdefault(code, value)
    message = first.pop(OptionCode.RELAY_MSG, b"")
    if not message:
        raise MalformedPacket("a relay message without a message")
    return RelayMessage(
        kind=kind,
        hop_count=hop_count,
        link_address=IPv6Address(link),
        peer_address=IPv6Address(peer),
        message=message,
        interface_id=first.pop(OptionCode.INTERFACE_ID, None),
        options=tuple(first.items()),
    )


def split_options(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield code and value of the options from *offset* on.

    Raises: MalformedPacket when one does not fit, or there are more than MAX_OPTIONS.
    """
    for _ in range(MAX_OPTIONS):
        if offset == len(data):
            return
        if offset + _OPTION.size > len(data):
            raise MalformedPacket(f"an option's header at {offset} runs past the end")
        code, length = _OPTION.unpack_from(data, offset)
        offset += _OPTION.size
        value = data[offset : offset + length]
        if len(value) != length:
            raise MalformedPacket(f"option {code} runs past the end")
        yield code, value
        offset += length
    if offset != len(data):
        raise MalformedPacket(f"more than {MAX_OPTIONS} options")


def _ia(kind: IaType, value: bytes) -> Ia:
    if kind is IaType.TA:
        iaid, t1, t2, offset = u32(value, 0), 0, 0, 4
    else:
        iaid, t1, t2 = u32(value, 0), u32(value, 4), u32(value, 8)
        offset = _IA.size
    inner = OptionCode.IAPREFIX if kind is IaType.PD else OptionCode.IAADDR
    leases: list[IaLease] = []
    status = None
    for code, part in split_options(value, offset):
        if code == inner:
            leases.append(_prefix(part) if kind is IaType.PD else _address(part))
        elif code == OptionCode.STATUS_CODE and status is None:
            status = _status(part)
    return Ia(kind=kind, iaid=iaid, t1_s=t1, t2_s=t2, leases=tuple(leases), status=status)


def _address(value: bytes) -> IaLease:
    if len(value) < _ADDRESS.size:
        raise MalformedPacket(f"IAADDR cut to {len(value)} bytes")
    packed, preferred, valid = _ADDRESS.unpack_from(value)
    return _lease(IPv6Network(packed), preferred, valid, value, _ADDRESS.size)


def _prefix(value: bytes) -> IaLease:
    if len(value) < _PREFIX.size:
        raise MalformedPacket(f"IAPREFIX cut to {len(value)} bytes")
    preferred, valid, length, packed = _PREFIX.unpack_from(value)
    if length > 128:
        raise MalformedPacket(f"prefix length {length}")
    # RFC 8415 §21.22: bits behind the length are ignored.
    network = IPv6Network((packed, length), strict=False)
    return _lease(network, preferred, valid, value, _PREFIX.size)


def _lease(network: IPv6Network, preferred: int, valid: int, value: bytes, offset: int) -> IaLease:
    status = None
    for code, part in split_options(value, offset):
        if code == OptionCode.STATUS_CODE and status is None:
            status = _status(part)
    return IaLease(network=network, preferred_s=preferred, valid_s=valid, status=status)


def _status(value: bytes | None) -> Status | None:
    return None if value is None else Status(u16(value, 0), value[2:].decode(errors="replace"))


def _duid(value: bytes | None) -> bytes | None:
    if value is not None and not 3 <= len(value) <= MAX_DUID_BYTES:
        raise MalformedPacket(f"a DUID of {len(value)} bytes")
    return value


def _sized(first: dict[int, bytes], code: OptionCode, size: int) -> bytes | None:
    value = first.get(code)
    if value is not None and len(value) != size:
        raise MalformedPacket(f"option {code} has {len(value)} bytes, not {size}")
    return value


def _numbers(value: bytes | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    if len(value) % 2:
        raise MalformedPacket(f"an Option Request of {len(value)} bytes")
    return struct.unpack(f"!{len(value) // 2}H", value)


def _classes(value: bytes) -> tuple[bytes, ...]:
    found: list[bytes] = []
    offset = 0
    while offset < len(value):
        length = u16(value, offset)
        data = value[offset + 2 : offset + 2 + length]
        if len(data) != length or len(found) == MAX_OPTIONS:
            raise MalformedPacket("a class that does not fit")
        found.append(data)
        offset += 2 + length
    return tuple(found)


def _vendor_class(value: bytes | None) -> tuple[int, tuple[bytes, ...]] | None:
    return None if value is None else (u32(value, 0), _classes(value[4:]))


_IAS: Final = frozenset((OptionCode.IA_NA, OptionCode.IA_TA, OptionCode.IA_PD))
_FIELDS: Final = frozenset(
    {
        OptionCode.CLIENTID,
        OptionCode.SERVERID,
        OptionCode.STATUS_CODE,
        OptionCode.ORO,
        OptionCode.PREFERENCE,
        OptionCode.ELAPSED_TIME,
        OptionCode.RAPID_COMMIT,
        OptionCode.RECONF_ACCEPT,
        OptionCode.USER_CLASS,
        OptionCode.VENDOR_CLASS,
    }
)
"""Options that are fields of a message."""


# ---- building


def build(message: Message) -> bytes:
    """Build a message; options that say nothing are left out."""
    parts = [bytes([message.kind]), message.transaction_id.to_bytes(3)]
    parts += [option(code, value) for code, value in _fields(message) if value is not None]
    parts += [_build_ia(ia) for ia in message.ias]
    parts += [option(code, value) for code, value in message.options]
    return b"".join(parts)


def _fields(message: Message) -> Iterator[tuple[OptionCode, bytes | None]]:
    """Yield the options that are fields, with None for those that are not sent."""
    yield OptionCode.CLIENTID, message.client_id
    yield OptionCode.SERVERID, message.server_id
    if message.status is not None:
        yield OptionCode.STATUS_CODE, _build_status(message.status)
    if message.requested is not None:
        yield OptionCode.ORO, b"".join([code.to_bytes(2) for code in message.requested])
    if message.preference is not None:
        yield OptionCode.PREFERENCE, bytes([message.preference])
    if message.elapsed_s is not None:
        hundredths = min(round(message.elapsed_s * 100), 0xFFFF)
        yield OptionCode.ELAPSED_TIME, hundredths.to_bytes(2)
    yield OptionCode.RAPID_COMMIT, b"" if message.rapid_commit else None
    yield OptionCode.RECONF_ACCEPT, b"" if message.reconfigure_accept else None
    if message.user_class:
        yield OptionCode.USER_CLASS, _build_classes(message.user_class)
    if message.vendor_class is not None:
        enterprise, classes = message.vendor_class
        yield OptionCode.VENDOR_CLASS, enterprise.to_bytes(4) + _build_classes(classes)


def build_relay(message: RelayMessage) -> bytes:
    """Build a relay message."""
    parts = [
        _RELAY_HEADER.pack(
            message.kind,
            message.hop_count,
            message.link_address.packed,
            message.peer_address.packed,
        )
    ]
    if message.interface_id is not None:
        parts.append(option(OptionCode.INTERFACE_ID, message.interface_id))
    parts += [option(code, value) for code, value in message.options]
    parts.append(option(OptionCode.RELAY_MSG, message.message))
    return b"".join(parts)


def option(code: int, value: bytes = b"") -> bytes:
    """Encode one option."""
    return _OPTION.pack(code, len(value)) + value


def _build_ia(ia: Ia) -> bytes:
    head = ia.iaid.to_bytes(4)
    if ia.kind is not IaType.TA:
        head = _IA.pack(ia.iaid, ia.t1_s, ia.t2_s)
    parts = [head, *(_build_lease(ia.kind, lease) for lease in ia.leases)]
    return option(ia.kind, b"".join(parts) + _status_option(ia.status))


def _build_lease(kind: IaType, lease: IaLease) -> bytes:
    packed, times = lease.network.network_address.packed, (lease.preferred_s, lease.valid_s)
    status = _status_option(lease.status)
    if kind is IaType.PD:
        value = _PREFIX.pack(*times, lease.network.prefixlen, packed)
        return option(OptionCode.IAPREFIX, value + status)
    return option(OptionCode.IAADDR, _ADDRESS.pack(packed, *times) + status)


def _status_option(status: Status | None) -> bytes:
    return b"" if status is None else option(OptionCode.STATUS_CODE, _build_status(status))


def _build_status(status: Status) -> bytes:
    return status.code.to_bytes(2) + status.text.encode()


def _build_classes(classes: tuple[bytes, ...]) -> bytes:
    return b"".join([len(item).to_bytes(2) + item for item in classes])
