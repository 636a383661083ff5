"""Neighbor Discovery on the wire; scapy, which has not read our code, builds and judges."""

from ipaddress import IPv6Address, IPv6Network

import pytest
from scapy.layers import inet6
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_RS, IPv6
from scapy.packet import Packet, Raw

from bng.errors import MalformedPacket
from bng.ethernet import Mac
from bng.ipv6 import nd, packet
from bng.ipv6.packet import ALL_NODES

ROUTER, HOST = IPv6Address("fe80::1"), IPv6Address("fe80::2")
TARGET = IPv6Address("2001:db8::5")
MAC = Mac.parse("02:00:5e:00:00:01")
PREFIX = nd.PrefixInformation(
    prefix=IPv6Network("2001:db8:1:2::/64"), valid_s=5400, preferred_s=2700, on_link=False
)
ROUTES = tuple(
    IPv6Network(text) for text in ("::/0", "2001:db8::/32", "2001:db8::/64", "2001:db8::7/128")
)
FULL = nd.RouterAdvertisement(
    hop_limit=64,
    managed=True,
    other=True,
    lifetime_s=1800,
    reachable_ms=30_000,
    retrans_ms=1000,
    source_mac=MAC,
    mtu=1492,
    prefixes=(PREFIX,),
    routes=ROUTES,
    routes_s=899,
    rdnss=(IPv6Address("2001:db8::53"), IPv6Address("2001:db8::54")),
    rdnss_s=900,
    dnssl=("example.net", "corp.example"),
    dnssl_s=901,
)
MESSAGES: list[nd.Message] = [
    nd.RouterSolicitation(),
    nd.RouterSolicitation(source_mac=MAC),
    nd.RouterAdvertisement(),
    FULL,
    nd.NeighborSolicitation(target=TARGET),
    nd.NeighborSolicitation(target=TARGET, source_mac=MAC),
    nd.NeighborAdvertisement(target=TARGET, router=True, override=True, target_mac=MAC),
    nd.NeighborAdvertisement(target=TARGET, solicited=True),
]


def read(data: bytes | Packet) -> nd.Message | None:
    return nd.parse(packet.parse(bytes(data)))


def theirs(
    message: Packet, source: str = "fe80::2", destination: str = "ff02::2", **fields: int
) -> Packet:
    return IPv6(src=source, dst=destination, **{"hlim": 255, **fields}) / message


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_read_back_as_it_was_built(message: nd.Message) -> None:
    assert read(nd.build_message(ROUTER, HOST, message)) == message


@pytest.mark.parametrize("message", MESSAGES)
def test_scapy_finds_the_checksum_right(message: nd.Message) -> None:
    data = nd.build_message(ROUTER, HOST, message)
    judged = IPv6(data)
    assert judged.hlim == 255
    del judged[1].cksum
    assert bytes(judged) == data


def test_scapy_reads_every_field_of_an_advertisement() -> None:
    got = IPv6(nd.build_message(ROUTER, ALL_NODES, FULL))
    ra = got[ICMPv6ND_RA]
    assert (ra.chlim, ra.M, ra.O, ra.routerlifetime) == (64, 1, 1, 1800)
    assert (ra.reachabletime, ra.retranstimer) == (30_000, 1000)
    prefix = got[inet6.ICMPv6NDOptPrefixInfo]
    assert (prefix.prefix, prefix.prefixlen, prefix.L, prefix.A) == ("2001:db8:1:2::", 64, 0, 1)
    assert (prefix.validlifetime, prefix.preferredlifetime) == (5400, 2700)
    assert got[inet6.ICMPv6NDOptMTU].mtu == 1492
    assert got[inet6.ICMPv6NDOptSrcLLAddr].lladdr == str(MAC)
    routes = [got.getlayer(inet6.ICMPv6NDOptRouteInfo, n) for n in range(1, 5)]
    assert [IPv6Network(f"{r.prefix}/{r.plen}") for r in routes] == list(ROUTES)
    assert [(r.len, r.prf, r.rtlifetime) for r in routes] == [(n, 0, 899) for n in (1, 2, 2, 3)]
    rdnss = got[inet6.ICMPv6NDOptRDNSS]
    assert (rdnss.dns, rdnss.lifetime) == (["2001:db8::53", "2001:db8::54"], 900)
    dnssl = got[inet6.ICMPv6NDOptDNSSL]
    assert (dnssl.searchlist, dnssl.lifetime) == (["example.net.", "corp.example."], 901)


