from dataclasses import replace

import pytest

from bng.ethernet import MAC_BROADCAST, AccessLine, Mac, VlanTag
from bng.pppoe import discovery as module
from bng.pppoe.actions import Action, CloseReason, CloseSession, OpenSession, SendDiscovery
from bng.pppoe.config import DiscoveryConfig
from bng.pppoe.discovery import PADR_REPEAT_S, Discovery
from bng.pppoe.line import LineInfo
from tests.unit.pppoe.frames import (
    AC_COOKIE,
    AC_NAME,
    AC_SYSTEM_ERROR,
    GENERIC_ERROR,
    HOST_UNIQ,
    MAX_PAYLOAD,
    PADI,
    PADO,
    PADR,
    PADS,
    PADT,
    RELAY,
    SERVICE_NAME,
    SERVICE_NAME_ERROR,
    VENDOR,
    Tag,
    frame,
    read,
    values,
)

AC = Mac.parse("02:00:5e:00:00:ff")
MAC = Mac.parse("02:00:5e:00:00:01")
OTHER = Mac.parse("02:00:5e:00:00:02")
LINE = AccessLine(0, (VlanTag(0x88A8, 100), VlanTag(0x8100, 7)))
CONFIG = DiscoveryConfig(ac_name=b"bng1", service_names=(b"gold", b"silver"), max_payload=1500)
ANY: list[Tag] = [(SERVICE_NAME, b"")]


class Node:
    """A Discovery and the manager's part, with time that the test advances."""

    def __init__(self, config: DiscoveryConfig = CONFIG) -> None:
        self.seed = 0
        self.core = Discovery({0: config}, self.entropy, 0.0)
        self.now = 0.0

    def entropy(self, count: int) -> bytes:
        self.seed += 1
        return bytes([self.seed]) * count

    def send(
        self, payload: bytes, *, line: AccessLine = LINE, src: Mac = MAC, dst: Mac = AC
    ) -> list[Action]:
        return self.core.receive(line, src, dst, payload, self.now)

    def padi(
        self, tags: list[Tag] = ANY, *, line: AccessLine = LINE, src: Mac = MAC
    ) -> list[Action]:
        return self.send(frame(PADI, tags), line=line, src=src, dst=MAC_BROADCAST)

    def cookie(self, *, line: AccessLine = LINE, src: Mac = MAC) -> Tag:
        (pado,) = self.padi(line=line, src=src)
        assert isinstance(pado, SendDiscovery)
        return (AC_COOKIE, values(read(pado.payload)[2], AC_COOKIE)[0])

    def padr(
        self, tags: list[Tag] = ANY, *, line: AccessLine = LINE, src: Mac = MAC
    ) -> list[Action]:
        return self.send(frame(PADR, [*tags, self.cookie(line=line, src=src)]), line=line, src=src)

    def dial(
        self, tags: list[Tag] = ANY, *, line: AccessLine = LINE, src: Mac = MAC
    ) -> OpenSession:
        """PADI to PADS and LCP Opened."""
        opens = [a for a in self.padr(tags, line=line, src=src) if isinstance(a, OpenSession)]
        (session,) = opens
        assert sent(self.core.accepted(line, session.session_id, self.now))
        self.core.opened(line, session.session_id)
        return session

    def dropped(self, counter: str, actions: list[Action]) -> bool:
        """Say that nothing came back and *counter*, which was 0, moved."""
        return actions == [] and self.core.counters[counter] == 1


def sent(actions: list[Action]) -> tuple[int, int, list[Tag]]:
    """Read the one frame that *actions* send."""
    (action,) = actions
    assert isinstance(action, SendDiscovery)
    return read(action.payload)


def opening(actions: list[Action]) -> OpenSession:
    action = actions[-1]
    assert isinstance(action, OpenSession)
    return action


# -- PADI and PADO


