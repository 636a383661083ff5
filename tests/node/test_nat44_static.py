"""One-to-one NAT: any protocol, fragments, errors both ways (RFC 3022, RFC 1624, RFC 5508)."""

from ipaddress import IPv4Address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.layers.ppp import PPPoE
from scapy.packet import Packet, Raw
from scapy.utils import checksum

from dataplane import binding
from dataplane.binding import CommandType

from . import lab
from .harness import ACC, FEATURE_IN_NAT44, WAN, Dataplane, dataplane, lib
from .nat44 import PUBLIC, nat_args

OWN = ("198.51.0.7", "198.51.0.8")
INNER = ("100.64.0.1", "100.65.0.2")
STATIC_IN, STATIC_OUT = 1 << 10, 1 << 1


def static(dp: Dataplane, session: int, generation: int, public: str, inner: str) -> int:
    """Give a session a public address, "0.0.0.0" for none; return the status."""
    body = binding.SESSION_STATIC.pack(IPv4Address(public).packed, IPv4Address(inner).packed)
    return dp.command(lab.command(CommandType.SESSION_STATIC, session, generation, body))


def own_address(dp: Dataplane, session: int, generation: int) -> None:
    assert static(dp, session, generation, OWN[session], INNER[session]) == 0
    dp.route(OWN[session], 32, session, generation)


def furnished(dp: Dataplane) -> Dataplane:
    """Sessions 0 and 1, each with an address of its own; the rest of the pool is nobody's."""
    assert pool(dp, CommandType.UNREACHABLE4_ADD) == 0
    own_address(dp, 0, lab.furnish(dp))
    generation = dp.bind(1)
    dp.up(1, generation, INNER[1])
    dp.route(INNER[1], 32, 1, generation)
    own_address(dp, 1, generation)
    return dp


def pool(dp: Dataplane, kind: CommandType, prefix: str = "198.51.0.0", length: int = 24) -> int:
    return dp.control(binding.route_record(kind, IPv4Address(prefix).packed, length))


@pytest.fixture
def box(dp: Dataplane) -> Dataplane:
    return furnished(dp)


def log(dp: Dataplane) -> list[tuple[int, str, str]]:
    """Take the NAT log: type, inner, outer."""
    records = []
    for raw in dp.pop(0, binding.Ring.NAT_LOG):
        r = binding.NatLogRecord(*binding.NAT_LOG.unpack(raw))
        records.append((r.type, str(IPv4Address(r.inner)), str(IPv4Address(r.outer))))
    return records


def out(dp: Dataplane, packet: Packet, session_id: int = 1) -> Packet:
    """Send from the subscriber; return what left for the server."""
    dp.receive(ACC, lab.session_frame(bytes(packet), session_id=session_id))
    (frame,) = dp.sent(WAN)
    return IP(frame[14:])


def home(dp: Dataplane, packet: Packet, session_id: int = 1) -> Packet:
    """Send from outside; return what reached the subscriber."""
    dp.receive(WAN, lab.routed_frame(bytes(packet)))
    return at_home(dp, session_id)


def at_home(dp: Dataplane, session_id: int = 1) -> Packet:
    (frame,) = dp.sent(ACC)
    decoded = Ether(frame)
    assert decoded[PPPoE].sessionid == session_id
    return IP(bytes(decoded[IP]))


def moved(packet: Packet, **addresses: str) -> bytes:
    """Return the packet one hop on, with other addresses and every checksum made anew."""
    anew = IP(bytes(packet))
    anew.ttl -= 1
    for name, value in addresses.items():
        setattr(anew, name, value)
    del anew.chksum
    for layer in (TCP, UDP):
        if layer in anew and anew[layer].chksum:
            del anew[layer].chksum
    return bytes(anew)


PAYLOADS = {
    "tcp": TCP(sport=5000, dport=80, flags="S") / b"data!",
    "udp": UDP(sport=5000, dport=53) / b"data!",
    "udp without checksum": UDP(sport=5000, dport=53, chksum=0) / b"data!",
    "echo": ICMP(id=7, seq=1) / b"data!",
    "gre": Raw(b"\x00\x00\x08\x00" + bytes(range(20))),
    "esp": Raw(bytes(range(40))),
    "one byte": Raw(b"\x01"),
    "nothing": Raw(b""),
}
PROTOCOLS = {"gre": 47, "esp": 50, "one byte": 6, "nothing": 17}