def test_a_route_of_no_preference_is_ignored_and_one_too_short_malformed() -> None:
    def told(option: Packet) -> Packet:
        return theirs(ICMPv6ND_RA() / option, destination="ff02::1")

    route = {"prefix": "2001:db8::", "plen": 64, "rtlifetime": 5}
    message = read(told(inet6.ICMPv6NDOptRouteInfo(prf=3, **route)))
    assert isinstance(message, nd.RouterAdvertisement)
    assert (message.routes, message.routes_s) == (ROUTES[2:3], 5)
    message = read(told(inet6.ICMPv6NDOptRouteInfo(prf=2, **route)))
    assert isinstance(message, nd.RouterAdvertisement)
    assert message.routes == ()
    with pytest.raises(MalformedPacket, match="route of length 65 in 16 bytes"):
        read(told(inet6.ICMPv6NDOptRouteInfo(len=2, prefix="2001:db8::", plen=65)))


def test_a_solicitation_of_scapy_is_read() -> None:
    assert read(theirs(ICMPv6ND_RS())) == nd.RouterSolicitation()
    with_mac = ICMPv6ND_RS() / inet6.ICMPv6NDOptSrcLLAddr(lladdr=str(MAC))
    assert read(theirs(with_mac)) == nd.RouterSolicitation(source_mac=MAC)
    assert read(theirs(ICMPv6ND_RS(), source="::")) == nd.RouterSolicitation()


def test_neighbour_messages_of_scapy_are_read() -> None:
    ns = ICMPv6ND_NS(tgt=str(TARGET)) / inet6.ICMPv6NDOptSrcLLAddr(lladdr=str(MAC))
    assert read(theirs(ns)) == nd.NeighborSolicitation(target=TARGET, source_mac=MAC)
    dad = theirs(ICMPv6ND_NS(tgt=str(TARGET)), source="::", destination="ff02::1:ff00:5")
    assert read(dad) == nd.NeighborSolicitation(target=TARGET)
    na = ICMPv6ND_NA(tgt=str(TARGET), R=1, S=1, O=0)
    expected = nd.NeighborAdvertisement(target=TARGET, router=True, solicited=True)
    assert read(theirs(na, destination="fe80::1")) == expected


def test_options_without_use_here_are_ignored() -> None:
    odd = (
        ICMPv6ND_RS() / inet6.ICMPv6NDOptUnknown(type=200, data=b"x" * 6) / Raw(b"\1\2" + b"y" * 14)
    )
    assert read(theirs(odd)) == nd.RouterSolicitation()


def test_another_icmpv6_message_is_none_of_ours() -> None:
    assert read(theirs(inet6.ICMPv6EchoRequest(), hlim=64)) is None


BROKEN = {
    "forwarded on its way": theirs(ICMPv6ND_RS(), hlim=254),
    "checksum": theirs(ICMPv6ND_RS(cksum=1)),
    "code": theirs(ICMPv6ND_RS(code=1)),
    "RS too short": IPv6(nh=58, src="fe80::2", dst="ff02::2", hlim=255)
    / Raw(b"\x85\x00\x7c\xb6\0\0"),
    "option of length 0": theirs(ICMPv6ND_RS() / Raw(bytes(8))),
    "option past the end": theirs(ICMPv6ND_RS() / Raw(b"\1\2" + bytes(6))),
    "half an option": theirs(ICMPv6ND_RS() / Raw(b"\1")),
    "RS from nobody with address": theirs(
        ICMPv6ND_RS() / inet6.ICMPv6NDOptSrcLLAddr(), source="::"
    ),
    "RA from a global address": theirs(ICMPv6ND_RA(), source="2001:db8::1"),
    "RA with prefix length 129": theirs(ICMPv6ND_RA() / inet6.ICMPv6NDOptPrefixInfo(prefixlen=129)),
    "NS for a group": theirs(ICMPv6ND_NS(tgt="ff02::1")),
    "NS from nobody to one": theirs(
        ICMPv6ND_NS(tgt=str(TARGET)), source="::", destination="fe80::1"
    ),
    "NS from nobody with address": theirs(
        ICMPv6ND_NS(tgt=str(TARGET)) / inet6.ICMPv6NDOptSrcLLAddr(),
        source="::",
        destination="ff02::1:ff00:5",
    ),
    "NA for a group": theirs(ICMPv6ND_NA(tgt="ff02::1"), destination="fe80::1"),
    "solicited NA to all": theirs(ICMPv6ND_NA(tgt=str(TARGET), S=1), destination="ff02::1"),
    "too many options": theirs(ICMPv6ND_RS() / Raw(65 * (b"\xc8\x01" + bytes(6)))),
    "no ICMPv6": IPv6(nh=17, hlim=255) / Raw(bytes(8)),
    "DNSSL without end": theirs(ICMPv6ND_RA() / Raw(b"\x1f\x02\0\0\0\0\0\1" + b"\7example")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_must_be_discarded_is_malformed(name: str) -> None:
    with pytest.raises(MalformedPacket):
        read(BROKEN[name])


def test_the_last_of_64_options_is_read() -> None:
    data = theirs(ICMPv6ND_RS() / Raw(63 * (b"\xc8\x01" + bytes(6)) + b"\1\1" + bytes(MAC)))
    assert read(data) == nd.RouterSolicitation(source_mac=MAC)