def test_a_pado_is_unicast_with_one_ac_name_a_cookie_and_the_services() -> None:
    actions = Node().padi()
    code, session_id, tags = sent(actions)
    assert (code, session_id) == (PADO, 0)
    assert isinstance(actions[0], SendDiscovery)
    assert (actions[0].line, actions[0].dst) == (LINE, MAC)
    assert values(tags, AC_NAME) == [b"bng1"]
    assert values(tags, SERVICE_NAME) == [b"", b"gold", b"silver"]
    assert [len(cookie) for cookie in values(tags, AC_COOKIE)] == [16]


def test_a_pado_names_only_the_service_that_was_asked_for() -> None:
    assert values(sent(Node().padi([(SERVICE_NAME, b"silver")]))[2], SERVICE_NAME) == [b"silver"]


def test_no_pado_for_a_service_that_is_not_offered() -> None:
    node = Node()
    assert node.dropped("service_not_offered", node.padi([(SERVICE_NAME, b"bronze")]))


def test_any_service_is_returned_as_sent_when_policy_says_so() -> None:
    node = Node(replace(CONFIG, accept_any_service=True))
    assert values(sent(node.padi([(SERVICE_NAME, b"x")]))[2], SERVICE_NAME) == [b"x"]


def test_an_empty_service_name_is_refused_when_policy_says_so() -> None:
    node = Node(replace(CONFIG, accept_empty_service=False))
    assert node.dropped("service_not_offered", node.padi())


@pytest.mark.parametrize("tags", [[], ANY * 2])
def test_a_padi_without_exactly_one_service_name_is_dropped(tags: list[Tag]) -> None:
    node = Node()
    assert node.dropped("service_name_count", node.padi(tags))


@pytest.mark.parametrize("value", [b"", b"\0", b"uniq", bytes(range(256)) * 4])
def test_host_uniq_and_relay_session_id_come_back_unmodified(value: bytes) -> None:
    node = Node()
    tags = [(HOST_UNIQ, value), *ANY, (RELAY, b"relay-12byte")]
    pado = sent(node.padi(tags))[2]
    session = opening(node.padr(tags))
    pads = sent(node.core.accepted(LINE, session.session_id, 0.0))[2]
    assert session.host_uniq == value
    for answer in (pado, pads):
        assert values(answer, HOST_UNIQ) == [value]
        assert values(answer, RELAY) == [b"relay-12byte"]


def test_what_was_not_sent_is_not_echoed() -> None:
    kinds = {kind for kind, _ in sent(Node().padi())[2]}
    assert kinds == {SERVICE_NAME, AC_NAME, AC_COOKIE}


@pytest.mark.parametrize(
    ("sent_value", "cap", "answer"),
    [
        (1500, 1500, 1500),
        (9000, 1500, 1500),
        (1500, 9000, 1500),
        (1496, 1500, 1496),
        (1500, 1492, None),
        (1492, 1500, None),
        (0, 1500, None),
        (None, 1500, None),
    ],
)
def test_max_payload_is_echoed_only_when_sent_and_capped_by_the_port(
    sent_value: int | None, cap: int, answer: int | None
) -> None:
    node = Node(replace(CONFIG, max_payload=cap))
    tags = list(ANY)
    if sent_value is not None:
        tags.append((MAX_PAYLOAD, sent_value.to_bytes(2)))
    expected = [] if answer is None else [answer.to_bytes(2)]
    assert values(sent(node.padi(tags))[2], MAX_PAYLOAD) == expected
    session = opening(node.padr(tags))
    assert session.max_payload == answer
    pads = sent(node.core.accepted(LINE, session.session_id, 0.0))[2]
    assert values(pads, MAX_PAYLOAD) == expected


def test_a_padi_costs_no_state() -> None:
    node = Node()
    before = node.core.stats()
    for n in range(1000):
        assert node.padi(src=Mac(bytes([2, 0, 0, 0, n >> 8, n & 255])))
    assert node.core.stats() == before
    assert not any(before.values())
    assert node.core.next_deadline() is None


