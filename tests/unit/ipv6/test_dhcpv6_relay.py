"""The relay agent between a client and an external server, both made of scapy."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest
from scapy.layers import dhcp6
from scapy.packet import Packet

from bng.ipv6.actions import Action, Install, Lease, Remove, SendPacket, ToServer
from bng.ipv6.counters import new_counters
from bng.ipv6.dhcpv6 import option, parse_relay
from bng.ipv6.messages import ALL_SERVERS, INFINITY, RelayMessage
from bng.ipv6.packet import Datagram
from bng.ipv6.relay import Relay, RelayConfig
from tests.unit.ipv6.dhcp_client import CLIENT, CLIENT_DUID, US, judged, server_id

LINK = IPv6Address("2001:db8::1")
ID = b"session-7"
CONFIG = RelayConfig(
    link_address=LINK, interface_id=ID, options=((37, b"\0\0\x0d\xe9line"),), max_leases=2
)
ADDRESS = Lease(IPv6Network("2001:db8:0:1::5"), False)
PREFIX = Lease(IPv6Network("2001:db8:100::/56"), True)
OTHER = Lease(IPv6Network("2001:db8:200::/56"), True)


class Bed:
    """A relay; what it does is kept in lists."""

    def __init__(self, ok: bool | None = True, config: RelayConfig = CONFIG) -> None:
        self.counters = new_counters()
        self.relay = Relay(config, US, self.counters)
        self.ok = ok
        self.now = 0.0
        self.asked: list[Packet] = []
        self.answers: list[Packet] = []
        self.pending: list[Install] = []
        self.installed: set[Lease] = set()

    def client(self, message: Packet, *options: Packet | bytes, trid: int = 1) -> None:
        message.trid = trid
        payload = bytes(message) + option(1, CLIENT_DUID) + b"".join(map(bytes, options))
        self.raw(payload)

    def raw(
        self, payload: bytes, source: IPv6Address = CLIENT, to: IPv6Address = ALL_SERVERS
    ) -> None:
        self.act(self.relay.receive(Datagram(source, to, 546, 547, payload), self.now))

    def server(self, message: Packet, *options: Packet, trid: int = 1) -> None:
        """Let the server answer, as scapy builds it."""
        message.trid = trid
        duid = dhcp6.DUID_LL()
        inner = message / dhcp6.DHCP6OptClientId(duid=duid) / dhcp6.DHCP6OptServerId(duid=duid)
        for part in options:
            inner /= part
        outer = dhcp6.DHCP6_RelayReply(linkaddr=str(LINK), peeraddr=str(CLIENT))
        outer /= dhcp6.DHCP6OptIfaceId(ifaceid=ID) / dhcp6.DHCP6OptRelayMsg(message=inner)
        relayed = parse_relay(bytes(outer))
        assert relayed.interface_id == ID
        self.act(self.relay.from_server(relayed, self.now))

    def act(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case ToServer(payload):
                    self.asked.append(dhcp6.DHCP6_RelayForward(payload))
                case SendPacket(packet):
                    self.answers.append(judged(packet))
                case Install(request, leases):
                    self.pending.append(action)
                    assert not self.installed & set(leases)
                    if self.ok:
                        self.installed |= set(leases)
                    if self.ok is not None:
                        self.act(self.relay.installed(request, self.ok, self.now))
                case Remove(leases):
                    assert self.installed >= set(leases)
                    self.installed -= set(leases)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.act(self.relay.tick(self.now))

    def drops(self) -> dict[str, int]:
        passed = {"relayed", "relay_reply"}
        return {name: n for name, n in self.counters.items() if n and name not in passed}


def ia(lease: Lease, valid: int = 100, *more: Packet, iaid: int = 1) -> Packet:
    address = str(lease.network.network_address)
    if lease.delegated:
        part = dhcp6.DHCP6OptIAPrefix(
            prefix=address, plen=lease.network.prefixlen, preflft=valid, validlft=valid
        )
        return dhcp6.DHCP6OptIA_PD(iaid=iaid, iapdopt=[part, *more])
    part = dhcp6.DHCP6OptIAAddress(addr=address, preflft=valid, validlft=valid)
    return dhcp6.DHCP6OptIA_NA(iaid=iaid, ianaopts=[part, *more])


def bound(bed: Bed) -> Bed:
    """Give the client an address and a prefix, valid for 100 s."""
    bed.client(dhcp6.DHCP6_Request())
    bed.server(dhcp6.DHCP6_Reply(), ia(ADDRESS), ia(PREFIX))
    assert len(bed.answers) == 1
    return bed


def test_a_clients_message_goes_to_the_server_as_it_is() -> None:
    bed = Bed()
    bed.client(dhcp6.DHCP6_Solicit(), dhcp6.DHCP6OptIA_PD(iaid=9))
    (asked,) = bed.asked
    assert (asked.hopcount, asked.linkaddr, asked.peeraddr) == (0, str(LINK), str(CLIENT))
    assert asked[dhcp6.DHCP6OptIfaceId].ifaceid == ID
    assert asked[dhcp6.DHCP6OptRemoteID].remoteid == b"line"
    inner = asked[dhcp6.DHCP6OptRelayMsg].message
    assert (inner.msgtype, inner.trid, inner[dhcp6.DHCP6OptIA_PD].iaid) == (1, 1, 9)


def test_an_advertise_is_passed_on_and_installs_nothing() -> None:
    bed = Bed()
    bed.server(dhcp6.DHCP6_Advertise(), ia(PREFIX))
    assert bed.answers[0].msgtype == 2
    assert (bed.pending, bed.relay.leases()) == ([], {})


def test_a_reconfigure_is_passed_on_and_changes_nothing_by_itself() -> None:
    bed = bound(Bed())
    before = list(bed.pending), bed.relay.leases()
    bed.server(dhcp6.DHCP6_Reconf(), dhcp6.DHCP6OptReconfMsg(msgtype=5))
    assert (bed.answers[-1].msgtype, bed.answers[-1][dhcp6.DHCP6OptReconfMsg].msgtype) == (10, 5)
    assert (bed.pending, bed.relay.leases()) == before


def test_a_reply_is_passed_on_when_what_it_gives_is_installed() -> None:
    bed = Bed(ok=None)
    bed.server(dhcp6.DHCP6_Reply(), ia(ADDRESS, 50), ia(PREFIX))
    assert bed.pending == [Install(1, (ADDRESS, PREFIX), 100.0)]
    assert bed.answers == []
    bed.act(bed.relay.installed(2, True, 0.0))  # not the one asked for
    assert bed.answers == []
    bed.act(bed.relay.installed(1, True, 0.0))
    assert bed.answers[0][dhcp6.DHCP6OptIA_PD].iapdopt[0].plen == 56
    assert bed.relay.leases() == {ADDRESS: 50.0, PREFIX: 100.0}


@pytest.mark.parametrize("ok", [True, False])
def test_replies_that_come_meanwhile_are_passed_on_in_turn(ok: bool) -> None:
    bed = Bed(ok=None)
    bed.server(dhcp6.DHCP6_Reply(), ia(ADDRESS), trid=1)
    bed.server(dhcp6.DHCP6_Reply(), ia(PREFIX), trid=2)
    for trid in range(3, 7):
        bed.server(dhcp6.DHCP6_Reply(), trid=trid)
    assert bed.drops() == {"busy": 1}
    bed.server(dhcp6.DHCP6_Advertise(), trid=8)
    bed.act(bed.relay.installed(1, ok, 0.0))
    bed.act(bed.relay.installed(2, True, 0.0))
    assert [answer.trid for answer in bed.answers] == [8, *([1] if ok else []), 2, 3, 4, 5]
    assert set(bed.relay.leases()) == ({ADDRESS, PREFIX} if ok else {PREFIX})


def test_what_cannot_be_installed_is_not_told_to_the_client() -> None:
    bed = Bed(ok=False)
    bed.server(dhcp6.DHCP6_Reply(), ia(PREFIX))
    assert (bed.answers, bed.relay.leases(), bed.drops()) == ([], {}, {"not_installed": 1})
    bed.ok = True
    bound(bed)


def test_a_lease_that_is_renewed_is_not_installed_again_and_one_that_is_not_ends() -> None:
    bed = bound(Bed())
    bed.wait(60.0)
    bed.server(dhcp6.DHCP6_Reply(), ia(PREFIX))
    assert (len(bed.answers), len(bed.pending)) == (2, 1)
    assert bed.relay.next_deadline() == 100.0
    bed.wait(40.0)
    assert bed.installed == {PREFIX}
    bed.wait(60.0)
    assert (bed.installed, bed.relay.next_deadline()) == (set(), None)
    assert bed.counters["lease_expired"] == 2


def test_infinite_leases_never_end() -> None:
    bed = Bed()
    bed.server(dhcp6.DHCP6_Reply(), ia(PREFIX, INFINITY))
    assert (bed.installed, bed.relay.next_deadline()) == ({PREFIX}, None)


@pytest.mark.parametrize("message", [dhcp6.DHCP6_Release, dhcp6.DHCP6_Decline])
def test_what_a_client_gives_back_ends_when_the_server_has_answered(message: type[Packet]) -> None:
    bed = bound(Bed())
    bed.client(message(), server_id(), ia(ADDRESS), ia(OTHER), trid=5)
    assert len(bed.installed) == 2
    bed.server(dhcp6.DHCP6_Reply(), trid=4)
    assert len(bed.installed) == 2
    bed.server(dhcp6.DHCP6_Reply(), trid=5)
    assert bed.installed == {PREFIX}


def test_only_the_last_releases_are_waited_for() -> None:
    bed = bound(Bed())
    for trid in range(2, 11):
        bed.client(dhcp6.DHCP6_Release(), server_id(), ia(ADDRESS), trid=trid)
    bed.server(dhcp6.DHCP6_Reply(), trid=2)
    assert len(bed.installed) == 2
    bed.server(dhcp6.DHCP6_Reply(), trid=3)
    assert bed.installed == {PREFIX}


def test_a_prefix_that_the_server_replaces_is_removed_and_the_new_one_installed() -> None:
    bed = bound(Bed())
    bed.server(dhcp6.DHCP6_Reply(), ia(PREFIX, 0), ia(OTHER, iaid=2))
    assert bed.installed == {ADDRESS, OTHER}
    assert bed.relay.leases() == {ADDRESS: 100.0, OTHER: 100.0}


def test_a_lease_with_an_error_is_none() -> None:
    bed = Bed()
    failed = dhcp6.DHCP6OptStatusCode(statuscode=6)
    part = dhcp6.DHCP6OptIAPrefix(prefix="2001:db8::", plen=56, validlft=9, iaprefopts=[failed])
    bed.server(dhcp6.DHCP6_Reply(), dhcp6.DHCP6OptIA_PD(iapdopt=[part]))
    assert (len(bed.answers), bed.pending) == (1, [])


@pytest.mark.parametrize(
    "lease", ["::/0", "2000::/3", "::/64", "ff02::/64", "fe80::/64", "2001::/15"]
)
def test_what_no_client_can_have_is_not_passed_on(lease: str) -> None:
    bed = Bed()
    bed.server(dhcp6.DHCP6_Reply(), ia(Lease(IPv6Network(lease, strict=False), True)))
    assert (bed.answers, bed.pending, bed.drops()) == ([], [], {"malformed": 1})


def test_more_leases_than_a_session_may_have_are_not_passed_on() -> None:
    bed = bound(Bed())
    bed.server(dhcp6.DHCP6_Reply(), ia(OTHER))
    assert (len(bed.answers), bed.drops()) == (1, {"too_many_leases": 1})
    assert bed.installed == {ADDRESS, PREFIX}


@pytest.mark.parametrize(
    ("payload", "where", "counter"),
    [
        (b"", {}, "malformed"),
        (bytes(dhcp6.DHCP6_RelayForward()), {}, "malformed"),
        (bytes(dhcp6.DHCP6_Reply()), {}, "not_for_server"),
        (bytes(dhcp6.DHCP6_Advertise()), {}, "not_for_server"),
        (bytes(dhcp6.DHCP6_Solicit()), {"to": LINK}, "sent_unicast"),
        (bytes(dhcp6.DHCP6_Solicit()), {"source": LINK}, "source_not_link_local"),
    ],
)
def test_what_no_client_may_send_is_not_relayed(
    payload: bytes, where: dict[str, IPv6Address], counter: str
) -> None:
    bed = Bed()
    bed.raw(payload, **where)
    assert (bed.asked, bed.drops()) == ([], {counter: 1})


def test_a_message_type_of_the_future_is_relayed() -> None:
    bed = Bed()
    bed.raw(b"\x63\0\0\1")  # RFC 7283
    assert len(bed.asked) == 1


REPLY = RelayMessage(
    kind=13, hop_count=0, link_address=LINK, peer_address=CLIENT, message=b"\7\0\0\1"
)


@pytest.mark.parametrize(
    ("relayed", "counter"),
    [
        (replace(REPLY, message=b"\7"), "malformed"),
        (replace(REPLY, message=b"\1\0\0\1"), "not_for_us"),
        (replace(REPLY, kind=12), "not_for_us"),
        (replace(REPLY, peer_address=LINK), "not_for_us"),
    ],
)
def test_what_no_server_may_send_is_not_passed_on(relayed: RelayMessage, counter: str) -> None:
    bed = Bed()
    bed.act(bed.relay.from_server(relayed, 0.0))
    assert (bed.answers, bed.drops()) == ([], {counter: 1})


@pytest.mark.parametrize("ok", [True, None])
def test_the_end_of_a_session_leaves_nothing(ok: bool | None) -> None:
    bed = Bed()
    bed.server(dhcp6.DHCP6_Reply(), ia(ADDRESS))
    bed.ok = ok
    bed.server(dhcp6.DHCP6_Reply(), ia(PREFIX))
    if ok is None:
        bed.installed.add(PREFIX)  # the dataplane is at it
    bed.act(bed.relay.close(1.0))
    assert (bed.installed, bed.relay.leases()) == (set(), {})
    bed.act(bed.relay.installed(2, True, 1.0))
    assert bed.relay.next_deadline() is None


def test_a_restart_takes_over_what_is_installed() -> None:
    old = bound(Bed())
    new = Bed()
    new.relay.adopt(old.relay.leases())
    new.installed = set(old.installed)
    new.server(dhcp6.DHCP6_Reply(), ia(PREFIX, 200))
    assert new.pending == []
    new.wait(100.0)
    assert new.installed == {PREFIX}
