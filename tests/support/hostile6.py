"""Hostile traffic of IPv6, kind by kind: see `tests.support.hostile`.

A subscriber with IPv6 floods the box, its neighbours and the network; a host of the network, beyond
the router there or on its link, floods the routed port, the subscribers, and prefixes of nobody.
"""

import random
import struct
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network

from tests.support.client.ipv6 import ICMPV6, checksum, option, packet
from tests.support.hostile import MANY, MOST, MTU, TCP, UDP, Kind, Scene, a_port, tcp, udp

HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION, NO_NEXT = 0, 43, 44, 60, 59
ALL_NODES, ALL_ROUTERS = IPv6Address("ff02::1"), IPv6Address("ff02::2")
ALL_SERVERS = IPv6Address("ff02::1:2")
ANY = IPv6Address("::")
MTU_OPTION = b"\x05\x01\0\0\0\0\0\x44"


def ip6(
    source: IPv6Address, target: IPv6Address, kind: int, payload: bytes, hops: int = 64
) -> bytes:
    return packet(source.packed, target.packed, kind, payload, hops)


def icmp6(
    source: IPv6Address, target: IPv6Address, kind: int, code: int, body: bytes, hops: int = 255
) -> bytes:
    """Return an ICMPv6 message with its checksum."""
    whole = struct.pack("!BBH", kind, code, 0) + body
    total = checksum(source.packed, target.packed, ICMPV6, whole)
    return ip6(source, target, ICMPV6, whole[:2] + struct.pack("!H", total) + whole[4:], hops)


def udp6(
    source: IPv6Address, target: IPv6Address, ports: tuple[int, int], body: bytes = b"hostile!"
) -> bytes:
    """Return a datagram with its checksum."""
    plain = udp(*ports, body)
    total = checksum(source.packed, target.packed, UDP, plain) or 0xFFFF
    return ip6(source, target, UDP, plain[:6] + struct.pack("!H", total) + body)


def up(scene: Scene, data: bytes) -> bytes:
    """Put a packet into the hostile subscriber's session."""
    return scene.head + struct.pack("!HH", len(data) + 2, 0x0057) + data


def down(scene: Scene, data: bytes, to: bytes | None = None) -> bytes:
    """Put a packet on the network's side, for our port unless *to* says otherwise."""
    return (to or scene.routed_mac) + b"\x02\x09\x09\x09\x09\x09\x86\xdd" + data


def host(network: IPv6Network, chance: random.Random) -> IPv6Address:
    """Return any address of *network*."""
    return network[chance.randrange(1, network.num_addresses)]


def stranger(chance: random.Random) -> IPv6Address:
    return host(IPv6Network("2a00::/16"), chance)


def local(chance: random.Random) -> IPv6Address:
    """Return any link-local address."""
    return IPv6Address(0xFE80 << 112 | chance.randrange(1, 1 << 64))


def solicited_node(target: IPv6Address) -> IPv6Address:
    """RFC 4291 §2.7.1."""
    return IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(target) & 0xFFFFFF)


def chains(source: IPv6Address, target: IPv6Address, chance: random.Random) -> Iterator[bytes]:
    """Yield chains of extension headers and fragments of every bad kind."""
    head = bytes((chance.choice((HOP_BY_HOP, DESTINATION)), 0, 1, 4, 0, 0, 0, 0))
    whole = udp(a_port(chance), 7010)
    for count in (1, 7, 20, 100):
        chain = head[1:].join([bytes((DESTINATION,))] * count)[1:]
        links = (bytes((DESTINATION,)) + head[1:]) * (count - 1) + bytes((UDP,)) + head[1:]
        yield ip6(source, target, DESTINATION, links + whole)
        yield ip6(source, target, chance.choice((HOP_BY_HOP, DESTINATION)), chain)
    yield ip6(source, target, DESTINATION, bytes((UDP, 255)) + bytes(6))  # longer than the packet
    route = struct.pack("!BBBBI16s", UDP, 2, 0, 1, 0, source.packed)  # type 0 (RFC 5095)
    yield ip6(source, target, ROUTING, route + whole)
    yield ip6(source, target, NO_NEXT, chance.randbytes(chance.randrange(64)))
    ident = chance.getrandbits(32)
    for at, more, kind, body in (
        (0, 1, UDP, whole),
        (0, 1, UDP, whole[:8]),
        (1, 0, UDP, bytes(24)),
        (0, 1, TCP, tcp(1, 80)[:8]),
        (0, 0, TCP, tcp(1, 80)),  # atomic (RFC 6946)
        (8190, 1, UDP, bytes(32)),  # past the end
        (chance.randrange(8191), 1, ICMPV6, bytes(chance.randrange(64))),
        (0, 1, DESTINATION, head),  # the upper header is in the next one (RFC 7112)
        (0, 1, FRAGMENT, struct.pack("!BBHI", UDP, 0, 0, ident) + whole),
    ):
        fragment = struct.pack("!BBHI", kind, 0, at << 3 | more, ident)
        yield ip6(source, target, FRAGMENT, fragment + body)


