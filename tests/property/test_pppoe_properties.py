"""Discovery against arbitrary bytes and arbitrary orders of events."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bng.errors import MalformedPacket
from bng.ethernet import MAC_BROADCAST, AccessLine, Mac, VlanTag
from bng.pppoe.actions import Action, CloseSession, OpenSession, SendDiscovery
from bng.pppoe.config import DiscoveryConfig
from bng.pppoe.discovery import Discovery
from bng.pppoe.line import parse_line_info
from bng.pppoe.packet import Code, TagType, build, parse, split_tags, tag

AC = Mac.parse("02:00:5e:00:00:ff")
CONFIG = DiscoveryConfig(
    ac_name=b"bng1",
    service_names=(b"gold",),
    max_payload=1500,
    max_half_open=2,
    max_sessions_per_vlan=2,
    max_sessions=3,
)
LINES = [
    AccessLine(0),
    AccessLine(0, (VlanTag(0x8100, 7),)),
    AccessLine(0, (VlanTag(0x9100, 7),)),  # the same client with another TPID
    AccessLine(1, (VlanTag(0x88A8, 7), VlanTag(0x8100, 1))),
]
MACS = [Mac(bytes([2, 0, 0, 0, 0, n])) for n in range(3)]


def zeros(count: int) -> bytes:
    return bytes(count)


def mutated(payload: bytes) -> st.SearchStrategy[bytes]:
    """Cut, extend or damage *payload* in one place."""
    cut = st.integers(0, len(payload)).map(lambda n: payload[:n])
    spot = st.tuples(st.integers(0, len(payload) - 1), st.integers(0, 255)).map(
        lambda at: payload[: at[0]] + bytes([at[1]]) + payload[at[0] + 1 :]
    )
    return st.one_of(st.binary(max_size=40), cut, spot, st.just(payload))


TAGS = st.lists(
    st.tuples(st.sampled_from([*TagType, 0x7777]), st.binary(max_size=24)), max_size=6
).map(lambda tags: b"".join(int(k).to_bytes(2) + len(v).to_bytes(2) + v for k, v in tags))
PAYLOADS = st.one_of(
    st.binary(max_size=64),
    st.tuples(st.sampled_from(list(Code)), st.integers(0, 0xFFFF), TAGS)
    .map(lambda parts: build(*parts))
    .flatmap(mutated),
)


@given(PAYLOADS, st.sampled_from([AC, MAC_BROADCAST]))
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_answered_or_counted_and_never_raise(payload: bytes, dst: Mac) -> None:
    core = Discovery({0: CONFIG}, zeros, 0.0)
    actions = core.receive(LINES[0], MACS[0], dst, payload, 0.0)
    assert sum(core.counters.values()) > 0
    for action in actions:
        assert isinstance(action, SendDiscovery)  # no bytes open a session: the cookie is missing
        assert len(action.payload) <= 1500
        split_tags(parse(action.payload).tags)


@given(st.binary(max_size=80))
def test_any_line_information_parses_or_is_malformed(data: bytes) -> None:
    try:
        info = parse_line_info(data)
    except MalformedPacket:
        return
    assert info.circuit_id is None or info.circuit_id in data


@given(st.lists(st.tuples(st.sampled_from(sorted(set(TagType) - {0})), st.binary(max_size=99))))
def test_tags_are_read_back_as_they_were_built(tags: list[tuple[TagType, bytes]]) -> None:
    encoded = b"".join(tag(kind, value) for kind, value in tags)
    packet = parse(build(Code.PADI, 7, encoded) + b"padding")
    assert (packet.code, packet.session_id) == (Code.PADI, 7)
    assert split_tags(packet.tags) == tags


class DiscoveryMachine(RuleBasedStateMachine):
    """Clients and a session manager in any order, against a plain list of living sessions."""

    @initialize(rest=st.sampled_from([0.0, 60.0]), delay=st.sampled_from([0.0, 1.0]))
    def start(self, rest: float, delay: float) -> None:
        config = DiscoveryConfig(
            ac_name=b"bng1",
            max_half_open=CONFIG.max_half_open,
            max_sessions_per_vlan=CONFIG.max_sessions_per_vlan,
            max_sessions=CONFIG.max_sessions,
            id_rest_s=rest,
            pado_delay_s=delay,
        )
        self.core = Discovery({0: config, 1: config}, zeros, 0.0)
        self.config = config
        self.now = 0.0
        self.cookies: dict[tuple[AccessLine, Mac], bytes] = {}
        self.live: dict[tuple[int, int, int], OpenSession] = {}  # port, outer VID, id
        self.closing: dict[tuple[int, int, int], OpenSession] = {}
        self.rested: dict[tuple[int, int, int], float] = {}

    def take(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case SendDiscovery(line, dst, payload):
                    for kind, value in split_tags(parse(payload).tags):
                        if kind == TagType.AC_COOKIE:
                            self.cookies[line, dst] = value
                case OpenSession(line=line, session_id=session_id):
                    key = (line.port, line.outer_vid, session_id)
                    assert 1 <= session_id <= 0xFFFE
                    assert key not in self.live
                    assert key not in self.closing
                    assert self.rested.pop(key, 0.0) <= self.now
                    self.live[key] = action
                case CloseSession(line, session_id):
                    key = (line.port, line.outer_vid, session_id)
                    self.closing[key] = self.live.pop(key)

    @rule(line=st.sampled_from(LINES), mac=st.sampled_from(MACS))
    def padi(self, line: AccessLine, mac: Mac) -> None:
        payload = build(Code.PADI, 0, tag(TagType.SERVICE_NAME))
        self.take(self.core.receive(line, mac, MAC_BROADCAST, payload, self.now))

    @rule(line=st.sampled_from(LINES), mac=st.sampled_from(MACS), uniq=st.integers(0, 1))
    def padr(self, line: AccessLine, mac: Mac, uniq: int) -> None:
        tags = tag(TagType.SERVICE_NAME) + tag(TagType.HOST_UNIQ, bytes([uniq]))
        tags += tag(TagType.AC_COOKIE, self.cookies.get((line, mac), b""))
        self.take(self.core.receive(line, mac, AC, build(Code.PADR, 0, tags), self.now))

    @rule(line=st.sampled_from(LINES), mac=st.sampled_from(MACS), uniq=st.integers(0, 1))
    def dial(self, line: AccessLine, mac: Mac, uniq: int) -> None:
        self.padi(line, mac)
        self.padr(line, mac, uniq)
        for session in list(self.live.values()):
            self.take(self.core.accepted(session.line, session.session_id, self.now))
            self.core.opened(session.line, session.session_id)

    @rule(line=st.sampled_from(LINES), mac=st.sampled_from(MACS), session_id=st.integers(0, 4))
    def padt(self, line: AccessLine, mac: Mac, session_id: int) -> None:
        self.take(self.core.receive(line, mac, AC, build(Code.PADT, session_id), self.now))

    @rule(pick=st.integers(0, 99), what=st.sampled_from(["accepted", "opened", "refuse"]))
    def manager(self, pick: int, what: str) -> None:
        if not self.live:
            return
        key = sorted(self.live)[pick % len(self.live)]
        session = self.live[key]
        if what == "accepted":
            self.take(self.core.accepted(session.line, session.session_id, self.now))
        elif what == "opened":
            self.core.opened(session.line, session.session_id)
        else:
            self.take(self.core.refuse(session.line, session.session_id, self.now, "no"))
            self.rested[key] = self.now + self.config.id_rest_s
            del self.live[key]

    @rule(pick=st.integers(0, 99), of_living=st.booleans())
    def release(self, pick: int, of_living: bool) -> None:
        sessions = self.live if of_living else self.closing
        if not sessions:
            return
        key = sorted(sessions)[pick % len(sessions)]
        session = sessions.pop(key)
        self.core.release(session.line, session.session_id, self.now)
        self.rested[key] = self.now + self.config.id_rest_s

    @rule(line=st.sampled_from(LINES), mac=st.sampled_from(MACS))
    def wrong_password(self, line: AccessLine, mac: Mac) -> None:
        self.core.penalize(line, mac, self.now)

    @rule(port=st.sampled_from([None, 0]), on=st.booleans(), ports=st.sampled_from([(0, 1), (1,)]))
    def operate(self, port: int | None, on: bool, ports: tuple[int, ...]) -> None:
        self.core.drain(port, on)
        self.core.reconfigure(dict.fromkeys(ports, self.config))

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.core.tick(self.now))
        deadline = self.core.next_deadline()
        assert deadline is None or deadline > self.now

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "core"):
            return
        stats = self.core.stats()
        assert stats["sessions"] == len(self.live) <= self.config.max_sessions
        assert stats["closing"] == len(self.closing)
        owners = [(s.line.port, s.line.outer_vid, s.mac) for s in self.live.values()]
        assert len(owners) == len(set(owners)) == stats["clients"]

    def teardown(self) -> None:
        if not hasattr(self, "core"):
            return
        for session in [*self.live.values(), *self.closing.values()]:
            self.core.release(session.line, session.session_id, self.now)
        for _ in range(1000):  # each deadline must lead somewhere
            deadline = self.core.next_deadline()
            if deadline is None:
                break
            self.now = max(self.now, deadline)
            self.core.tick(self.now)
        assert self.core.next_deadline() is None
        assert not any(self.core.stats().values())


TestDiscoveryMachine = DiscoveryMachine.TestCase
TestDiscoveryMachine.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
