"""A socket filter: the kernel hands us nothing but what comes from one address and port.

Without it a flood from anyone costs us a wake-up and a copy for each packet. A connected socket
would do the same, but stays with the source address of its first packet, and an ICMP error ends its
polling in libuv. Classic BPF, see bpf(4) and Linux's Documentation/networking/filter.rst.
"""

import ctypes
import socket
import struct
import sys
from ipaddress import IPv4Address, IPv6Address

SO_ATTACH_FILTER = 26
SO_MEMINFO = 55
DROPS = 8
"""Which of the numbers of SO_MEMINFO counts packets that were dropped."""
NETWORK_HEADER = 0xFFF0_0000
"""SKF_NET_OFF: offsets from there on are those of the IP header; others of the UDP header."""
SOURCE_OF_IP = {4: 12, 6: 8}
LOAD_WORD, LOAD_HALF, JUMP_IF_EQUAL, RETURN = 0x20, 0x28, 0x15, 0x06
ALL = 0xFFFF_FFFF

_INSTRUCTION = struct.Struct("HBBI")
_PROGRAM = struct.Struct("HL")


def attach(port: socket.socket, address: IPv4Address | IPv6Address, number: int) -> None:
    """Let *port*, of UDP, take packets from port *number* of *address* alone. Raises: OSError."""
    source = SOURCE_OF_IP[address.version]
    packed = address.packed
    wanted = [
        (LOAD_WORD, NETWORK_HEADER + source + at, int.from_bytes(packed[at : at + 4], "big"))
        for at in range(0, len(packed), 4)
    ]
    wanted.append((LOAD_HALF, 0, number))
    last = 2 * len(wanted) + 1
    program = []
    for load, at, value in wanted:
        program.append((load, 0, 0, at))
        program.append((JUMP_IF_EQUAL, 0, last - len(program) - 1, value))
    program += [(RETURN, 0, 0, ALL), (RETURN, 0, 0, 0)]
    code = b"".join(_INSTRUCTION.pack(*step) for step in program)
    kept = ctypes.create_string_buffer(code, len(code))
    packed_program = _PROGRAM.pack(len(program), ctypes.addressof(kept))
    port.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, packed_program)


def drops(port: socket.socket) -> int:
    """Return how many packets the kernel did not give to *port*: filtered, or without room."""
    numbers = port.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * (DROPS + 1))
    return int.from_bytes(numbers[4 * DROPS :], sys.byteorder)