def test_a_padi_of_1484_bytes_is_answered_and_a_longer_one_only_with_a_relays_tag() -> None:
    node = Node()
    room = 1484 - 6 - 4 - 4  # header, Service-Name, head of the filler
    assert sent(node.padi([*ANY, (0x7777, bytes(room))]))
    relay = [(RELAY, bytes(12))]
    assert sent(node.padi([*ANY, (0x7777, bytes(room)), *relay]))
    assert node.dropped("too_long", node.padi([*ANY, (0x7777, bytes(room + 1))]))


def test_a_pado_that_would_not_fit_into_a_frame_is_not_sent() -> None:
    node = Node()
    assert node.dropped("reply_too_long", node.padi([*ANY, (HOST_UNIQ, bytes(1466))]))


def test_a_pado_delay_is_kept() -> None:
    node = Node(replace(CONFIG, pado_delay_s=0.5))
    assert node.padi() == []
    assert node.core.next_deadline() == 0.5
    assert node.core.tick(0.499) == []
    assert sent(node.core.tick(0.5))[0] == PADO
    assert node.core.next_deadline() is None


def test_the_queue_of_delayed_pados_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DELAYED_PADO", 2)
    node = Node(replace(CONFIG, pado_delay_s=0.5))
    node.padi()
    node.padi()
    assert node.dropped("limit_delayed_pado", node.padi())
    assert len(node.core.tick(1.0)) == 2


# -- who may speak, and what


@pytest.mark.parametrize("code", [PADI, PADR, PADT])
def test_a_group_source_address_is_dropped(code: int) -> None:
    node = Node()
    actions = node.send(frame(code, ANY), src=Mac.parse("03:00:00:00:00:01"), dst=MAC_BROADCAST)
    assert node.dropped("source_not_unicast", actions)


def test_a_unicast_padi_is_answered_and_one_to_another_group_is_not() -> None:
    node = Node()
    assert sent(node.send(frame(PADI, ANY), dst=AC))
    group = Mac.parse("33:33:00:00:00:01")
    assert node.dropped("destination_wrong", node.send(frame(PADI, ANY), dst=group))


@pytest.mark.parametrize("code", [PADR, PADT])
def test_a_broadcast_padr_or_padt_is_dropped(code: int) -> None:
    node = Node()
    payload = frame(code, [*ANY, node.cookie()])
    assert node.dropped("destination_wrong", node.send(payload, dst=MAC_BROADCAST))


@pytest.mark.parametrize("code", [PADO, PADS, 0x00, 0xFF])
def test_codes_that_are_not_for_an_ac_are_dropped(code: int) -> None:
    node = Node()
    assert node.dropped("code_not_for_ac", node.send(frame(code, ANY)))


@pytest.mark.parametrize("code", [PADI, PADR])
def test_a_padi_or_padr_with_a_session_id_is_dropped(code: int) -> None:
    node = Node()
    payload = frame(code, [*ANY, node.cookie()], session_id=5)
    assert node.dropped("session_id_not_zero", node.send(payload))


@pytest.mark.parametrize("payload", [b"", b"\x11\x09", frame(PADI, ANY)[:-1]])
def test_malformed_packets_are_counted(payload: bytes) -> None:
    node = Node()
    assert node.dropped("malformed", node.send(payload))


def test_a_port_without_settings_is_not_served() -> None:
    node = Node()
    assert node.dropped("port_unknown", node.padi(line=AccessLine(1)))


# -- PADR and PADS


def test_a_padr_asks_for_a_session_and_pads_leaves_when_it_is_bound() -> None:
    node = Node()
    session = opening(node.padr([(SERVICE_NAME, b"gold")]))
    assert (session.line, session.mac, session.service_name) == (LINE, MAC, b"gold")
    assert 1 <= session.session_id <= 0xFFFE
    code, session_id, tags = sent(node.core.accepted(LINE, session.session_id, 0.0))
    assert (code, session_id) == (PADS, session.session_id)
    assert values(tags, SERVICE_NAME) == [b"gold"]
    assert node.core.accepted(LINE, session.session_id, 0.0) == []