def payload(name: str, src: str, dst: str) -> Packet:
    packet = IP(src=src, dst=dst) / PAYLOADS[name]
    if name in PROTOCOLS:
        packet.proto = PROTOCOLS[name]
    return IP(bytes(packet))


@pytest.mark.parametrize("name", PAYLOADS)
def test_every_protocol_passes_both_ways(box: Dataplane, name: str) -> None:
    there = payload(name, INNER[0], lab.SERVER)
    assert bytes(out(box, there)) == moved(there, src=OWN[0])
    back = payload(name, lab.SERVER, OWN[0])
    assert bytes(home(box, back)) == moved(back, dst=INNER[0])


@pytest.mark.parametrize("protocol", [33, 136], ids=["dccp", "udp-lite"])
def test_a_checksum_of_dccp_and_udp_lite_follows(box: Dataplane, protocol: int) -> None:
    def whole(src: str, dst: str) -> bytes:
        pseudo = IPv4Address(src).packed + IPv4Address(dst).packed
        body = bytes.fromhex("138800350010") + bytes(2) + bytes(range(8))
        pseudo += bytes((0, protocol)) + len(body).to_bytes(2, "big")
        return body[:6] + checksum(pseudo + body).to_bytes(2, "big") + body[8:]

    there = IP(src=INNER[0], dst=lab.SERVER, proto=protocol) / whole(INNER[0], lab.SERVER)
    assert bytes(out(box, there).payload) == whole(OWN[0], lab.SERVER)
    back = IP(src=lab.SERVER, dst=OWN[0], proto=protocol) / whole(lab.SERVER, OWN[0])
    assert bytes(home(box, back).payload) == whole(lab.SERVER, INNER[0])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(8, 64).map(lambda n: n * 8), st.randoms(), st.sampled_from([TCP, UDP]))
def test_fragments_pass_in_any_order(box: Dataplane, size: int, order: object, layer: type) -> None:
    """The checksum of TCP may even be in the second fragment."""
    there = IP(src=INNER[0], dst=lab.SERVER, id=9) / layer(sport=1, dport=2) / bytes(range(200))
    expected = bytes(IP(moved(there, src=OWN[0])).payload)
    parts = fragment(IP(bytes(there)), fragsize=size if size < 200 else 8)
    order.shuffle(parts)  # type: ignore[attr-defined]
    pieces = sorted((out(box, part) for part in parts), key=lambda piece: piece.frag)
    assert {piece.src for piece in pieces} == {OWN[0]}
    assert b"".join(bytes(piece.payload) for piece in pieces) == expected


@pytest.mark.parametrize("name", ["tcp", "udp", "udp without checksum", "echo", "gre", "nothing"])
@pytest.mark.parametrize("quoted", [20, 28, 38, 1500], ids="quote of {}".format)
def test_an_error_quotes_what_its_receiver_sent(box: Dataplane, name: str, quoted: int) -> None:
    sent = payload(name, INNER[0], lab.SERVER)
    seen = bytes(out(box, sent))
    error = IP(src="192.0.2.254", dst=OWN[0]) / ICMP(type=3, code=4) / seen[:quoted]
    back = home(box, error)
    assert lab.decoded(bytes(back)).dst == INNER[0]
    quote = IP(bytes(back[ICMP].payload)).copy()
    assert bytes(back[ICMP].payload) == one_hop_on(sent)[:quoted]
    assert quote.src == INNER[0]

    got = payload(name, lab.SERVER, OWN[0])
    inside = bytes(home(box, got))
    answer = IP(src=INNER[0], dst=lab.SERVER) / ICMP(type=3, code=3) / inside[:quoted]
    there = out(box, answer)
    assert lab.decoded(bytes(there)).src == OWN[0]
    assert bytes(there[ICMP].payload) == one_hop_on(got)[:quoted]


def one_hop_on(packet: Packet) -> bytes:
    return moved(packet)


