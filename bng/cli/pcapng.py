"""Traced packets as pcapng: a packet block for each frame in or out, with its path as comment.

https://ietf-opsawg-wg.github.io/draft-ietf-opsawg-pcap/draft-ietf-opsawg-pcapng.html
"""

import struct
from typing import BinaryIO

SECTION_HEADER = 0x0A0D0D0A
INTERFACE_DESCRIPTION = 1
ENHANCED_PACKET = 6
BYTE_ORDER_MAGIC = 0x1A2B3C4D
LINKTYPE_ETHERNET = 1
OPT_ENDOFOPT = b"\x00\x00\x00\x00"
OPT_COMMENT, SHB_USERAPPL, IF_NAME, IF_TSRESOL, EPB_FLAGS = 1, 4, 2, 9, 2
NANOSECONDS = b"\x09"
INBOUND, OUTBOUND = 1, 2


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


class Writer:
    """Writes frames to *file*; interfaces are made as they come up."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._interfaces: dict[str, int] = {}
        body = struct.pack("<IHHq", BYTE_ORDER_MAGIC, 1, 0, -1)
        file.write(_block(SECTION_HEADER, body + _option(SHB_USERAPPL, b"bngctl") + OPT_ENDOFOPT))

    def write(
        self,
        interface: str,
        time_ns: int,
        data: bytes,
        length: int,
        *,
        outbound: bool,
        comment: str,
    ) -> None:
        """Add a frame; *data* may be its beginning only, *length* is that of all of it."""
        options = _option(OPT_COMMENT, comment.encode())
        options += _option(EPB_FLAGS, struct.pack("<I", OUTBOUND if outbound else INBOUND))
        number = self._interface(interface)
        head = struct.pack(
            "<IIIII", number, time_ns >> 32, time_ns & 0xFFFFFFFF, len(data), max(length, len(data))
        )
        padded = data + bytes(-len(data) % 4)
        self._file.write(_block(ENHANCED_PACKET, head + padded + options + OPT_ENDOFOPT))
        self._file.flush()

    def _interface(self, name: str) -> int:
        if name not in self._interfaces:
            self._interfaces[name] = len(self._interfaces)
            options = _option(IF_NAME, name.encode()) + _option(IF_TSRESOL, NANOSECONDS)
            body = struct.pack("<HHI", LINKTYPE_ETHERNET, 0, 0) + options + OPT_ENDOFOPT
            self._file.write(_block(INTERFACE_DESCRIPTION, body))
        return self._interfaces[name]