def test_line_information_reaches_the_session() -> None:
    line = bytes.fromhex("00000de9") + b"\x01\x05eth 1" + b"\x82\x04" + (50_000).to_bytes(4)
    session = opening(Node().padr([*ANY, (VENDOR, line)]))
    assert session.line_info == LineInfo(
        circuit_id=b"eth 1", attributes=(("Actual-Data-Rate-Downstream", 50_000_000),)
    )


def test_broken_line_information_is_counted_and_does_not_stop_the_client() -> None:
    node = Node()
    session = opening(node.padr([*ANY, (VENDOR, bytes.fromhex("00000de9 0109 61"))]))
    assert session.line_info is None
    assert node.core.counters["line_info_malformed"] == 1


def test_line_sub_options_that_mean_nothing_are_counted_and_the_others_count() -> None:
    node = Node()
    line = bytes.fromhex("00000de9 aa01ff 810101 0103656e64 010178 8f04ffffffff")
    session = opening(node.padr([*ANY, (VENDOR, line)]))
    assert session.line_info == LineInfo(circuit_id=b"end", ignored=4)
    assert node.core.counters["line_sub_options_ignored"] == 4


@pytest.mark.parametrize("names", [[], ANY * 2, [(SERVICE_NAME, b"bronze")]])
def test_a_padr_without_exactly_one_offered_service_draws_a_service_name_error(
    names: list[Tag],
) -> None:
    node = Node()
    code, session_id, tags = sent(node.padr([*names, (HOST_UNIQ, b"u"), (RELAY, b"r")]))
    assert (code, session_id) == (PADS, 0)
    assert values(tags, SERVICE_NAME_ERROR) == [b""]
    assert (values(tags, HOST_UNIQ), values(tags, RELAY)) == ([b"u"], [b"r"])
    assert not any(node.core.stats().values())


def test_a_padr_without_a_good_cookie_is_dropped_silently() -> None:
    node = Node()
    cookie = node.cookie()
    assert node.dropped("cookie_missing", node.send(frame(PADR, ANY)))
    assert node.dropped("cookie_bad", node.send(frame(PADR, [*ANY, cookie]), src=OTHER))
    for tags, line in [
        ([(AC_COOKIE, cookie[1][::-1])], LINE),
        ([(AC_COOKIE, b"")], LINE),
        ([cookie], AccessLine(0, (VlanTag(0x88A8, 100), VlanTag(0x8100, 8)))),
    ]:
        assert node.send(frame(PADR, [*ANY, *tags]), line=line) == []
    node.now = 60.0
    assert node.send(frame(PADR, [*ANY, cookie])) == []
    assert node.core.counters["cookie_bad"] == 5
    assert not any(node.core.stats().values())


def test_a_repeated_padr_gets_the_same_pads_again() -> None:
    node = Node()
    payload = frame(PADR, [*ANY, (HOST_UNIQ, b"u"), node.cookie()])
    session = opening(node.send(payload))
    assert node.send(payload) == []  # not bound yet: its PADS is on the way
    pads = node.core.accepted(LINE, session.session_id, 0.0)
    node.now = PADR_REPEAT_S - 0.1
    assert node.send(payload) == pads
    assert node.core.stats()["sessions"] == 1
    assert node.core.counters["padr_repeated"] == 2


