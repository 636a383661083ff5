"""A subscriber who had every feature leaves: the whole arena is as it was before he came.

Sections and fields are found by name (tests/support/arena.py): a new one is looked at without being
entered here. What may stay is in `STAYS`, with the reason. That the traffic of `TRAFFIC` reaches
every table is a test of its own: who adds a table adds traffic.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.layers.ppp import PPPoE
from scapy.packet import Packet

from bng.session.features import Refreshed, refresh
from bng.session.model import Cause, Session
from dataplane.binding import ffi, lib
from tests.node import lab
from tests.node.harness import ACC, WAN
from tests.support import arena
from tests.support.memory_box import MemoryBox, memory_box

STAYS = {
    "counters, and clocks of the last use": """
        EDGE_COUNTER NODE_RUNTIME.calls NODE_RUNTIME.packets WORKER.epoch WORKER.loops
        WORKER.idle_loops WORKER.rx_packets WORKER.commands PORT.rx_packets PORT.rx_bytes PORT.tx
        ADJACENCY.used MIRROR.fib_writes""",
    "compiled ACLs count what each of their rules decided": "ACL_MEMORY",
    "a worker's share of the free buffers; none may be in use": "WORKER.buffers_free",
    "rings: positions count on, bytes are written over": "RING.head RING.tail RING_DATA",
    "domains and their pages of ids are found again by their next session": """
        DOMAIN DOMAIN_DIRECTORY""",
    "the order in which free blocks are given": """
        NAT_ADDRESS.free_first NAT_ADDRESS.free_last NAT_BLOCK.next""",
    "pages of the FIB that hold no route are taken anew, whatever they hold": """
        FIB4_PAGE FIB6_HEAD FIB6_SLOT""",
    "bngd's record of a session without a sequence number is none": "CONTROL.slot",
    "generations only grow; without one no stale packet could be told": """
        SESSION_IN.generation SESSION_OUT.generation""",
    "a free session's, written anew by BIND": """
        SESSION_IN.line_key SESSION_IN.client_key SESSION_IN.owner SESSION_IN.packets
        SESSION_IN.bytes SESSION_IN.last_in_ms SESSION_IN.mss SESSION_IN.mtu
        SESSION_IN.punt_stamp_ms SESSION_IN.punt_tokens SESSION_OUT.header SESSION_OUT.header_len
        SESSION_OUT.port SESSION_OUT.owner SESSION_OUT.features SESSION_OUT.mtu SESSION_OUT.mss
        SESSION_OUT.packets SESSION_OUT.bytes SESSION_COLD.our_magic SESSION_COLD.peer_magic
        SESSION_COLD.echo_interval_ms SESSION_COLD.echo_next_ms SESSION_COLD.idle_timeout_ms
        SESSION_COLD.last_data_ms SESSION_COLD.echo_failures SESSION_COLD.echo_missed
        SESSION_COLD.echo_id SESSION_COLD.flags SESSION_COLD.outer_tpid SESSION_COLD.outer_vid
        SESSION_COLD.inner_tpid SESSION_COLD.inner_vid SESSION_COLD.session_id SESSION_COLD.mac
        SESSION_COLD.port SESSION_COLD.echo_on SESSION_COLD.domain_page SESSION_COLD.bound_wall_ns
        SESSION_COLD.echo_rx SESSION_COLD.echo_tx SESSION_COLD.in_drops SESSION_COLD.out_drops
        SESSION_COLD.nat_refused SESSION_COLD.nat_scanned_s SESSION_COLD.packets_seen
        SESSION_COLD.policed SESSION_COLD.nat_told_s SESSION_COLD.nat_tokens
        SESSION_COLD.nat_stamp_ms""",
}
"""Why, and what: "SECTION.field", or "SECTION" where it is no array of a struct."""

COUNTS_ON = {
    "what counts while a session lives, and the log of who had which ports": """
        EDGE_COUNTER NODE_RUNTIME.calls NODE_RUNTIME.packets WORKER.epoch WORKER.loops
        WORKER.idle_loops WORKER.rx_packets WORKER.commands PORT.rx_packets PORT.rx_bytes PORT.tx
        ADJACENCY.used RING.head RING.tail RING_DATA SESSION_IN.packets SESSION_IN.bytes
        SESSION_IN.last_in_ms SESSION_OUT.packets SESSION_OUT.bytes SESSION_COLD.last_data_ms
        SESSION_COLD.packets_seen SESSION_COLD.in_drops SESSION_COLD.out_drops
        SESSION_COLD.policed SESSION_COLD.nat_refused SESSION_COLD.nat_told_s
        SESSION_COLD.nat_scanned_s SESSION_COLD.nat_stamp_ms SESSION_COLD.nat_tokens
        SESSION_COLD.echo_next_ms SESSION_COLD.echo_id SESSION_COLD.echo_tx SESSION_COLD.echo_rx
        SESSION_COLD.echo_missed WORKER.buffers_free ACL_MEMORY MIRROR.fib_writes
        SESSION_IN.punt_stamp_ms SESSION_IN.punt_tokens""",
    "bngd's record of a session, written again in its other half": "CONTROL.sequence CONTROL.slot",
    "when the policer was turned off": "POLICER.stamp",
    "a block that was given back is the last to be given": """
        NAT_ADDRESS.free_first NAT_ADDRESS.free_last NAT_BLOCK.next""",
}
"""What differs in a session that had features and has none, from one that never had."""

RESTARTED = {
    "what bngd and the dataplane count of each other": """
        RING.head RING.tail RING_DATA WORKER.commands WORKER.epoch WORKER.loops WORKER.idle_loops
        NODE_RUNTIME.calls NODE_RUNTIME.packets EDGE_COUNTER""",
    "the buckets of a policer that is told its rates again, and when": """
        POLICER.stamp POLICER.tc POLICER.te""",
}
"""What a restart of bngd alone changes: nothing of any session."""

CONFIGURED = {"NODE", "ACCESS_RANGE", "NAT_CONFIG", "ACL", "FIB6_ROOT"}
"""Sections that speak of the configuration: no subscriber changes them."""

ACLS = [
    {"name": "in", "default": "permit", "rules": ["deny udp any any port 666"]},
    {"name": "out", "default": "permit", "rules": ["deny udp any port 667 any"]},
]
NAT = {
    "pool": [
        {"name": "public", "addresses": ["198.51.100.0/29"]},
        {"name": "own", "mode": "one-to-one", "addresses": ["203.0.113.0/30"]},
    ],
    "profile": {
        "own": {"translate": True, "pool": "own"},
        "plain": {"translate": True},
        "bypass": {"translate": True, "bypass": ["192.0.2.77 udp 53"]},
    },
}
OWN = "203.0.113.2"
FEATURES: dict[str, Any] = {
    "rate_up": {"cir_bps": 800_000_000},
    "rate_down": {"cir_bps": 800_000_000, "pir_bps": 900_000_000},
    "acl_in": "in",
    "acl_out": "out",
    "mss_clamp": True,
    "idle_timeout_s": 80_000,
    "port_forwards": ["udp 500 500"],
    "nat_profile": "bypass",
}
"""Those that may change while a session lives."""
PLAIN = {"password": "secret", "mss_clamp": False, "nat_profile": "plain"}
PINNED = PLAIN | {"nat_address": "198.51.100.0"}
USERS = {
    "user00001": PINNED | FEATURES | {"routes": [{"prefix": "192.168.0.0/16"}]},
    "user00002": PLAIN,
    "user00003": PLAIN | {"nat_profile": "own", "nat_address": OWN},
}
WITHOUT = {
    "user00001": PINNED,
    "user00002": PLAIN,
    "user00003": PLAIN | {"nat_profile": "none"},
}
"""The same users without what may change while they live."""
ARGS = (
    "--nat-filtering=address-dependent",
    "--nat-blocks=4",
    "--nat-mappings-per-s=600",
    "--nat-quarantine=60",
)
SERVER, SECOND_SERVER, BYPASSED = "192.0.2.9", "192.0.2.10", "192.0.2.77"
LONGER_THAN_ALL_TIMERS_S = 8_000.0


def names(reasons: dict[str, str]) -> set[str]:
    return {name for listed in reasons.values() for name in listed.split()}


@dataclass(slots=True)
class Bed:
    """A box with a route to the servers, and the clients of two users."""

    box: MemoryBox

    @property
    def sessions(self) -> list[Session]:
        return sorted(self.box.manager.table, key=lambda s: str(s.user_name))

    def inner(self, who: int = 0) -> str:
        return str(self.sessions[who].ipv4_address)

    def send(self, packet: Packet | bytes, who: int = 0) -> None:
        """Send from a client."""
        session = self.sessions[who]
        ident = int(self.box.dataplane.session_cold[session.index].session_id)
        frame = lab.session_frame(bytes(packet), session_id=ident, source=bytes(session.mac))
        self.box.embedded.receive(ACC, frame)

    def answer(self, packet: Packet) -> None:
        """Send from a server."""
        self.box.embedded.receive(WAN, lab.routed_frame(bytes(packet)))

    def left(self) -> list[Packet]:
        """Return what has left for the servers."""
        return [Ether(frame)[IP] for frame in self.box.embedded.sent(WAN)]

    def arrived(self) -> list[Packet]:
        """Return what came to the clients."""
        frames = [Ether(frame) for frame in self.box.embedded.sent(ACC)]
        return [frame[IP] for frame in frames if PPPoE in frame and IP in frame]

    def sent(self, packet: Packet, who: int = 0) -> Packet:
        """Send from a client; return what left for the server."""
        self.send(packet, who)
        (out,) = self.left()
        return out

    def got(self, packet: Packet) -> Packet:
        """Send from a server; return what came to a client."""
        self.answer(packet)
        (home,) = self.arrived()
        return home

    def refresh(self, users: dict[str, Any]) -> None:
        """Have living sessions follow another user file."""
        self.box.set_users(users)
        loaded = self.box._users(users).by_name
        result = Refreshed()
        for session in self.sessions:
            user = loaded[session.user_name or ""]
            refresh(self.box.manager, session, user.profile, result, self.box.now)
        assert result.redial == {}
        self.box.turn()


def udp_many(bed: Bed) -> None:
    """Two blocks full, and what is refused beyond the rate of new mappings."""
    template = bytearray(bytes(IP(src=bed.inner(), dst=SERVER) / UDP(dport=53, chksum=0)))
    for port in range(700):
        template[20:22] = port.to_bytes(2, "big")
        bed.send(bytes(template))
    assert 512 < len(bed.left()) <= 600
    (refused, *_) = bed.arrived()
    assert (refused[ICMP].type, refused[ICMP].code) == (3, 13)


def udp_remotes(bed: Bed) -> None:
    """One mapping that talks to two servers."""
    query = IP(src=bed.inner(), dst=SERVER) / UDP(sport=5, dport=53)
    external = bed.sent(query)
    query.dst = SECOND_SERVER
    assert bed.sent(query)[UDP].sport == external[UDP].sport
    reply = IP(src=SECOND_SERVER, dst=external.src) / UDP(sport=53, dport=external[UDP].sport)
    assert bed.got(reply)[UDP].dport == 5


def tcp(bed: Bed) -> None:
    """Two connections of one port, one of them closed; the MSS is clamped both ways."""
    for server in (SERVER, SECOND_SERVER):
        there = IP(src=bed.inner(), dst=server)
        mss = [("MSS", 1460)]
        syn = bed.sent(there / TCP(sport=7, dport=80, flags="S", options=mss))
        assert syn[TCP].options == [("MSS", 1452)]
        back = IP(src=server, dst=syn.src)
        layer = TCP(sport=80, dport=syn[TCP].sport, flags="SA", options=mss)
        assert bed.got(back / layer)[TCP].options == [("MSS", 1452)]
        bed.sent(there / TCP(sport=7, dport=80, flags="A"))
    bed.sent(there / TCP(sport=7, dport=80, flags="FA"))
    bed.got(back / TCP(sport=80, dport=syn[TCP].sport, flags="FA"))


def icmp(bed: Bed) -> None:
    """A ping, and errors both ways."""
    there = bed.sent(IP(src=bed.inner(), dst=SERVER) / ICMP(type=8, id=9))
    reply = IP(src=SERVER, dst=there.src) / ICMP(type=0, id=there[ICMP].id)
    home = bed.got(reply)
    assert home[ICMP].id == 9
    router = IP(src="192.0.2.254", dst=there.src) / ICMP(type=11)
    assert bed.got(router / there).src == "192.0.2.254"
    bed.sent(IP(src=bed.inner(), dst=SERVER) / ICMP(type=3, code=3) / home)


def hairpin(bed: Bed) -> None:
    """The two subscribers reach each other by their public addresses, once both have sent."""
    externals = [
        bed.sent(IP(src=bed.inner(who), dst=SERVER) / UDP(sport=11, dport=53), who)
        for who in (0, 1)
    ]
    for who in (0, 1, 0):
        other = externals[1 - who]
        layer = UDP(sport=11, dport=other[UDP].sport)
        bed.send(IP(src=bed.inner(who), dst=other.src) / layer, who)
    (*_, home) = bed.arrived()
    assert (home.src, home[UDP].sport) == (externals[0].src, externals[0][UDP].sport)


def filtered(bed: Bed) -> None:
    """What the ACLs deny."""
    bed.send(IP(src=bed.inner(), dst=SERVER) / UDP(sport=13, dport=666))
    assert bed.left() == []
    there = bed.sent(IP(src=bed.inner(), dst=SERVER) / UDP(sport=13, dport=53))
    bed.answer(IP(src=SERVER, dst=there.src) / UDP(sport=667, dport=there[UDP].sport))
    assert bed.arrived() == []


def portless(bed: Bed) -> None:
    """GRE and ESP; the second subscriber, when on the same address, is refused."""
    for protocol in (47, 50):
        there = bed.sent(IP(src=bed.inner(), dst=SERVER, proto=protocol) / bytes(32))
        assert bed.got(IP(src=SERVER, dst=there.src, proto=protocol) / bytes(32)).dst == bed.inner()
        bed.send(IP(src=bed.inner(1), dst=SERVER, proto=protocol) / bytes(32), 1)
        bed.left()
        bed.arrived()


def fragments(bed: Bed) -> None:
    """Datagrams in fragments: out of order, and later ones whose first never comes."""
    whole = IP(src=bed.inner(), dst=SERVER, id=7) / UDP(sport=23, dport=53) / bytes(3000)
    for part in reversed(fragment(whole, 1400)):
        bed.send(part)
    *_, first = bed.left()
    answer = IP(src=SERVER, dst=first.src, id=8) / UDP(sport=53, dport=first[UDP].sport)
    for part in reversed(fragment(answer / bytes(3000), 1400)):
        bed.answer(part)
    assert [packet.dst for packet in bed.arrived()] == [bed.inner()] * 3
    answer.id = 9
    for part in fragment(answer / bytes(3000), 1400)[1:]:
        bed.answer(part)
    assert bed.box.embedded.buffers_in_use() == 2


def bypass(bed: Bed) -> None:
    """A destination without NAT, and what the guard of the inner address lets in."""
    inner = bed.inner()
    assert bed.sent(IP(src=inner, dst=BYPASSED) / UDP(sport=19, dport=53)).src == inner
    assert bed.got(IP(src=BYPASSED, dst=inner) / UDP(sport=53, dport=19)).dst == inner
    assert bed.sent(IP(src=inner, dst=BYPASSED) / UDP(sport=19, dport=54)).src != inner
    bed.answer(IP(src=SERVER, dst=inner) / UDP(sport=53, dport=19))
    assert bed.arrived() == []


def one_to_one(bed: Bed) -> None:
    """A subscriber with a public address of his own: ports, no ports, errors."""
    inner = bed.inner(2)
    there = bed.sent(IP(src=inner, dst=SERVER) / UDP(sport=17, dport=53), 2)
    assert (there.src, there[UDP].sport) == (OWN, 17)
    assert bed.got(IP(src=SERVER, dst=there.src) / UDP(sport=53, dport=17)).dst == inner
    assert bed.sent(IP(src=inner, dst=SERVER, proto=47) / bytes(32), 2).src == there.src
    router = IP(src="192.0.2.254", dst=there.src) / ICMP(type=11)
    assert bed.got(router / there)[ICMP].payload.src == inner


def framed(bed: Bed) -> None:
    """What comes from and goes to a network behind the subscriber."""
    assert bed.sent(IP(src="192.168.3.4", dst=SERVER) / UDP()).src == "192.168.3.4"
    assert bed.got(IP(src=SERVER, dst="192.168.3.4") / UDP()).dst == "192.168.3.4"


LIVE_TRAFFIC: tuple[Callable[[Bed], None], ...] = (
    udp_remotes,
    tcp,
    icmp,
    hairpin,
    filtered,
    portless,
    fragments,
    bypass,
    one_to_one,
    udp_many,
)
TRAFFIC = (*LIVE_TRAFFIC, framed)


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    workers = "--workers=" + ",".join("-" * request.param)
    with memory_box(
        user_table=USERS, config={"acl": ACLS, "nat": NAT}, args=(*ARGS, workers)
    ) as box:
        box.run(1.0, step=0.1)  # what the first routes replaced of the FIBs is free again
        lab.route16(box.embedded, "192.0", lib.LEAF_ADJACENCY, 200)
        entry = lab.adjacency(box.embedded, "192.0")
        entry.kind, entry.port, entry.mtu = lib.ADJ_NEIGHBOUR, WAN, 1500
        ffi.memmove(entry.rewrite, lab.NEIGHBOUR + lab.WAN_MAC + b"\x08\x00", 14)
        yield Bed(box)


def dial(bed: Bed) -> None:
    bed.box.dial(*(bed.box.subscriber(number) for number in (1, 2, 3)))
    assert len(bed.sessions) == 3


def part(bed: Bed) -> None:
    """Everybody leaves, and time passes."""
    for session in bed.sessions:
        bed.box.manager.end(session, Cause.NAS_REQUEST, "", bed.box.now)
    bed.box.run(2.0, step=0.1)
    bed.box.run(200.0, step=1.0)
    assert bed.box.manager.table.count == 0


def use(bed: Bed, traffic: tuple[Callable[[Bed], None], ...]) -> None:
    for one in traffic:
        one(bed)
        bed.box.turn()
        bed.left()
        bed.arrived()


def not_as_before(bed: Bed, before: arena.Snapshot, may: dict[str, str]) -> dict[str, int]:
    """Return what differs and may not: its name, and the index of the first."""
    assert bed.box.embedded.buffers_in_use() == 0
    found = arena.differences(before, arena.snapshot(bed.box.dataplane))
    return {name: at for name, at in found.items() if name not in names(may)}


def test_what_may_stay_is_there() -> None:
    assert names(STAYS) | names(COUNTS_ON) | CONFIGURED <= arena.all_fields() | set(
        arena.sections()
    )


def test_the_traffic_reaches_every_table(bed: Bed) -> None:
    before = arena.snapshot(bed.box.dataplane)
    dial(bed)
    use(bed, TRAFFIC)
    found = arena.differences(before, arena.snapshot(bed.box.dataplane))
    touched = {name.split(".")[0] for name in found}
    assert set(arena.sections()) - touched - CONFIGURED == set(), "no traffic reaches these"
    assert touched & CONFIGURED == set()


def test_after_a_subscriber_with_every_feature_left_the_arena_is_as_it_was(bed: Bed) -> None:
    before = arena.snapshot(bed.box.dataplane)
    for _ in range(2):  # and a second time, over what the first one left
        dial(bed)
        use(bed, TRAFFIC)
        part(bed)
        assert not_as_before(bed, before, STAYS) == {}


def test_sessions_with_every_feature_that_change_hands_leave_the_arena_as_it_was(bed: Bed) -> None:
    before = arena.snapshot(bed.box.dataplane)
    dial(bed)
    use(bed, TRAFFIC)
    for _ in range(2):
        inner = [bed.inner(who) for who in range(3)]
        there = arena.snapshot(bed.box.dataplane)
        came = bed.box.restart()
        assert (len(came.adopted), len(came.ended)) == (3, 0)
        assert arena.differences(there, arena.snapshot(bed.box.dataplane)).keys() <= names(
            RESTARTED
        )
        assert [bed.inner(who) for who in range(3)] == inner
        use(bed, (udp_remotes, icmp, filtered, bypass, one_to_one, framed))
    part(bed)
    assert not_as_before(bed, before, STAYS) == {}


def test_features_turned_off_live_after_a_restart_leave_none(bed: Bed) -> None:
    bed.box.set_users(WITHOUT)
    dial(bed)
    before = arena.snapshot(bed.box.dataplane)
    bed.refresh({**USERS, "user00001": PINNED | FEATURES})
    use(bed, LIVE_TRAFFIC)
    assert len(bed.box.restart().adopted) == 3
    bed.refresh(WITHOUT)
    bed.box.run(LONGER_THAN_ALL_TIMERS_S, step=1.0)
    assert len(bed.sessions) == 3
    assert not_as_before(bed, before, COUNTS_ON) == {}


def test_features_turned_off_live_leave_a_session_as_if_it_had_had_none(bed: Bed) -> None:
    bed.box.set_users(WITHOUT)
    dial(bed)
    before = arena.snapshot(bed.box.dataplane)
    bed.refresh({**USERS, "user00001": PINNED | FEATURES})
    use(bed, LIVE_TRAFFIC)
    bed.refresh(WITHOUT)
    bed.box.run(LONGER_THAN_ALL_TIMERS_S, step=1.0)
    assert len(bed.sessions) == 3
    assert not_as_before(bed, before, COUNTS_ON) == {}
