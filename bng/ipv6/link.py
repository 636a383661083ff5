"""All that the box speaks with a subscriber over IPv6, behind one door: RA, ND, DHCPv6. Sans IO.

What comes in are the IPv6 packets that the dataplane punts, once IPv6CP is open; the dataplane
itself answers echo requests. *source* is our link-local address, of our Interface-Identifier.
"""

from collections.abc import Sequence
from ipaddress import IPv6Address, IPv6Network

from bng.errors import MalformedPacket
from bng.ipv6 import nd
from bng.ipv6.actions import Action, SendPacket
from bng.ipv6.advertise import Advertiser
from bng.ipv6.messages import SERVER_PORT, RelayMessage
from bng.ipv6.packet import ALL_NODES, Ipv6Packet, NextHeader, parse, parse_udp
from bng.ipv6.relay import Relay
from bng.ipv6.server import Server


def link_local(interface_id: int) -> IPv6Address:
    """Return the link-local address of an Interface-Identifier (RFC 5072 §5)."""
    return IPv6Address(0xFE80 << 112 | interface_id)


class Ipv6Link:
    """The IPv6 side of one session; *dhcpv6* is None where there is none."""

    __slots__ = ("_counters", "_source", "advertiser", "dhcpv6")

    def __init__(
        self,
        advertiser: Advertiser,
        dhcpv6: Server | Relay | None,
        source: IPv6Address,
        counters: dict[str, int],
    ) -> None:
        self.advertiser = advertiser
        self.dhcpv6 = dhcpv6
        self._source = source
        self._counters = counters

    def start(self, prefix: IPv6Network | None, now: float) -> list[Action]:
        """Begin to advertise: IPv6CP is open, and *prefix*, the link's, forwarded."""
        return self._sent(self.advertiser.start(prefix, now))

    def receive(self, data: bytes, now: float) -> list[Action]:
        """Take a packet of the client; never raises."""
        try:
            packet = parse(data)
            if packet.next_header == NextHeader.ICMPV6:
                return self._icmpv6(packet, now)
            if packet.next_header == NextHeader.UDP and self.dhcpv6 is not None:
                datagram = parse_udp(packet)
                if datagram.destination_port == SERVER_PORT:
                    return self.dhcpv6.receive(datagram, now)
        except MalformedPacket:
            return self._drop("malformed")
        return self._drop("not_for_us")

    def from_server(self, relayed: RelayMessage, now: float) -> list[Action]:
        """Take the answer of an external server, found by its Interface-Id."""
        if not isinstance(self.dhcpv6, Relay):
            return self._drop("not_for_us")
        return self.dhcpv6.from_server(relayed, now)

    def installed(self, request: int, ok: bool, now: float) -> list[Action]:
        """Take the answer to an `Install`."""
        return [] if self.dhcpv6 is None else self.dhcpv6.installed(request, ok, now)

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        actions = self._sent(self.advertiser.tick(now))
        return actions if self.dhcpv6 is None else actions + self.dhcpv6.tick(now)

    def next_deadline(self) -> float | None:
        """Return when `tick` is due."""
        at = self.advertiser.next_deadline()
        other = None if self.dhcpv6 is None else self.dhcpv6.next_deadline()
        return other if at is None or (other is not None and other < at) else at

    def pause(self, now: float) -> list[Action]:
        """Stop advertising: IPv6CP is no longer open. Leases stay, and end when they are over."""
        return self._sent(self.advertiser.stop(now))

    def close(self, now: float) -> list[Action]:
        """End all: the session ends."""
        actions = self.pause(now)
        return actions if self.dhcpv6 is None else actions + self.dhcpv6.close(now)

    def _icmpv6(self, packet: Ipv6Packet, now: float) -> list[Action]:
        message = nd.parse(packet)
        match message:
            case nd.RouterSolicitation():
                self._counters["router_solicitation"] += 1
                self.advertiser.solicited(now)
                return []
            case nd.NeighborSolicitation() if message.target == self._source:
                return [self._neighbor_advertisement(packet)]
            case _:
                return self._drop("not_for_us")

    def _neighbor_advertisement(self, packet: Ipv6Packet) -> SendPacket:
        """Say that our address is ours (RFC 4861 §7.2.4)."""
        self._counters["neighbor_advertisement_sent"] += 1
        known = not packet.source.is_unspecified
        answer = nd.NeighborAdvertisement(target=self._source, router=True, solicited=known)
        destination = packet.source if known else ALL_NODES
        return SendPacket(nd.build_message(self._source, destination, answer))

    def _sent(self, actions: Sequence[SendPacket]) -> list[Action]:
        self._counters["router_advertisement_sent"] += len(actions)
        return list(actions)

    def _drop(self, counter: str) -> list[Action]:
        self._counters[counter] += 1
        return []