@pytest.mark.parametrize("change", ["host_uniq", "late", "opened"])
def test_a_padr_from_a_client_that_forgot_its_session_replaces_it(change: str) -> None:
    node = Node()
    cookie = node.cookie()
    old = opening(node.send(frame(PADR, [*ANY, (HOST_UNIQ, b"u"), cookie])))
    node.core.accepted(LINE, old.session_id, 0.0)
    if change == "opened":
        node.core.opened(LINE, old.session_id)
    if change == "late":
        node.now = PADR_REPEAT_S
    uniq = b"v" if change == "host_uniq" else b"u"
    actions = node.send(frame(PADR, [*ANY, (HOST_UNIQ, uniq), cookie]))
    assert actions[0] == CloseSession(LINE, old.session_id, CloseReason.REPLACED)
    new = opening(actions)
    assert new.session_id != old.session_id
    stats = node.core.stats()
    assert (stats["sessions"], stats["half_open"], stats["closing"]) == (1, 1, 1)
    node.core.release(LINE, old.session_id, node.now)
    assert sent(node.core.accepted(LINE, new.session_id, node.now))[1] == new.session_id


def test_a_padi_does_not_touch_the_session_that_its_sender_holds() -> None:
    node = Node()
    node.dial()
    assert sent(node.padi())[0] == PADO
    assert node.core.stats()["sessions"] == 1


def test_two_clients_and_two_lines_have_sessions_of_their_own() -> None:
    node = Node()
    inner = AccessLine(0, (VlanTag(0x88A8, 100), VlanTag(0x8100, 8)))
    outer = AccessLine(0, (VlanTag(0x88A8, 101), VlanTag(0x8100, 7)))
    a = node.dial()
    b = node.dial(src=OTHER)
    c = node.dial(line=inner)
    d = node.dial(line=outer)
    assert len({a.session_id, b.session_id, c.session_id}) == 3  # one domain
    assert d.session_id == a.session_id  # another
    assert node.core.stats()["sessions"] == 4


def test_a_client_may_hold_as_many_sessions_as_its_limit_then_the_oldest_goes() -> None:
    node = Node(replace(CONFIG, max_sessions_per_mac=2))
    first, second = node.dial([*ANY, (HOST_UNIQ, b"1")]), node.dial([*ANY, (HOST_UNIQ, b"2")])
    actions = node.padr([*ANY, (HOST_UNIQ, b"3")])
    assert actions[0] == CloseSession(LINE, first.session_id, CloseReason.REPLACED)
    assert opening(actions).session_id not in {first.session_id, second.session_id}
    assert node.core.stats()["sessions"] == 2


def test_a_refusal_is_a_pads_with_id_0_and_an_ac_system_error() -> None:
    node = Node()
    session = opening(node.padr([*ANY, (HOST_UNIQ, b"u"), (RELAY, b"r")]))
    code, session_id, tags = sent(node.core.refuse(LINE, session.session_id, 0.0, "no room"))
    assert (code, session_id) == (PADS, 0)
    assert values(tags, AC_SYSTEM_ERROR) == [b"no room"]
    assert (values(tags, HOST_UNIQ), values(tags, RELAY)) == ([b"u"], [b"r"])
    assert node.core.stats()["sessions"] == 0
    assert node.core.refuse(LINE, session.session_id, 0.0, "no room") == []
    assert node.core.accepted(LINE, session.session_id, 0.0) == []


def test_a_refusal_fits_into_a_frame_whatever_the_client_wants_echoed() -> None:
    node = Node()
    for size in (1300, 1436):
        session = opening(node.padr([*ANY, (HOST_UNIQ, bytes(size))]))
        (action,) = node.core.refuse(LINE, session.session_id, 0.0, "x" * 300)
        assert isinstance(action, SendDiscovery)
        assert len(action.payload) <= 1500
        assert len(values(read(action.payload)[2], AC_SYSTEM_ERROR)) == 1


def test_a_session_that_was_confirmed_cannot_be_refused_any_more() -> None:
    node = Node()
    session = opening(node.padr())
    node.core.accepted(LINE, session.session_id, 0.0)
    assert node.core.refuse(LINE, session.session_id, 0.0, "late") == []
    assert node.core.stats()["sessions"] == 0


# -- limits