def lies(source: IPv6Address, target: IPv6Address, chance: random.Random) -> Iterator[bytes]:
    """Yield packets that are shorter or longer than they say, or not what they say."""
    whole = udp6(source, target, (a_port(chance), 7010), bytes(600))
    yield whole[:4] + struct.pack("!H", chance.randrange(609, 65536)) + whole[6:]
    yield whole[: chance.randrange(40)]
    yield whole[: chance.randrange(40, 648)]
    yield bytes((chance.choice((0x00, 0x45, 0x70, 0xF0)),)) + whole[1:]
    yield ip6(source, target, UDP, b"")


def errors(source: IPv6Address, target: IPv6Address, chance: random.Random) -> Iterator[bytes]:
    """Yield ICMPv6 errors about what nobody sent, with cut and lying quotes."""
    quote = udp6(target, source, (a_port(chance), 7010))
    kind, code = chance.choice(((1, 0), (1, 4), (2, 0), (3, 0), (3, 1), (4, 1), (100, 0)))
    for size in (len(quote), chance.randrange(len(quote)), 0):
        yield icmp6(source, target, kind, code, struct.pack("!I", 1280) + quote[:size], 64)


def neighbours(source: IPv6Address, target: IPv6Address, chance: random.Random) -> Iterator[bytes]:
    """Yield Neighbor and Router Discovery of somebody who is everybody."""
    mac = b"\x02" + chance.randbytes(5)
    own = b"\1\1" + mac
    yield icmp6(source, solicited_node(target), 135, 0, bytes(4) + target.packed + own)
    yield icmp6(source, target, 135, 0, bytes(4) + target.packed + own)
    yield icmp6(ANY, solicited_node(target), 135, 0, bytes(4) + target.packed)  # DAD
    yield icmp6(source, ALL_NODES, 136, 0, b"\xa0\0\0\0" + target.packed + b"\2\1" + mac)
    yield icmp6(source, ALL_NODES, 134, 0, struct.pack("!BBHII", 64, 0, 9000, 0, 0) + MTU_OPTION)
    yield icmp6(source, target, 137, 0, bytes(4) + target.packed + source.packed)


# ---- from a subscriber ----


