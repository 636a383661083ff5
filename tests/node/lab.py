"""What the node tests share: addresses, frames built by scapy, routes written into the arena.

The control thread's own writer is not under test here, so leaves go straight into the FIB's root:
one route for each /16.
"""

from ipaddress import IPv4Address
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.packet import Packet
from scapy.utils import checksum

from dataplane import binding
from dataplane.acl import Rule, compile_acl, with_counters
from dataplane.binding import AclAction, Direction, PolicerMode

from .harness import (
    ACC,
    CLIENT_MAC,
    WAN,
    Dataplane,
    Frame,
    ffi,
    lib,
)

BOX = bytes.fromhex("02005e000000")  # driver gen: acc0
WAN_MAC = bytes.fromhex("02005e000001")
NEIGHBOUR = bytes.fromhex("020000000101")
OTHER = bytes.fromhex("02c000000099")
BROADCAST = b"\xff" * 6

CLIENT_IP = "100.64.0.1"
FRAMED = "198.18.0.9"  # in a prefix routed to the client's session
SERVER = "192.0.2.1"  # behind the neighbour
WAN_IP = "10.1.0.1"  # the kernel's
GATEWAY = "10.2.0.1"  # ours, as subscribers see it
QINQ = ((0x88A8, 100), (0x8100, 200))

PPP_IP4 = 0x0021
PPP_LCP = 0xC021
FROM_SESSION, TO_SESSION, ICMP_MADE = 1, 2, 4
ADJACENCIES = {
    "192.0": "ADJ_NEIGHBOUR",
    "10.1": "ADJ_LOCAL",
    "10.2": "ADJ_GATEWAY",
    "10.3": "ADJ_UNREACHABLE",
    "10.4": "ADJ_BLACKHOLE",
    "10.5": "ADJ_GLEAN",
    "10.6": "ADJ_PROHIBIT",
    "10.7": "ADJ_FREE",
    "10.8": "ADJ_NAT_POOL",
}
Tag = tuple[int, int]


def leaf_of(dp: Dataplane, prefix: str) -> int:
    """Return the leaf that the lab gave "a.b", a /16."""
    a, b = (int(part) for part in prefix.split("."))
    return int(dp.section(lib.SECTION_FIB4_ROOT, "uint32_t")[a << 8 | b])


def route16(dp: Dataplane, prefix: str, kind: int, index: int) -> None:
    """Write the leaf of "a.b", a /16."""
    a, b = (int(part) for part in prefix.split("."))
    dp.section(lib.SECTION_FIB4_ROOT, "uint32_t")[a << 8 | b] = kind << 28 | index


def adjacency(dp: Dataplane, prefix: str) -> Any:
    """Return the adjacency behind "a.b"."""
    return dp.section(lib.SECTION_ADJACENCY, "struct adjacency")[leaf_of(dp, prefix) & 0x3FFFFF]


def furnish(dp: Dataplane, **options: Any) -> int:
    """Make routes of every kind and session 0, LIVE; return its generation.

    *options* are those of `Dataplane.bind` and `Dataplane.up`.
    """
    first = dp.header.max_adjacencies - len(ADJACENCIES)
    for number, (prefix, kind) in enumerate(ADJACENCIES.items(), first):
        route16(dp, prefix, lib.LEAF_ADJACENCY, number)
        entry = adjacency(dp, prefix)
        entry.kind = getattr(lib, kind)
        entry.port = WAN
        entry.mtu = 1500
        if kind != "ADJ_LOCAL":
            ffi.memmove(entry.rewrite, NEIGHBOUR + WAN_MAC + b"\x08\x00", 14)
    dp.port(ACC).ip4 = int.from_bytes(IPv4Address(GATEWAY).packed, "little")
    dp.port(WAN).ip4 = int.from_bytes(IPv4Address(WAN_IP).packed, "little")
    names = ("session_id", "mac", "port", "outer", "inner", "domain", "domain_page", "worker")
    bind = {name: options.pop(name) for name in names if name in options}
    worker = bind.get("worker", 0)
    generation = dp.bind(0, **bind)
    dp.up(0, generation, options.pop("ip4", CLIENT_IP), worker=worker, **options)
    route16(dp, "100.64", lib.LEAF_SESSION, 0)
    route16(dp, "198.18", lib.LEAF_SESSION, 0)
    return generation


def furnish_once(dp: Dataplane, **options: Any) -> None:
    """Furnish on the first of hypothesis' examples, which share one dataplane."""
    if dp.session_in(0).state == lib.SESSION_FREE:
        furnish(dp, **options)


def ethernet(
    payload: bytes,
    ethertype: int,
    *,
    source: bytes = CLIENT_MAC,
    destination: bytes = BOX,
    tags: tuple[Tag, ...] = (),
    priority: int = 0,
) -> bytes:
    """Build a frame by hand; *tags* are (TPID, VID), outer first."""
    header = destination + source
    for tpid, vid in tags:
        header += tpid.to_bytes(2, "big") + (priority << 13 | vid).to_bytes(2, "big")
    return header + ethertype.to_bytes(2, "big") + payload


def pppoe(
    payload: bytes, protocol: int = PPP_IP4, *, session_id: int = 1, length: int | None = None
) -> bytes:
    """Build a PPPoE session header, PPP protocol and payload."""
    if length is None:
        length = len(payload) + 2
    return (
        b"\x11\x00"
        + b"".join(value.to_bytes(2, "big") for value in (session_id, length, protocol))
        + bytes(payload)
    )