def line(port: int, outer: int, inner: int) -> AccessLine:
    return AccessLine(port, (VlanTag(0x8100, outer), VlanTag(0x8100, inner)))


@pytest.mark.parametrize(
    ("limit", "counter", "crowd"),
    [
        ("max_sessions_per_vlan", "limit_vlan", LINE),
        ("max_sessions_per_port", "limit_port", line(0, 5, 5)),
        ("max_sessions", "limit_sessions", line(1, 5, 5)),
        ("max_half_open", "limit_half_open", line(0, 5, 5)),
    ],
)
def test_a_limit_that_is_reached_is_silent(limit: str, counter: str, crowd: AccessLine) -> None:
    config = DiscoveryConfig(ac_name=b"bng1", **{limit: 2})
    node = Node(config)
    node.core.reconfigure({0: config, 1: config})
    cookie = node.cookie()
    for last in (11, 12):
        session = opening(node.padr(line=crowd, src=Mac(bytes([2, 0, 0, 0, 0, last]))))
        if limit != "max_half_open":
            node.core.opened(crowd, session.session_id)
    assert node.padi() == []
    assert node.send(frame(PADR, [*ANY, cookie])) == []
    assert node.core.counters[counter] == 2
    if limit == "max_half_open":
        node.core.opened(crowd, session.session_id)
    else:
        node.core.release(crowd, session.session_id, 0.0)
    assert opening(node.send(frame(PADR, [*ANY, cookie])))


def test_sessions_elsewhere_do_not_fill_a_vlan() -> None:
    node = Node(replace(CONFIG, max_sessions_per_vlan=1))
    node.dial(line=line(0, 100, 8))
    node.dial(line=line(0, 101, 7))
    assert sent(node.padi())


def test_a_client_at_a_full_box_may_replace_its_own_session() -> None:
    node = Node(replace(CONFIG, max_sessions=1))
    node.dial()
    assert isinstance(node.padr()[0], CloseSession)


def test_clients_that_redial_all_at_once_are_admitted_within_the_half_open_limit() -> None:
    node = Node(replace(CONFIG, max_half_open=1))
    node.dial()
    node.dial(src=OTHER)
    cookie = node.cookie()
    assert opening(node.padr(src=OTHER))
    assert node.dropped("limit_half_open", node.send(frame(PADR, [*ANY, cookie])))
    # its own half-open session it may replace, and so cannot lock itself out
    assert opening(node.padr([*ANY, (HOST_UNIQ, b"again")], src=OTHER))


def test_session_ids_that_run_out_are_counted_and_cost_the_client_nothing() -> None:
    node = Node(replace(CONFIG, max_sessions_per_mac=2, max_sessions_per_vlan=70_000))
    held = node.dial()
    for session_id in set(range(1, 0xFFFF)) - {held.session_id}:
        node.core.adopt(LINE, Mac(b"\x06\0\0\0" + session_id.to_bytes(2)), session_id)
    assert node.core.stats()["sessions"] == 0xFFFE
    assert node.dropped("session_ids_exhausted", node.padr([*ANY, (HOST_UNIQ, b"2")]))


# -- PADT, release, adopt


def test_a_padt_from_the_client_closes_its_session_once() -> None:
    node = Node()
    session = node.dial()
    payload = frame(PADT, session_id=session.session_id)
    assert node.send(payload) == [CloseSession(LINE, session.session_id, CloseReason.PADT)]
    assert node.dropped("padt_unknown", node.send(payload))
    assert node.core.stats()["sessions"] == 0


def test_a_padt_from_another_mac_vlan_or_port_closes_nothing() -> None:
    node = Node()
    node.core.reconfigure({0: CONFIG, 1: CONFIG})
    session = node.dial()
    payload = frame(PADT, session_id=session.session_id)
    assert node.send(payload, src=OTHER) == []
    assert node.send(payload, line=line(0, 100, 8)) == []
    assert node.core.counters["padt_wrong_client"] == 2
    assert node.send(payload, line=line(0, 101, 7)) == []
    assert node.send(payload, line=line(1, 100, 7)) == []
    assert node.send(frame(PADT, session_id=session.session_id + 1)) == []
    assert node.core.counters["padt_unknown"] == 3
    assert node.core.stats()["sessions"] == 1


