"""A port of raw Ethernet frames: AF_PACKET with a shared receive ring (packet(7), TPACKET_V2).

The kernel takes an outer 802.1Q or 802.1ad tag off each frame and leaves it in the ring's header;
it is put back here, so callers see frames as they were on the wire.
"""

import ctypes
import mmap
import select
import socket
import struct
from collections.abc import Callable

from tests.support.netns import inside

_SOL_PACKET = 263
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION, _PACKET_IGNORE_OUTGOING = 5, 6, 10, 23
_TPACKET_V2 = 1
_ETH_P_ALL = 3
_SO_ATTACH_FILTER = 26
_STATUS = struct.Struct("=I")
_HEADER = struct.Struct("=IIIHHIIHH")
_VLAN = struct.Struct("!HH")
_VLAN_VALID, _VLAN_TPID_VALID = 0x10, 0x40
_FRAME_BYTES = 2048
_BLOCK_BYTES = 1 << 16

_LDH, _AND, _JEQ, _RET = 0x28, 0x54, 0x15, 0x06
# PPPoE (also behind a tag that the kernel left in the frame); of sessions, not IPv4 data, and of
# IPv6 what is of the link.
_CONTROL_ONLY = [
    (_LDH, 0, 0, 12),
    (_JEQ, 10, 0, 0x8863),
    (_JEQ, 2, 0, 0x8864),
    (_JEQ, 9, 0, 0x8100),
    (_RET, 0, 0, 0),
    (_LDH, 0, 0, 20),
    (_JEQ, 4, 0, 0x0021),
    (_JEQ, 0, 4, 0x0057),
    (_LDH, 0, 0, 30),
    (_AND, 0, 0, 0xFFC0),
    (_JEQ, 1, 0, 0xFE80),
    (_RET, 0, 0, 0),
    (_RET, 0, 0, 0x40000),
    (_LDH, 0, 0, 24),
    (_JEQ, 0, 1, 0x0021),
    (_RET, 0, 0, 0),
    (_RET, 0, 0, 0x40000),
]
_PPPOE = [
    (_LDH, 0, 0, 12),
    (_JEQ, 5, 0, 0x8863),
    (_JEQ, 4, 0, 0x8864),
    (_JEQ, 3, 0, 0x8100),
    (_JEQ, 2, 0, 0x88A8),
    (_JEQ, 1, 0, 0x9100),
    (_RET, 0, 0, 0),
    (_RET, 0, 0, 0x40000),
]


class PacketPort:
    """One interface, opened for raw frames; what other sockets send on it is not heard.

    With *control_only* data never reaches this socket: another program counts it.
    """

    def __init__(
        self,
        interface: str,
        *,
        netns: str | None = None,
        frames: int = 8192,
        control_only: bool = False,
    ) -> None:
        """Open *interface* in *netns* with a ring of *frames* slots of 2 KiB."""
        with inside(netns):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        self.socket.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._count = -(-frames // (_BLOCK_BYTES // _FRAME_BYTES)) * (_BLOCK_BYTES // _FRAME_BYTES)
        size = self._count * _FRAME_BYTES
        request = struct.pack(
            "=IIII", _BLOCK_BYTES, size // _BLOCK_BYTES, _FRAME_BYTES, self._count
        )
        self.socket.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
        self._ring = mmap.mmap(self.socket.fileno(), size)
        self._at = 0
        self.filter(_CONTROL_ONLY if control_only else _PPPOE)
        self.socket.bind((interface, _ETH_P_ALL))
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLIN)
        self.unsent = 0

    def filter(self, program: list[tuple[int, int, int, int]]) -> None:
        """Attach a classic BPF *program* of (code, if true, if false, k)."""
        code = b"".join(struct.pack("=HBBI", *line) for line in program)
        buffer = mmap.mmap(-1, len(code))
        buffer.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        self.socket.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), address)
        )

    def fileno(self) -> int:
        """Give the descriptor, for select and poll."""
        return self.socket.fileno()

    def wait(self, timeout_s: float) -> None:
        """Sleep until a frame is there or *timeout_s* is over."""
        self._poll.poll(max(timeout_s, 0) * 1000)

    def send(self, frame: bytes) -> None:
        """Send one frame; one that the kernel refuses is counted in ``unsent``."""
        try:
            self.socket.send(frame)
        except OSError:
            self.unsent += 1

    def receive(self, handle: Callable[[bytes], None], limit: int = 512) -> int:
        """Hand at most *limit* waiting frames to *handle*; say how many there were."""
        ring, at, count = self._ring, self._at, self._count
        done = 0
        while done < limit:
            offset = at * _FRAME_BYTES
            status, _, snaplen, mac, _, _, _, tci, tpid = _HEADER.unpack_from(ring, offset)
            if not status & 1:
                break
            start = offset + mac
            if status & _VLAN_VALID:
                kind = tpid if status & _VLAN_TPID_VALID else 0x8100
                frame = (
                    ring[start : start + 12]
                    + _VLAN.pack(kind, tci)
                    + ring[start + 12 : start + snaplen]
                )
            else:
                frame = ring[start : start + snaplen]
            _STATUS.pack_into(ring, offset, 0)
            at = at + 1 if at + 1 < count else 0
            done += 1
            handle(frame)
        self._at = at
        return done

    def overruns(self) -> int:
        """Count the frames lost since the last call because the ring was full."""
        raw = self.socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return int(struct.unpack("=II", raw)[1])

    def close(self) -> None:
        """Give the ring and the socket back."""
        self._ring.close()
        self.socket.close()