@pytest.mark.parametrize(
    "quote",
    [
        bytes(IP(src="192.0.2.77", dst=lab.SERVER) / UDP()),
        b"\x65" + bytes(IP(src=OWN[0], dst=lab.SERVER) / UDP())[1:],
        b"\x44" + bytes(IP(src=OWN[0], dst=lab.SERVER) / UDP())[1:],
        b"\x4f" + bytes(IP(src=OWN[0], dst=lab.SERVER) / UDP())[1:],
        bytes(IP(src=OWN[0], dst=lab.SERVER))[:19],
    ],
    ids=["of another", "version", "short header", "long header", "cut"],
)
def test_a_quote_that_is_none_is_left_as_it_is(box: Dataplane, quote: bytes) -> None:
    error = IP(src="192.0.2.254", dst=OWN[0]) / ICMP(type=3, code=4) / quote
    assert bytes(home(box, error)[ICMP].payload) == quote


def test_a_checksum_that_was_wrong_stays_wrong(box: Dataplane) -> None:
    there = IP(bytes(IP(src=INNER[0], dst=lab.SERVER) / UDP(chksum=0x1234) / b"data"))
    sent = out(box, there)
    wrong = IP(moved(there, src=OWN[0]))
    assert sent[UDP].chksum not in (0, wrong[UDP].chksum)


def test_sources_of_framed_routes_pass_as_they_are(box: Dataplane) -> None:
    there = IP(src=lab.FRAMED, dst=lab.SERVER) / UDP() / b"data"
    assert bytes(out(box, there)) == moved(there)
    back = IP(src=lab.SERVER, dst=lab.FRAMED) / UDP() / b"data"
    assert bytes(home(box, back)) == moved(back)


def test_errors_on_the_way_down_quote_the_packet_as_its_sender_knows_it(box: Dataplane) -> None:
    for packet, kind in (
        (IP(src=lab.SERVER, dst=OWN[0], ttl=1) / UDP() / b"data", (11, 0)),
        (IP(src=lab.SERVER, dst=OWN[0], flags="DF") / UDP() / bytes(1470), (3, 4)),
    ):
        box.receive(WAN, lab.routed_frame(bytes(packet)))
        (frame,) = box.sent(WAN)
        error = lab.decoded(frame[14:])
        assert (error[ICMP].type, error[ICMP].code) == kind
        assert frame[14 + 28 :] == bytes(packet)[: 576 - 28]


def test_what_is_too_big_is_fragmented_and_every_fragment_translated(box: Dataplane) -> None:
    whole = IP(src=lab.SERVER, dst=OWN[0], id=3) / UDP(sport=1, dport=2) / bytes(1472)
    box.receive(WAN, lab.routed_frame(bytes(whole)))
    pieces = [IP(bytes(Ether(frame)[IP])) for frame in box.sent(ACC)]
    assert len(pieces) == 2
    assert {piece.dst for piece in pieces} == {INNER[0]}
    expected = bytes(IP(moved(whole, dst=INNER[0])).payload)
    assert b"".join(bytes(piece.payload) for piece in pieces) == expected


def test_two_subscribers_meet_by_their_public_addresses(box: Dataplane) -> None:
    box.receive(ACC, lab.session_frame(bytes(IP(src=INNER[0], dst=OWN[1]) / UDP() / b"data")))
    met = at_home(box, 2)
    assert (met.src, met.dst) == (OWN[0], INNER[1])


def test_a_subscriber_behind_port_blocks_is_met_and_meets() -> None:
    with dataplane(*nat_args()) as dp:
        furnished(dp)
        dp.up(2, dp.bind(2), "100.64.0.3", nat_address=1, features_in=FEATURE_IN_NAT44)
        query = IP(src="100.64.0.3", dst=OWN[0]) / UDP(sport=9, dport=53) / b"?"
        dp.receive(ACC, lab.session_frame(bytes(query), session_id=3))
        got = at_home(dp)
        assert (got.src, got.dst) == (PUBLIC, INNER[0])
        answer = IP(src=INNER[0], dst=PUBLIC) / UDP(sport=53, dport=got[UDP].sport) / b"!"
        dp.receive(ACC, lab.session_frame(bytes(answer)))
        back = at_home(dp, 3)
        assert (back.src, back.dst, back[UDP].dport) == (OWN[0], "100.64.0.3", 9)