def test_a_padt_counts_whatever_its_tags_are() -> None:
    node = Node()
    session = node.dial()
    payload = bytes([0x11, PADT]) + session.session_id.to_bytes(2) + b"\0\1\xff"
    assert len(node.send(payload)) == 1


def test_our_padt_carries_a_message_only_when_there_is_one() -> None:
    quiet, loud = Discovery.padt(LINE, MAC, 7), Discovery.padt(LINE, MAC, 7, "maintenance")
    assert (quiet.line, quiet.dst) == (LINE, MAC)
    assert read(quiet.payload) == (PADT, 7, [])
    assert read(loud.payload) == (PADT, 7, [(GENERIC_ERROR, b"maintenance")])


def test_a_session_that_is_being_closed_gets_no_pads_any_more() -> None:
    node = Node()
    session = opening(node.padr())
    assert len(node.send(frame(PADT, session_id=session.session_id))) == 1
    assert node.core.accepted(LINE, session.session_id, 0.0) == []
    assert node.core.refuse(LINE, session.session_id, 0.0, "late") == []
    assert node.core.stats()["closing"] == 0


def test_a_released_id_rests_before_it_is_given_out_again() -> None:
    node = Node()
    session = node.dial()
    node.core.release(LINE, session.session_id, 0.0)
    assert node.core.stats()["ids_resting"] == 1
    node.now = 59.9
    assert node.dial().session_id != session.session_id
    assert node.core.next_deadline() == 60.0
    node.core.tick(60.0)
    assert node.dial(src=OTHER).session_id == session.session_id


def test_an_adopted_session_holds_its_id_and_counts() -> None:
    node = Node()
    probe = node.dial()
    adopted = probe.session_id + 1
    node.core.adopt(LINE, OTHER, adopted)
    stats = node.core.stats()
    assert (stats["sessions"], stats["half_open"]) == (2, 0)
    assert node.dial(src=Mac.parse("02:00:5e:00:00:03")).session_id == adopted + 1
    actions = node.padr(src=OTHER)
    assert actions[0] == CloseSession(LINE, adopted, CloseReason.REPLACED)
    with pytest.raises(ValueError, match="given out"):
        node.core.adopt(LINE, OTHER, probe.session_id)


def test_an_adopted_session_stays_on_a_port_that_is_served_no_more() -> None:
    node = Node()
    node.core.adopt(AccessLine(9), OTHER, 7)
    assert node.core.stats()["sessions"] == 1
    (closed,) = node.core.receive(AccessLine(9), OTHER, AC, frame(PADT, session_id=7), 0.0)
    assert closed == CloseSession(AccessLine(9), 7, CloseReason.PADT)
    node.core.release(AccessLine(9), 7, 0.0)
    assert node.core.stats()["closing"] == 0
    with pytest.raises(ValueError, match="no settings"):
        Discovery({}, bytes, 0.0).adopt(AccessLine(9), OTHER, 1)


def test_a_stale_answer_about_a_session_that_is_gone_is_ignored() -> None:
    node = Node()
    session = opening(node.padr())
    node.core.release(LINE, session.session_id, 0.0)
    node.core.release(LINE, session.session_id, 0.0)
    node.core.opened(LINE, session.session_id)
    assert node.core.accepted(LINE, session.session_id, 0.0) == []
    assert node.core.stats()["ids_resting"] == 1
    assert node.core.stats()["half_open"] == 0


# -- hold-off, drain, reload


