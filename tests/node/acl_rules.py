"""Rules and packets for tests of ACLs of both families, and what the nodes make of them."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Raw

from bng.aaa.acl import PROTOCOLS, parse_rule
from bng.io.acl import _rule
from dataplane import acl as compiler
from dataplane.acl import NO_PORT, Rule, read_counters
from dataplane.binding import AclAction

from . import family
from .harness import Dataplane, ffi, lib

DENY, PERMIT, REJECT = AclAction.DENY, AclAction.PERMIT, AclAction.REJECT
Flow = tuple[int, int, int, int, str]
"""Source, destination, ports, name of the protocol."""
Ranges = st.SearchStrategy[tuple[int, int]]

EDGE_NUMBERS = (0, 1, 2, 79, 80, 81, 255, 256, 1023, 1024, 0xFFFE, 0xFFFF)
LOW64 = (1 << 64) - 1
ADDRESSES4 = [
    int(IPv4Address(text))
    for text in (
        *("0.0.0.0", "10.0.0.0", "10.0.0.1"),
        *("10.255.255.255", "192.0.2.1", "255.255.255.255"),
    )
]
ADDRESSES6 = [
    int(IPv6Address(text))
    for text in (
        *("::", "::1", "2001:db8::", "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
        *("2001:db8:0:1::", "fe80::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    )
]
ports = st.sampled_from(EDGE_NUMBERS) | st.integers(0, 0xFFFF)
protocols = st.sampled_from([0, 1, 6, 17, 47, 255])
addresses4 = st.sampled_from(ADDRESSES4) | st.integers(0, 0xFFFF_FFFF)
addresses6 = st.one_of(
    st.sampled_from(ADDRESSES6),
    st.integers(0, (1 << 128) - 1),
    st.integers(0, 7).map(lambda n: ADDRESSES6[2] + n),  # one upper half
    st.integers(0, 7).map(lambda n: ADDRESSES6[2] + (n << 64) + LOW64),  # lower half of ones
)


def between(values: st.SearchStrategy[int]) -> Ranges:
    return st.tuples(values, values).map(lambda ends: (min(ends), max(ends)))


def rules(source: Ranges, destination: Ranges, of_ip6: Ranges) -> st.SearchStrategy[Rule]:
    return st.builds(
        Rule,
        st.sampled_from(AclAction),
        source,
        destination,
        st.just(compiler.ANY_PORT) | between(ports),
        st.just(compiler.ANY_PORT) | between(ports),
        st.just(compiler.ANY_PROTOCOL) | between(protocols),
        of_ip6,
        of_ip6,
    )


def flows(addresses: st.SearchStrategy[int], icmp: str) -> st.SearchStrategy[Flow]:
    names = st.sampled_from(["tcp", "udp", icmp, "gre"])
    return st.tuples(addresses, addresses, ports, ports, names)


@dataclass(frozen=True, slots=True)
class Family:
    """What differs between the families."""

    of: family.Family
    arc: int
    """The ACL, and what is behind it."""
    behind_in: str
    behind_out: str
    icmp: str
    prohibited: tuple[int, int]
    """Type and code of the error that tells of a refusal."""
    rules: st.SearchStrategy[Rule]
    flows: st.SearchStrategy[Flow]

    def frame(self, source: int, destination: int, sport: int, dport: int, name: str) -> bytes:
        """Build a packet of a flow."""
        inner = {
            "tcp": TCP(sport=sport, dport=dport),
            "udp": UDP(sport=sport, dport=dport),
            "icmp": ICMP(),
            "icmpv6": ICMPv6EchoRequest(),
            "gre": Raw(bytes(8)),
        }[name]
        if self is IP4:
            ends = {"src": str(IPv4Address(source)), "dst": str(IPv4Address(destination))}
            return bytes(IP(**ends, proto=PROTOCOLS[name]) / inner)
        ends = {"src": str(IPv6Address(source)), "dst": str(IPv6Address(destination))}
        return bytes(IPv6(**ends, nh=PROTOCOLS[name]) / inner)

    def expected(self, acl: list[Rule], default: AclAction, flow: Flow) -> AclAction:
        """Decide as whoever reads the rules one by one."""
        source, destination, sport, dport, name = flow
        if name not in ("tcp", "udp"):
            sport = dport = NO_PORT
        key = (source, destination, sport, dport, PROTOCOLS[name])
        for rule in acl:
            first = rule.ranges[:2] if self is IP4 else (rule.source6, rule.destination6)
            ranges = (*first, *rule.ranges[2:5])
            if all(low <= value <= high for value, (low, high) in zip(key, ranges, strict=True)):
                return AclAction(rule.action)
        return default

    def edges(self, dp: Dataplane, frames: list[bytes], node: str = "acl_in") -> list[str]:
        out = self.of.node(dp, node, *frames, session=0, arc=self.arc)
        return [frame.edge_name for frame in out]

    def verdicts(self, dp: Dataplane, frames: list[bytes], node: str = "acl_in") -> list[AclAction]:
        """Say what became of packets; downstream nobody is told."""
        verdict = {
            "drop: acl-denied": DENY,
            self.behind_in: PERMIT,
            self.behind_out: PERMIT,
            self.of.name("icmp{v}_error"): REJECT,
        }
        return [verdict[edge] for edge in self.edges(dp, frames, node)]


IP4 = Family(
    of=family.IP4,
    arc=0x08,
    behind_in="ip4_lookup",
    behind_out="pppoe_output",
    icmp="icmp",
    prohibited=(3, 13),
    rules=rules(
        st.just(compiler.ANY_ADDRESS) | between(addresses4),
        st.just(compiler.ANY_ADDRESS) | between(addresses4),
        st.just(compiler.NEVER),
    ),
    flows=flows(addresses4, "icmp"),
)
IP6 = Family(
    of=family.IP6,
    arc=0x8028,
    behind_in="policer_in",
    behind_out="policer_out",
    icmp="icmpv6",
    prohibited=(1, 1),
    rules=rules(
        st.sampled_from([compiler.ANY_ADDRESS, compiler.NEVER]),
        st.just(compiler.ANY_ADDRESS),
        st.one_of(st.just(compiler.ANY_ADDRESS6), st.just(compiler.NEVER), between(addresses6)),
    ),
    flows=flows(addresses6, "icmpv6"),
)
BOTH = (IP4, IP6)


def written(*texts: str) -> list[Rule]:
    return [_rule(parse_rule(text)) for text in texts]


def number(address: str) -> int:
    return int(ip_address(address))


def counted(dp: Dataplane) -> list[tuple[Any, ...]]:
    """Return the counters of the first ACL's rules."""
    size = int(dp.section(lib.SECTION_ACL, "uint64_t")[0]) & 0xFFFF_FFFF
    raw = ffi.buffer(dp.section(lib.SECTION_ACL_MEMORY, "uint8_t"), size)
    return [tuple(rule) for rule in read_counters(bytes(raw))]
