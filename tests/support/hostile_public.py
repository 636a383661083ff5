"""Hostile traffic about port forwards and addresses of one's own (one-to-one), kind by kind.

An open port is open: what is sent there arrives, however much, and is counted as passed. So does
what is sent to, or by, who has an address of his own. One that is nobody's answers, at a rate.
"""

import random
from collections.abc import Iterator
from ipaddress import IPv4Address

from tests.support.hostile import (
    DF,
    ESP,
    GRE,
    ICMP,
    MOST,
    TCP,
    UDP,
    Kind,
    Scene,
    a_port,
    down,
    fragments_of,
    icmp,
    ip4,
    tcp,
    udp,
    up,
)

FORWARD_PORTS = 1024  # those below are kept for forwards
ERRORS = ((3, 1), (3, 3), (3, 4), (11, 0), (12, 0), (4, 0), (5, 1))


def _stranger(chance: random.Random) -> IPv4Address:
    return IPv4Address(chance.randrange(1 << 24, 0x0A000000))


def _open(scene: Scene, chance: random.Random) -> tuple[IPv4Address, int]:
    return chance.choice(scene.forwards)


def _owned(scene: Scene, chance: random.Random) -> IPv4Address:
    return scene.owned[chance.randrange(scene.owned.num_addresses)]


def _scan(source: IPv4Address, target: IPv4Address, chance: random.Random) -> Iterator[bytes]:
    port = chance.randrange(1, FORWARD_PORTS)
    yield ip4(source, target, TCP, tcp(a_port(chance), port))
    yield ip4(source, target, UDP, udp(a_port(chance), port))


def _errors(
    source: IPv4Address, target: IPv4Address, port: int, chance: random.Random
) -> Iterator[bytes]:
    """Yield errors about packets from a public port: whole, cut, lying, with a wrong sum."""
    kind, code = chance.choice(ERRORS)
    quote = ip4(target, source, chance.choice((TCP, UDP)), udp(port, a_port(chance)))
    yield ip4(source, target, ICMP, icmp(kind, code, bytes(4) + quote))
    yield ip4(source, target, ICMP, icmp(kind, code, bytes(4) + quote[: chance.randrange(28)]))
    yield ip4(source, target, ICMP, icmp(kind, code, bytes(4) + quote, wrong_sum=True))
    lie = ip4(source, target, UDP, udp(port, port))
    yield ip4(source, target, ICMP, icmp(kind, code, bytes(4) + lie))


def _anything(source: IPv4Address, target: IPv4Address, chance: random.Random) -> Iterator[bytes]:
    """Yield packets of every protocol there may be, whole and cut."""
    yield ip4(source, target, TCP, tcp(a_port(chance), a_port(chance)))
    yield ip4(source, target, UDP, udp(a_port(chance), a_port(chance)))
    yield ip4(source, target, chance.choice((GRE, ESP)), chance.randbytes(24))
    yield ip4(source, target, chance.randrange(256), chance.randbytes(chance.randrange(24)))
    for protocol in (TCP, UDP, ICMP):
        yield ip4(source, target, protocol, bytes(chance.randrange(4)))


# ---- from the network ----