def test_a_client_with_a_wrong_password_is_ignored_until_its_hold_off_has_passed() -> None:
    node = Node(replace(CONFIG, holdoff_initial_s=2.0, holdoff_max_s=300.0))
    cookie = node.cookie()
    node.core.penalize(LINE, MAC, 0.0)
    assert node.padi() == []
    assert node.send(frame(PADR, [*ANY, cookie])) == []
    assert node.core.counters["held_off"] == 2
    assert sent(node.padi(src=OTHER))
    (entry,) = node.core.holdoffs(0.0)
    assert (entry.line, entry.mac, entry.failures, entry.until) == (LINE, MAC, 1, 2.0)
    node.now = 2.0
    assert sent(node.padi())
    node.core.penalize(LINE, MAC, 2.0)
    node.now = 5.9
    assert node.padi() == []
    node.core.forgive(LINE, MAC)
    assert sent(node.padi())
    node.core.penalize(LINE, MAC, 6.0)
    assert node.core.clear_holdoff(None, MAC) == 1
    assert sent(node.padi())
    node.core.tick(1e6)
    assert node.core.next_deadline() is None


@pytest.mark.parametrize("port", [None, 0])
def test_a_draining_port_offers_and_opens_nothing_but_lets_clients_leave(port: int | None) -> None:
    node = Node()
    session = node.dial()
    cookie = node.cookie(src=OTHER)
    node.core.drain(port, True)
    assert node.padi(src=OTHER) == []
    assert node.send(frame(PADR, [*ANY, cookie]), src=OTHER) == []
    assert node.core.counters["draining"] == 2
    assert len(node.send(frame(PADT, session_id=session.session_id))) == 1
    node.core.drain(port, False)
    assert sent(node.padi(src=OTHER))


def test_draining_one_port_leaves_the_others_alone() -> None:
    node = Node()
    node.core.reconfigure({0: CONFIG, 1: CONFIG})
    node.core.drain(0, True)
    assert node.padi() == []
    assert sent(node.padi(line=AccessLine(1)))


def test_a_pado_that_waits_is_not_sent_when_its_port_drains_or_is_gone() -> None:
    for stop, counter in [
        (lambda core: core.drain(None, True), "draining"),
        (lambda core: core.drain(0, True), "draining"),
        (lambda core: core.reconfigure({}), "port_unknown"),
    ]:
        node = Node(replace(CONFIG, pado_delay_s=0.5))
        node.padi()
        stop(node.core)
        assert node.dropped(counter, node.core.tick(0.5))


def test_new_settings_apply_at_once_and_drop_no_session() -> None:
    node = Node()
    session = node.dial()
    node.core.reconfigure({0: replace(CONFIG, ac_name=b"bng2")})
    assert values(sent(node.padi())[2], AC_NAME) == [b"bng2"]
    node.core.reconfigure({1: CONFIG})
    assert node.padi() == []
    assert node.core.counters["port_unknown"] == 1
    assert node.core.stats()["sessions"] == 1
    assert len(node.send(frame(PADT, session_id=session.session_id))) == 1
    node.core.release(LINE, session.session_id, 0.0)
    assert node.send(frame(PADT, session_id=session.session_id)) == []
    assert node.core.counters["port_unknown"] == 2  # the port is forgotten with its last session


@pytest.mark.parametrize(
    "wrong",
    [
        {"ac_name": b""},
        {"service_names": (b"",)},
        {"service_names": (b"x" * 600,)},
        {"cookie_lifetime_s": 0.0},
        {"max_sessions_per_mac": 0},
        {"max_payload": 0},
        {"pado_delay_s": -1.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        replace(CONFIG, **wrong)


def test_tpids_are_echoed_and_do_not_make_another_client() -> None:
    node = Node()
    first = node.dial()
    changed = AccessLine(0, (VlanTag(0x9100, 100), VlanTag(0x8100, 7)))
    actions = node.padi(line=changed)
    assert isinstance(actions[0], SendDiscovery)
    assert actions[0].line == changed
    assert node.padr(line=changed)[0] == CloseSession(LINE, first.session_id, CloseReason.REPLACED)