def _up_solicitations(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    yield up(scene, icmp6(local(chance), ALL_ROUTERS, 133, 0, bytes(4)))


def _up_dhcpv6(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Be another client with each message, to exhaust pools and bindings."""
    kind = chance.choice((1, 1, 1, 3, 4, 5, 6, 8, 9, 11, 12))
    body = bytes((kind,)) + chance.randbytes(3) + option(1, b"\0\3\0\1" + chance.randbytes(6))
    body += option(25, chance.randbytes(12)) + option(3, chance.randbytes(12)) + option(14, b"")
    yield up(scene, udp6(local(chance), ALL_SERVERS, (546, 547), body))


def _up_spoofed(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for source in (
        host(scene.neighbour6, chance),
        host(scene.pools6[0], chance),
        host(scene.pools6[1], chance),
        scene.box6,
        scene.remote6,
        stranger(chance),
        local(chance),
        IPv6Address("::1"),
        ALL_NODES,
        ANY,
    ):
        yield up(scene, udp6(source, scene.remote6, (a_port(chance), 7010)))


def _up_hop_limit(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    source = host(chance.choice((scene.link6, scene.home6)), chance)
    yield up(scene, ip6(source, scene.remote6, UDP, udp(1, 7010), hops=chance.randrange(2)))


def _up_chains(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for data in chains(host(scene.link6, chance), scene.remote6, chance):
        yield up(scene, data)


def _up_lies(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for data in lies(host(scene.link6, chance), scene.remote6, chance):
        yield up(scene, data)


def longer(than: int, source: IPv6Address, target: IPv6Address, chance: random.Random) -> bytes:
    """Return a packet of up to 8 bytes more."""
    return udp6(source, target, (a_port(chance), 7010), bytes(than - 48 + chance.randrange(1, 9)))


def _up_too_big(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    yield up(scene, longer(MOST, host(scene.home6, chance), scene.remote6, chance))


def _up_neighbours(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    target = chance.choice((scene.gateway6, local(chance), host(scene.link6, chance)))
    for data in neighbours(local(chance), target, chance):
        yield up(scene, data)


def _up_scan(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Scan what is ours: prefixes of nobody, the neighbour's, the link of the routed port."""
    source = host(scene.home6, chance)
    for network in (*scene.pools6, scene.link6, scene.home6):
        yield up(scene, udp6(source, host(network, chance), (a_port(chance), 7010)))


def _up_scan_of_the_link(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Have a neighbour looked for with each packet, on the link of the routed port."""
    target = host(IPv6Network((scene.box6, 64), strict=False), chance)
    yield up(scene, udp6(host(scene.link6, chance), target, (a_port(chance), 7010)))


def _up_pings(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for source, target in (
        (local(chance), scene.gateway6),
        (host(scene.link6, chance), scene.box6),
    ):
        yield up(scene, icmp6(source, target, 128, 0, chance.randbytes(64), 64))


def _up_errors(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    target = chance.choice((scene.remote6, scene.box6, host(scene.pools6[0], chance)))
    for data in errors(host(scene.link6, chance), target, chance):
        yield up(scene, data)


# ---- from the network ----


def _down_neighbours(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    target = chance.choice((scene.box6, local(chance)))
    for data in neighbours(local(chance), target, chance):
        multicast = data[24] == 0xFF
        yield down(scene, data, b"\x33\x33" + data[36:40] if multicast else None)


def _down_scan_of_a_link(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Scan the /64 of a subscriber: there is nobody to be looked for, the link has two ends."""
    for network in (scene.link6, scene.home6):
        yield down(scene, udp6(stranger(chance), host(network, chance), (53, a_port(chance))))


def _down_scan_of_nobody(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for pool in scene.pools6:
        yield down(scene, udp6(stranger(chance), host(pool, chance), (53, a_port(chance))))


def _down_scan_of_the_link(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    target = host(IPv6Network((scene.box6, 64), strict=False), chance)
    yield down(scene, udp6(stranger(chance), target, (53, a_port(chance))))


def _down_hop_limit(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    data = ip6(stranger(chance), host(scene.link6, chance), UDP, udp(1, 2), chance.randrange(2))
    yield down(scene, data)


def _down_chains(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for data in chains(stranger(chance), host(scene.link6, chance), chance):
        yield down(scene, data)


def _down_lies(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for data in lies(stranger(chance), host(scene.link6, chance), chance):
        yield down(scene, data)


def _down_errors(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    target = chance.choice((scene.box6, host(scene.pools6[0], chance), host(scene.link6, chance)))
    for data in errors(stranger(chance), target, chance):
        yield down(scene, data)


def _down_too_big(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for network in (scene.link6, scene.home6):
        yield down(scene, longer(MTU, stranger(chance), host(network, chance), chance))


def _down_to_the_box(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Ping, knock at BGP, and be anybody's source to the box itself."""
    source = chance.choice((stranger(chance), scene.link6[7], local(chance)))
    yield down(scene, icmp6(source, scene.box6, 128, 0, chance.randbytes(64), 64))
    yield down(scene, ip6(source, scene.box6, TCP, tcp(a_port(chance), 179)))
    yield down(scene, udp6(source, scene.box6, (53, a_port(chance))))


UPSTREAM = (
    Kind("v6-router-solicitations", _up_solicitations, ("punt session-share-used-up",)),
    Kind("v6-dhcp-of-many-clients", _up_dhcpv6, ("punt session-share-used-up",)),
    Kind("v6-spoofed-sources", _up_spoofed, ("antispoof6 source-spoofed",)),
    Kind("v6-hop-limit", _up_hop_limit, ("icmp6_error",)),
    Kind("v6-chains-and-fragments", _up_chains, ()),
    Kind("v6-lengths-that-lie", _up_lies, ("pppoe6_input ip6-",)),
    Kind("v6-too-big", _up_too_big, ("pppoe6_input packet-too-big",)),
    Kind("v6-neighbours", _up_neighbours, ("ip6_control", "punt")),
    Kind("v6-scan-of-nobody", _up_scan, ("icmp6_error",)),
    Kind("v6-scan-of-the-routed-link", _up_scan_of_the_link, ("ip6_lookup unresolved",), MANY),
    Kind("v6-pings", _up_pings, ("ip6_",)),
    Kind("v6-errors", _up_errors, ("icmp6_error about-icmp-error",)),
)
DOWNSTREAM = (
    Kind("v6-neighbours", _down_neighbours, ("twin_output neighbour-",)),
    Kind("v6-scan-of-a-subscriber", _down_scan_of_a_link, (), MANY),
    Kind("v6-scan-of-nobody", _down_scan_of_nobody, ("icmp6_error",), MANY),
    Kind("v6-scan-of-the-routed-link", _down_scan_of_the_link, ("ip6_lookup unresolved",), MANY),
    Kind("v6-hop-limit", _down_hop_limit, ("icmp6_error",)),
    Kind("v6-chains-and-fragments", _down_chains, ()),
    Kind("v6-lengths-that-lie", _down_lies, ("ip6_input ip6-",)),
    Kind("v6-too-big", _down_too_big, ("icmp6_error rate-limited",)),
    Kind("v6-errors", _down_errors, ("icmp6_error about-icmp-error",)),
    Kind("v6-to-the-box", _down_to_the_box, ("twin_output stranger-",)),
)