def test_an_address_of_the_pool_that_is_nobodys_is_unreachable(box: Dataplane) -> None:
    box.receive(WAN, lab.routed_frame(bytes(IP(src=lab.SERVER, dst="198.51.0.9") / UDP())))
    (frame,) = box.sent(WAN)
    error = lab.decoded(frame[14:])
    assert (error[ICMP].type, error[ICMP].code) == (3, 1)
    assert pool(box, CommandType.UNREACHABLE4_ADD) == 0
    for _ in range(2):
        assert pool(box, CommandType.UNREACHABLE4_DEL) == 0
    box.receive(WAN, lab.routed_frame(bytes(IP(src=lab.SERVER, dst="198.51.0.9") / UDP())))
    assert lab.decoded(box.sent(WAN)[0][14:])[ICMP].code == 0
    assert pool(box, CommandType.UNREACHABLE4_ADD, "198.51.0.1") == -22
    assert pool(box, CommandType.UNREACHABLE4_ADD, length=33) == -22


def test_the_log_says_who_had_which_address(box: Dataplane) -> None:
    generation = box.session_in(0).generation
    added, removed = binding.NatLogType.STATIC_ADDED, binding.NatLogType.STATIC_REMOVED
    assert log(box) == [(added, INNER[i], OWN[i]) for i in range(2)]
    assert static(box, 0, generation, OWN[0], INNER[0]) == 0
    assert log(box) == []
    assert static(box, 0, generation, "198.51.0.77", INNER[0]) == 0
    assert log(box) == [(removed, INNER[0], OWN[0]), (added, INNER[0], "198.51.0.77")]
    for kind in (CommandType.SESSION_CLOSE, CommandType.SESSION_RELEASE):
        assert box.command(lab.command(kind, 0, generation)) == 0
    assert log(box) == [(removed, INNER[0], "198.51.0.77")]
    assert box.session_cold(0).nat_public == 0
    assert (box.session_in(0).features, box.session_out(0).features) == (0, 0)


def test_it_goes_off_while_the_session_lives(box: Dataplane) -> None:
    generation = box.session_in(0).generation
    assert static(box, 0, generation, "0.0.0.0", INNER[0]) == 0
    assert box.session_in(0).features & STATIC_IN == 0
    assert box.session_out(0).features & STATIC_OUT == 0
    there = IP(src=INNER[0], dst=lab.SERVER) / UDP() / b"data"
    assert bytes(out(box, there)) == moved(there)


def test_commands_that_make_no_sense_are_refused(box: Dataplane) -> None:
    generation = box.session_in(0).generation
    assert static(box, 0, generation, OWN[0], "100.64.0.99") == -22
    assert static(box, 0, generation, OWN[0], "0.0.0.0") == -22
    with pytest.raises(RuntimeError, match="-22"):
        box.up(0, generation, "100.64.0.99")
    assert box.command(lab.command(CommandType.SESSION_CLOSE, 0, generation)) == 0
    assert static(box, 0, generation, OWN[0], INNER[0]) == -22
    assert static(box, 0, generation + 1, OWN[0], INNER[0]) == -116


def test_a_binding_whose_end_could_not_be_logged_is_refused(box: Dataplane) -> None:
    """The ring keeps room for the end of every binding, whatever else fills it."""
    generation = box.session_in(0).generation
    ring = box.section(lib.SECTION_RING, "struct ring")[binding.Ring.NAT_LOG]
    ring.head += ring.size
    ring.tail = before = ring.head  # as if all but 4 records waited there
    ring.tail -= ring.size - 4 * 48
    assert static(box, 0, generation, "198.51.0.77", INNER[0]) == -28
    assert box.session_cold(0).nat_public == 0
    for index in (0, 1):
        for kind in (CommandType.SESSION_CLOSE, CommandType.SESSION_RELEASE):
            record = lab.command(kind, index, box.session_in(index).generation)
            assert box.command(record) == 0
    ring.tail = before
    assert [kind for kind, *_ in log(box)] == [binding.NatLogType.STATIC_REMOVED] * 2


def test_a_session_without_it_visits_no_more_nodes_than_before(dp: Dataplane) -> None:
    lab.furnish(dp)
    out(dp, IP(src=INNER[0], dst=lab.SERVER) / UDP())
    home(dp, IP(src=lab.SERVER, dst=INNER[0]) / UDP())
    assert not [edge for edge in dp.counters() if "static" in edge]
