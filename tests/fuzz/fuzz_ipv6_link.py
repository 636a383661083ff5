"""Fuzz all of a session's IPv6: a script of packets, of messages to and from a server, and time.

Input: records of one control byte and a length-prefixed payload. The control byte picks what the
payload is: an IPv6 packet, a client's DHCPv6 message, the answer of an external server, or, of the
link, what a session says; and whether the box's DHCPv6 server or its relay is at work.
"""

from ipaddress import IPv6Address, IPv6Network

from bng.ipv6.actions import Action, Install, Lease, Remove, SendPacket, ToServer
from bng.ipv6.advertise import AdvertiseConfig, Advertiser
from bng.ipv6.config import ServerConfig
from bng.ipv6.counters import new_counters
from bng.ipv6.dhcpv6 import parse as parse_dhcpv6
from bng.ipv6.dhcpv6 import parse_relay
from bng.ipv6.link import Ipv6Link
from bng.ipv6.messages import ALL_SERVERS, RelayMessage, duid_ll
from bng.ipv6.nd import parse as parse_nd
from bng.ipv6.options import ClientOptions
from bng.ipv6.packet import Datagram, NextHeader, build_udp, parse, parse_udp
from bng.ipv6.relay import Relay, RelayConfig
from bng.ipv6.server import Server

US, CLIENT = IPv6Address("fe80::1"), IPv6Address("fe80::2")
LINK = IPv6Network("2001:db8:0:1::/64")
OTHER_LINK = IPv6Network("2001:db8:0:2::/64")
CONFIG = ServerConfig(
    duid=duid_ll(bytes(6)),
    preferred_s=10,
    valid_s=20,
    max_prefixes=2,
    hint_lengths=(56,),
    offer_s=3.0,
    options=ClientOptions(dns=(US,), domains=("example.net",), ntp_names=("ntp",)),
)
RELAY = RelayConfig(link_address=IPv6Address("2001:db8::1"), interface_id=b"7")
FREE = {
    False: [IPv6Network("2001:db8:0:1::1")],
    True: list(IPv6Network("2001:db8:100::/54").subnets(new_prefix=56)),
}


class Shelf:
    """A supply of few leases."""

    def __init__(self) -> None:
        self.taken: set[Lease] = set()
        self.gone: set[Lease] = set()

    def take(self, delegated: bool, hint: IPv6Network | None, now: float) -> IPv6Network | None:
        """Give the first that is free."""
        for network in FREE[delegated]:
            if Lease(network, delegated) not in self.taken:
                self.taken.add(Lease(network, delegated))
                return network
        return None

    def keeps(self, lease: Lease) -> bool:
        """Say whether *lease* is what would be given now."""
        return lease not in self.gone

    def release(self, lease: Lease, now: float, *, declined: bool) -> None:
        """Take back what was given."""
        self.taken.remove(lease)
        self.gone.discard(lease)


class Script:
    """Feeds one input to a link and checks what comes back."""

    def __init__(self, relay: bool) -> None:
        self.counters = new_counters()
        self.shelf = Shelf()
        dhcpv6 = (
            Relay(RELAY, US, self.counters)
            if relay
            else Server(CONFIG, self.shelf, US, self.counters, (LINK,))
        )
        advertiser = Advertiser(AdvertiseConfig(), US, bytes)
        self.link = Ipv6Link(advertiser, dhcpv6, US, self.counters)
        self.now = 0.0
        self.installed: set[Lease] = set()
        self.pending: Install | None = None

    def step(self, control: int, payload: bytes) -> None:
        """Run one record."""
        before = sum(self.counters.values())
        match control & 3:
            case 0:
                self.act(self.link.receive(payload, self.now))
            case 1:
                datagram = Datagram(CLIENT, ALL_SERVERS, 546, 547, payload)
                self.act(self.link.receive(build_udp(datagram), self.now))
            case 2:
                relayed = RelayMessage(
                    kind=13, hop_count=0, link_address=US, peer_address=CLIENT, message=payload
                )
                self.act(self.link.from_server(relayed, self.now))
            case _:
                self.manage(control >> 2)
                return
        assert sum(self.counters.values()) > before
        if control & 4:
            self.confirm(ok=not control & 8)

    def manage(self, choice: int) -> None:
        """Do what a session does."""
        match choice & 7:
            case 0:
                self.act(self.link.start(LINK, self.now))
            case 1:
                self.act(self.link.pause(self.now))
            case 2:
                self.link.advertiser.renumber(OTHER_LINK, self.now)
            case 3:
                self.confirm(ok=True)
            case 4:
                self.close()
            case 5:
                self.shelf.gone |= self.shelf.taken
            case _:
                self.now += choice
                self.act(self.link.tick(self.now))
                deadline = self.link.next_deadline()
                assert deadline is None or deadline > self.now

    def confirm(self, ok: bool) -> None:
        """Answer what is to be installed."""
        pending, self.pending = self.pending, None
        if pending is not None:
            if ok:
                self.installed |= set(pending.leases)
            self.act(self.link.installed(pending.request, ok, self.now))

    def close(self) -> None:
        """End the session: nothing is left."""
        if self.pending is not None:
            self.installed |= set(self.pending.leases)
            self.pending = None
        self.act(self.link.close(self.now))
        assert self.installed == set()
        assert self.shelf.taken == set()
        assert self.link.next_deadline() is None

    def act(self, actions: list[Action]) -> None:
        """Do what a session does, and read what is sent."""
        for action in actions:
            match action:
                case Install(leases=leases):
                    assert self.pending is None
                    assert not self.installed & set(leases)
                    self.pending = action
                case Remove(leases):
                    assert self.installed >= set(leases)
                    self.installed -= set(leases)
                case ToServer(payload):
                    assert parse_relay(payload).interface_id == b"7"
                case SendPacket(data):
                    packet = parse(data)
                    assert packet.source == US
                    if packet.next_header == NextHeader.UDP:
                        parse_dhcpv6(parse_udp(packet).payload)
                    else:
                        assert parse_nd(packet) is not None


def test_one_input(data: bytes) -> None:
    """Run one input."""
    script = Script(relay=data[:1] > b"\x7f")
    data = data[1:]
    while len(data) >= 2:
        control, length = data[0], data[1]
        script.step(control, data[2 : 2 + length])
        data = data[2 + length :]
    script.close()
