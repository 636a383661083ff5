"""Admission follows what can be served, fairly and within bounds."""

from bng.ethernet import AccessLine, Mac
from bng.pppoe.admission import BURST_S, MAX_WAIT_S, MAX_WAITING, Admission, Waiting
from bng.pppoe.config import DiscoveryConfig
from bng.pppoe.packet import parse_request, tag
from bng.pppoe.table import SessionTable

TABLE = SessionTable()
TABLE.reconfigure({0: DiscoveryConfig(ac_name=b"ac")})


def padi(client: int, now: float, host_uniq: bytes = b"") -> Waiting:
    request = parse_request(tag(0x0101, b"") + tag(0x0103, host_uniq))
    mac = Mac(client.to_bytes(6, "big"))
    return Waiting(TABLE.ports[0], client, AccessLine(0), mac, request, now)


def served(admission: Admission, per_s: int, begin: float, end: float) -> list[Waiting]:
    """Return what is answered when the deadlines are kept, as the event loop does."""
    out = list(admission.due(per_s, begin))
    while (at := admission.next_deadline()) is not None and at <= end:
        out += admission.due(per_s, at)
    return out


def test_a_quiet_box_answers_at_once() -> None:
    admission = Admission(0.0)
    assert admission.offer(1, padi(1, 50.0))
    assert [p.client for p in admission.due(10, 50.0)] == [1]
    assert admission.next_deadline() is None


def test_a_storm_is_answered_in_order_at_the_pace() -> None:
    admission = Admission(0.0)
    for client in range(1000):
        assert admission.offer(1, padi(client, 50.0))
    first = [p.client for p in admission.due(100, 50.0)]
    assert len(first) == round(BURST_S * 100) + 1
    later = [p.client for p in served(admission, 100, 50.0, 51.0)]
    assert abs(len(later) - 100) <= 1
    assert first + later == list(range(len(first) + len(later)))
    deadline = admission.next_deadline()
    assert deadline is not None
    assert 51.0 < deadline <= 51.0 + 1 / 100


def test_a_client_that_asks_again_keeps_its_place_and_gets_its_newest_host_uniq() -> None:
    admission = Admission(0.0)
    for client in range(30):
        admission.offer(1, padi(client, 10.0, b"old"))
    assert admission.offer(1, padi(20, 15.0, b"new"))
    assert len(admission) == 30
    order = served(admission, 100, 20.0, 21.0)
    assert [p.client for p in order] == list(range(30))
    assert order[20].request.host_uniq == b"new"


def test_vlans_take_turns() -> None:
    admission = Admission(0.0)
    for client in range(5000):
        admission.offer(666, padi(client, 10.0))
    for client in range(5000, 5010):
        admission.offer(client, padi(client, 10.0))
    served = [p.client for p in admission.due(100, 10.2)]
    assert set(range(5000, 5010)) <= set(served)


def test_one_vlan_cannot_take_all_the_room() -> None:
    admission = Admission(0.0)
    taken = sum(admission.offer(666, padi(client, 10.0)) for client in range(MAX_WAITING))
    assert taken == MAX_WAITING / 2
    assert admission.offer(1, padi(MAX_WAITING, 10.0))


def test_the_room_is_bounded() -> None:
    admission = Admission(0.0)
    taken = sum(admission.offer(client, padi(client, 10.0)) for client in range(MAX_WAITING + 9))
    assert taken == MAX_WAITING


def test_who_has_given_up_is_not_answered_and_costs_no_turn() -> None:
    admission = Admission(0.0)
    for client in range(10):
        admission.offer(1, padi(client, 10.0))
    admission.offer(1, padi(99, 10.0 + MAX_WAIT_S))
    assert [p.client for p in admission.due(10, 11.0 + MAX_WAIT_S)] == [99]
    assert len(admission) == 0