def session_frame(
    payload: bytes, protocol: int = PPP_IP4, *, session_id: int = 1, **options: Any
) -> bytes:
    """Build a whole frame of a client's session; *options* are those of `ethernet`."""
    return ethernet(pppoe(payload, protocol, session_id=session_id), 0x8864, **options)


def echo(code: int, magic: int, data: bytes = b"", *, length: int | None = None) -> bytes:
    """Build an LCP Echo packet (RFC 1661 section 5.8), id 7."""
    if length is None:
        length = 8 + len(data)
    return bytes((code, 7)) + length.to_bytes(2, "big") + magic.to_bytes(4, "big") + data


def udp(source: str, destination: str, size: int = 8, **ip: Any) -> bytes:
    """Build an IPv4 UDP packet with *size* bytes of data; *ip* are fields of scapy's IP."""
    data = bytes(i % 256 for i in range(size))
    return bytes(IP(src=source, dst=destination, **ip) / UDP(sport=4000, dport=53) / data)


def syn(source: str, destination: str, options: list[Any], flags: str = "S") -> bytes:
    """Build a TCP SYN with these options."""
    return bytes(IP(src=source, dst=destination) / TCP(flags=flags, options=options))


def ping(source: str, destination: str, size: int = 16, **ip: Any) -> bytes:
    """Build an ICMP Echo Request."""
    return bytes(IP(src=source, dst=destination, **ip) / ICMP(id=9, seq=1) / bytes(size))


def raw_option(option: bytes) -> Any:
    """Return an IP option for scapy's IP, as these bytes."""
    return IPOption(option)


def routed_frame(packet: bytes, *, destination: bytes = WAN_MAC) -> bytes:
    """Build a frame from the neighbour."""
    return ethernet(packet, 0x0800, source=NEIGHBOUR, destination=destination)


def at_pppoe(frame: bytes, **metadata: Any) -> Frame:
    """Hand an untagged frame to a node that starts at the PPPoE header."""
    return Frame(data=frame, skip=14, rx_port=ACC, **metadata)


def at_ip(packet: bytes, **metadata: Any) -> Frame:
    """Hand an IPv4 packet to a node that starts at its header."""
    return Frame(data=packet, **metadata)


def decoded(packet: bytes) -> Packet:
    """Let scapy decode an IPv4 packet; assert that its length and checksums are right."""
    ip = IP(packet)
    fresh = ip.copy()
    del fresh.chksum, fresh.len
    if isinstance(fresh.payload, (TCP, UDP, ICMP)):
        del fresh.payload.chksum
    assert bytes(fresh) == packet
    return ip


def decoded_header(ip: Packet) -> None:
    """Assert that length and header checksum of a fragment are right."""
    packet = ip.original
    assert ip.len == len(packet)
    assert checksum(packet[: ip.ihl * 4]) == 0


def command(kind: int, session: int, generation: int, body: bytes = b"") -> bytes:
    """Pack any session command."""
    return binding.COMMAND.pack(kind, 0, session, generation, 0, 1, body)


def police(dp: Dataplane, generation: int, direction: Direction, **rates: int) -> None:
    """Police session 0: *rates* as `binding.policer_record` has them; with a PIR by RFC 2698."""
    mode = PolicerMode.TRTCM if rates.get("pir_bps") else PolicerMode.SRTCM
    mode = mode if rates.get("cir_bps") else PolicerMode.OFF
    body = binding.POLICER.pack(*(rates.get(name, 0) for name in POLICER_FIELDS), mode)
    record = binding.COMMAND.pack(
        binding.CommandType.SESSION_POLICER, 0, 0, generation, direction, 1, body
    )
    assert dp.command(record) == 0


def set_acl(dp: Dataplane, index: int, compiled: bytes, *, offset: int = 0) -> int:
    """Write a compiled ACL into the arena and have it put into place; return the status."""
    memory = dp.section(lib.SECTION_ACL_MEMORY, "uint8_t")
    ffi.memmove(memory + offset, compiled, len(compiled))
    body = binding.ACL_SET.pack(index, offset, len(compiled))
    return dp.control(command(binding.CommandType.ACL_SET, 0, 0, body))


def filter_by(
    dp: Dataplane, generation: int, rules: list[Rule], default: AclAction = AclAction.PERMIT
) -> None:
    """Filter session 0 by these rules, both ways."""
    assert set_acl(dp, 0, with_counters(compile_acl(rules, default), 1)) == 0
    body = binding.SESSION_ACL.pack(1, 1)
    assert dp.command(command(binding.CommandType.SESSION_ACL, 0, generation, body)) == 0


POLICER_FIELDS = ("cir_bps", "pir_bps", "cbs_bytes", "ebs_bytes", "overhead_bytes")


def start_echo(
    dp: Dataplane,
    generation: int,
    *,
    ours: int = 0x11111111,
    peers: int = 0x22222222,
    interval_ms: int = 0,
    failures: int = 3,
) -> None:
    """Give session 0's LCP Echo to the dataplane."""
    body = binding.ECHO.pack(ours, peers, interval_ms, failures)
    status = dp.command(command(binding.CommandType.SESSION_ECHO, 0, generation, body))
    assert status == 0
