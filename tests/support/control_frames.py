"""Frames that are control to the box, of routing protocols, ARP and ND; and some that are not."""

from scapy.contrib.ospf import OSPF_Hdr, OSPF_Hello
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet


def eth(**fields: object) -> Packet:
    """Build an Ethernet header; what looks no address up is made at once."""
    return Ether(**{"dst": "02:00:00:00:00:01", "src": "02:00:00:00:00:02", **fields})


def ip4(**fields: object) -> Packet:
    """Build an IPv4 header."""
    return IP(src="192.0.2.2", dst="192.0.2.1", **fields)


def arp() -> Packet:
    """Build a request."""
    return ARP(hwsrc="02:00:00:00:00:02", psrc="192.0.2.2", pdst="192.0.2.1")


def ip6(**fields: object) -> Packet:
    """Build an IPv6 header."""
    return IPv6(src="fe80::2", dst="fe80::1", **fields)


CONTROL_PACKETS = {
    "ospf": eth() / ip4(ttl=1) / OSPF_Hdr() / OSPF_Hello(),
    "ospfv3": eth() / ip6(nh=89, hlim=1) / bytes(40),
    "pim": eth() / ip4(proto=103) / bytes(34),
    "vrrp": eth() / ip4(proto=112) / bytes(20),
    "bfd": eth() / ip4(ttl=255) / UDP(sport=49152, dport=3784) / bytes(24),
    "bfd, ipv6": eth() / ip6(hlim=255) / UDP(sport=49152, dport=3784) / bytes(24),
    "bfd, multihop": eth() / ip4() / UDP(sport=49152, dport=4784) / bytes(24),
    "bgp, from the server": eth() / ip4() / TCP(sport=179, dport=40000, flags="PA") / bytes(19),
    "bgp, to the server": eth() / ip6() / TCP(sport=40000, dport=179, flags="A"),
    "bgp, fin": eth() / ip4() / TCP(dport=179, flags="FA"),
    "rip": eth() / ip4(ttl=1) / UDP(sport=520, dport=520) / bytes(24),
    "ripng": eth() / ip6(hlim=255) / UDP(sport=521, dport=521) / bytes(24),
    "ldp": eth() / ip4(ttl=1) / UDP(sport=646, dport=646) / bytes(30),
    "arp": eth() / arp(),
    "isis": eth(dst="01:80:c2:00:00:15", type=60) / (b"\xfe\xfe\x03\x83" + bytes(56)),
    "ns": eth() / ip6(hlim=255) / ICMPv6ND_NS(),
    "na": eth() / ip6(hlim=255) / ICMPv6ND_NA(),
    "bfd, in a vlan": eth() / Dot1Q(vlan=5) / ip4(ttl=255) / UDP(dport=3784) / bytes(24),
    "arp, in a vlan": eth(type=0x88A8) / Dot1Q(vlan=5) / arp(),
    "ns, in a vlan": eth(type=0x9100) / Dot1Q(vlan=5) / ip6(hlim=255) / ICMPv6ND_NS(),
}
DATA_PACKETS = {
    "udp": eth() / ip4(ttl=255) / UDP(dport=9) / bytes(30),
    "tcp": eth() / ip6() / TCP(dport=443, flags="PA") / bytes(30),
    "bgp, syn": eth() / ip4() / TCP(dport=179, flags="S"),
    "bgp, reset": eth() / ip6() / TCP(sport=179, flags="RA"),
    "a later fragment": eth() / ip4(proto=89, frag=3) / bytes(40),
    "ping": eth() / ip6(hlim=255) / ICMPv6EchoRequest(),
    "ns, from afar": eth() / ip6(hlim=254) / ICMPv6ND_NS(),
    "stp": eth(dst="01:80:c2:00:00:00", type=60) / (b"\x42\x42\x03" + bytes(57)),
    "pppoe": eth(type=0x8864) / bytes(60),
    "three tags": eth() / Dot1Q(vlan=5) / Dot1Q(vlan=6) / arp(),
}

_STREAMS = ("bgp, from the server", "bgp, to the server", "bgp, fin")
_NEIGHBOURS = ("arp", "ns", "na", "arp, in a vlan", "ns, in a vlan")
CONTROL_SORTS = {
    name: "stream" if name in _STREAMS else "neighbour" if name in _NEIGHBOURS else "routing"
    for name in CONTROL_PACKETS
}
CONTROL_FRAMES = {name: bytes(packet) for name, packet in CONTROL_PACKETS.items()}
DATA_FRAMES = {name: bytes(packet) for name, packet in DATA_PACKETS.items()}
"""As they come in; of tagged ones the kernel has taken an outer tag out before."""
TWICE_TAGGED = bytes(
    eth(type=0x9100) / Dot1Q(vlan=7) / Dot1Q(vlan=5) / ip6(hlim=255) / ICMPv6ND_NS()
)
"""An outer tag that the kernel leaves in."""
