"""Fragments beside the bypass list: where a rule says a port, the first one decides."""

from collections.abc import Iterator

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.packet import Packet

from dataplane.binding import CommandType

from . import lab
from .harness import ACC, FEATURE_IN_NAT44, WAN, Dataplane
from .nat44 import PUBLIC
from .test_nat44_bypass import DNS, INNER, bypass, refused, rule
from .test_nat44_bypass import box as box
from .test_nat44_static import home, out

OUTSIDE = "inner-address-from-outside"
REMEMBERED_S = 15


def question(port: int, **ip: int) -> list[Packet]:
    """Return a datagram to the server in three fragments, the first one first."""
    whole = IP(src=INNER, dst=DNS, **{"id": 7, **ip}) / UDP(sport=1, dport=port) / bytes(64)
    return [IP(bytes(part)) for part in fragment(whole, 32)]


def answer(port: int, **ip: int) -> list[Packet]:
    whole = IP(src=DNS, dst=INNER, **{"id": 7, **ip}) / UDP(sport=port, dport=1) / bytes(64)
    return [IP(bytes(part)) for part in fragment(whole, 32)]


def test_the_first_fragment_decides_for_the_others_on_the_way_out(box: Dataplane) -> None:
    assert [out(box, part).src for part in question(53)] == [INNER] * 3
    assert [out(box, part).src for part in question(54, id=8)] == [PUBLIC] * 3
    left = [out(box, part) for part in question(53, id=9)]
    assert {part.id for part in left} == {9}, "an inner address needs no other id"
    last, first, middle = (question(53, id=10)[n] for n in (2, 0, 1))
    assert [out(box, part).src for part in (last, first, middle)] == [PUBLIC, INNER, INNER]


def test_the_first_fragment_decides_for_the_others_on_the_way_in(box: Dataplane) -> None:
    assert [home(box, part).dst for part in answer(53)] == [INNER] * 3
    for part in answer(54, id=8):
        assert refused(box, part) == OUTSIDE
    assert refused(box, answer(53, id=9)[2]) == OUTSIDE
    assert home(box, answer(53, id=9)[0]).dst == INNER
    assert home(box, answer(53, id=9)[2]).dst == INNER


def test_what_is_remembered_is_one_datagram_for_a_while(box: Dataplane) -> None:
    assert out(box, question(53)[0]).src == INNER
    assert home(box, answer(53)[0]).dst == INNER
    for other in ({"id": 8}, {"proto": 6}):
        assert out(box, question(53, **other)[1]).src == PUBLIC
        assert refused(box, answer(53, **other)[1]) == OUTSIDE
    box.advance(REMEMBERED_S - 1)
    assert out(box, question(53)[1]).src == INNER
    assert home(box, answer(53)[1]).dst == INNER
    box.advance(2)
    assert out(box, question(53)[1]).src == PUBLIC
    assert refused(box, answer(53)[1]) == OUTSIDE


def test_an_id_that_is_used_again_is_judged_again(box: Dataplane) -> None:
    assert out(box, question(53)[0]).src == INNER
    assert out(box, question(54)[0]).src == PUBLIC
    assert out(box, question(53)[1]).src == PUBLIC
    assert home(box, answer(53)[0]).dst == INNER
    assert refused(box, answer(54)[0]) == OUTSIDE
    assert refused(box, answer(53)[1]) == OUTSIDE


def test_another_session_with_the_address_inherits_nothing(box: Dataplane) -> None:
    assert home(box, answer(53)[0]).dst == INNER
    generation = box.session_in(0).generation
    for kind in (CommandType.SESSION_CLOSE, CommandType.SESSION_RELEASE):
        assert box.command(lab.command(kind, 0, generation)) == 0
    again = box.bind(0)
    assert again != generation
    box.up(0, again, INNER, nat_address=1, features_in=FEATURE_IN_NAT44)
    box.route(INNER, 32, 0, again)
    bypass(box, rule(DNS, 17, 53))
    assert refused(box, answer(53)[1]) == OUTSIDE


@pytest.fixture
def portless(box: Dataplane) -> Iterator[Dataplane]:
    bypass(box, rule(DNS, 17))
    yield box


def test_a_rule_without_a_port_needs_no_order(portless: Dataplane) -> None:
    assert [out(portless, part).src for part in reversed(question(54))] == [INNER] * 3
    assert [home(portless, part).dst for part in reversed(answer(54))] == [INNER] * 3
    tcp = fragment(IP(src=DNS, dst=INNER) / TCP(sport=53) / bytes(64), 32)
    assert refused(portless, tcp[-1]) == OUTSIDE
    ping = fragment(IP(src=INNER, dst=DNS) / ICMP(id=3) / bytes(64), 32)
    portless.receive(ACC, lab.session_frame(bytes(ping[-1])))
    assert [IP(frame[14:]).src for frame in portless.sent(WAN)] == [PUBLIC]