def _down_forwards_scan(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for packet in _scan(_stranger(chance), _open(scene, chance)[0], chance):
        yield down(scene, packet)


def _down_forwards_flood(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    address, port = _open(scene, chance)
    yield down(scene, ip4(_stranger(chance), address, UDP, udp(a_port(chance), port)))


def _down_forwards_too_big(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Send what fills the link and is too big for a session: to be cut in two, or to be told of."""
    for flags in (0, DF):
        address, port = _open(scene, chance)
        body = udp(a_port(chance), port, bytes(MOST - 28))
        yield down(scene, ip4(_stranger(chance), address, UDP, body, fragment=flags))


def _down_forwards_fragments(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    address, port = _open(scene, chance)
    source, ident = _stranger(chance), chance.randrange(65536)
    first = udp(a_port(chance), port, bytes(24))
    yield down(scene, ip4(source, address, UDP, first, fragment=0x2000, ident=ident))
    yield down(scene, ip4(source, address, UDP, bytes(24), fragment=4, ident=ident))
    yield down(scene, ip4(source, address, UDP, first[:8], fragment=0x2000, ident=ident))
    for packet in fragments_of(source, address, chance):
        yield down(scene, packet)


def _down_forwards_errors(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    address, port = _open(scene, chance)
    wrong = chance.choice((port, chance.randrange(1, FORWARD_PORTS)))
    for packet in _errors(_stranger(chance), address, wrong, chance):
        yield down(scene, packet)


def _down_forwards_spoofed(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Claim to be the forward itself, another one, a subscriber."""
    address, port = _open(scene, chance)
    for source in (address, _open(scene, chance)[0], chance.choice(scene.neighbours)):
        for target in (port, chance.randrange(1, FORWARD_PORTS)):
            yield down(scene, ip4(source, address, UDP, udp(target, target)))


def _down_owned_scan(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for packet in _anything(_stranger(chance), _owned(scene, chance), chance):
        yield down(scene, packet)


def _down_owned_fragments(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for packet in fragments_of(_stranger(chance), _owned(scene, chance), chance):
        yield down(scene, packet)


def _down_owned_errors(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    target = _owned(scene, chance)
    for packet in _errors(_stranger(chance), target, a_port(chance), chance):
        yield down(scene, packet)


def _down_owned_spoofed(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    target, port = _owned(scene, chance), a_port(chance)
    for source in (target, _owned(scene, chance), chance.choice(scene.neighbours)):
        yield down(scene, ip4(source, target, TCP, tcp(port, port)))


def _down_inner(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Send to the inner addresses, past NAT."""
    target = chance.choice(scene.neighbours)
    for packet in _anything(_stranger(chance), target, chance):
        yield down(scene, packet)


# ---- from a subscriber ----


def _up_forwards_scan(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for packet in _scan(scene.own, _open(scene, chance)[0], chance):
        yield up(scene, packet)
    yield up(
        scene, ip4(scene.own, _open(scene, chance)[0], UDP, udp(1025, _open(scene, chance)[1]))
    )


def _up_forwards_errors(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    address, port = _open(scene, chance)
    for packet in _errors(scene.own, address, port, chance):
        yield up(scene, packet)


def _up_owned_scan(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for packet in _anything(scene.own, _owned(scene, chance), chance):
        yield up(scene, packet)


def _up_spoofed(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Claim to be a public address: a forwarded one, one's own, another's."""
    for source in (_open(scene, chance)[0], _owned(scene, chance)):
        yield up(scene, ip4(source, scene.remote, UDP, udp(a_port(chance), 7010)))


def _up_anything(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    for packet in _anything(scene.own, scene.remote, chance):
        yield up(scene, packet)
    for packet in fragments_of(scene.own, scene.remote, chance):
        yield up(scene, packet)
    for packet in _errors(scene.own, scene.remote, a_port(chance), chance):
        yield up(scene, packet)


def _up_from_forwards(scene: Scene, chance: random.Random) -> Iterator[bytes]:
    """Send from ports that are forwarded, and from those beside them."""
    for port in (4000, chance.randrange(3990, 4010)):
        yield up(scene, ip4(scene.own, scene.remote, UDP, udp(port, 7010)))
        yield up(scene, ip4(scene.own, scene.remote, TCP, tcp(port, 7010)))


UPSTREAM = (
    Kind("scan-of-forwards", _up_forwards_scan, ("nat44_out2in no-mapping",)),
    Kind("errors-to-forwards", _up_forwards_errors, ("nat44_in2out",)),
    Kind("scan-of-owned", _up_owned_scan, ("nat44_in2out",)),
    Kind("spoofed-public", _up_spoofed, ("antispoof4 source-spoofed",)),
    Kind("anything-from-owned", _up_anything, (), sender="own"),
    Kind("spoofed-by-owned", _up_spoofed, ("antispoof4 source-spoofed",), sender="own"),
    Kind("owned-to-owned", _up_owned_scan, ("icmp4_error",), sender="own"),
    Kind("anything-from-forwarded", _up_anything, ("nat44_in2out",), sender="forwarded"),
    Kind("from-forwarded-ports", _up_from_forwards, (), sender="forwarded"),
)
DOWNSTREAM = (
    Kind("scan-of-forwards", _down_forwards_scan, ("nat44_out2in no-mapping",)),
    Kind("flood-of-forwards", _down_forwards_flood, ()),
    Kind("too-big-for-forwards", _down_forwards_too_big, ("icmp4_error rate-limited",)),
    Kind("fragments-of-forwards", _down_forwards_fragments, ("nat44_out2in",)),
    Kind("errors-of-forwards", _down_forwards_errors, ("nat44_out2in",)),
    Kind("spoofed-at-forwards", _down_forwards_spoofed, ("nat44_out2in no-mapping",)),
    Kind("scan-of-owned", _down_owned_scan, ("icmp4_error rate-limited",)),
    Kind("fragments-of-owned", _down_owned_fragments, ("icmp4_error rate-limited",)),
    Kind("errors-of-owned", _down_owned_errors, ("icmp4_error about-icmp-error",)),
    Kind("spoofed-at-owned", _down_owned_spoofed, ("icmp4_error rate-limited",)),
    Kind("inner-addresses", _down_inner, ("nat44_guard inner-address-from-outside",)),
)
