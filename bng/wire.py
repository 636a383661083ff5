"""Bounds-checked reading of network-order bytes, shared by all parsers."""

import struct

from bng.errors import MalformedPacket

U16 = struct.Struct("!H")
U32 = struct.Struct("!I")


def u16(data: bytes, offset: int) -> int:
    """Return the big-endian 16-bit value at *offset*.

    Raises: MalformedPacket when *data* is too short.
    """
    try:
        return int(U16.unpack_from(data, offset)[0])
    except struct.error:
        raise MalformedPacket(f"16-bit field at {offset} runs past {len(data)} bytes") from None


def u32(data: bytes, offset: int) -> int:
    """Return the big-endian 32-bit value at *offset*.

    Raises: MalformedPacket when *data* is too short.
    """
    try:
        return int(U32.unpack_from(data, offset)[0])
    except struct.error:
        raise MalformedPacket(f"32-bit field at {offset} runs past {len(data)} bytes") from None
