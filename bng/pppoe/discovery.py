"""The Discovery stage of an Access Concentrator (RFC 2516 §5, RFC 4638, TR-101), sans IO.

PADI costs no state: the AC-Cookie carries it. A PADR with a good cookie takes a session id and
asks for a session; PADS leaves when the session is bound. What is dropped is counted by cause
in `Discovery.counters`. The Session stage and the dataplane are not this module's business.
"""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bng.errors import MalformedPacket
from bng.ethernet import MAC_BROADCAST, AccessLine, Mac
from bng.pppoe.actions import Action, CloseReason, CloseSession, OpenSession, SendDiscovery
from bng.pppoe.admission import Admission, Waiting
from bng.pppoe.config import DiscoveryConfig
from bng.pppoe.cookie import KEY_BYTES, CookieJar
from bng.pppoe.counters import COUNTERS
from bng.pppoe.holdoff import HoldOff, HoldOffs
from bng.pppoe.ids import IDS, SessionIds
from bng.pppoe.line import LineInfo, parse_line_info
from bng.pppoe.packet import (
    HEADER_BYTES,
    MAX_PADI_BYTES,
    MAX_TAGS_BYTES,
    Code,
    Packet,
    Request,
    TagType,
    build,
    parse,
    parse_request,
    tag,
)
from bng.pppoe.place import client_of, domain_of, vlan_of
from bng.pppoe.table import Port, Session, SessionTable

PADR_REPEAT_S: Final = 10.0  # an equal PADR within this time is a retransmission
MAX_DELAYED_PADO: Final = 16_384
LATE_S: Final = 0.1
BEHIND_SHARE: Final = 10
"""Of the pace goes on while packets are read later than that: nobody can stop admission."""
_REPLY_BYTES: Final = MAX_TAGS_BYTES - 4  # leaves room for an error tag
RELAY_TAG_BYTES: Final = 16  # RFC 2516 Appendix A: a relay's tag may come on top of 1484 bytes


@dataclass(slots=True)
class _Arrival:
    """A frame on its way through the rules."""

    port: Port
    client: int
    line: AccessLine
    src: Mac
    dst: Mac
    packet: Packet
    now: float


class Discovery:
    """Discovery on all access ports; *configs* by port index, *entropy* returns n random bytes.

    *setup_per_s* is the pace of admission, box-wide; it may be set anew at any time. With the same
    *cookie_key* (KEY_BYTES bytes), a client's cookie is good across a restart.
    """

    def __init__(
        self,
        configs: Mapping[int, DiscoveryConfig],
        entropy: Callable[[int], bytes],
        now: float,
        setup_per_s: int = 100_000,
        cookie_key: bytes | None = None,
    ) -> None:
        self.setup_per_s = setup_per_s
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self._entropy = entropy
        self._jar = CookieJar(cookie_key or entropy(KEY_BYTES))
        self._ids = SessionIds(int.from_bytes(entropy(4)) % IDS)
        self._holdoffs = HoldOffs()
        self._table = SessionTable()
        self._admission = Admission(now)
        self._draining = False
        self._behind_until = now
        self._delayed: list[tuple[float, int, SendDiscovery]] = []  # heap
        self._sequence = 0
        self.reconfigure(configs)

    # -- packets and time

    def receive(
        self, line: AccessLine, src: Mac, dst: Mac, payload: bytes, now: float
    ) -> list[Action]:
        """Take a frame's *payload*, what follows ethertype 0x8863; never raises."""
        if src[0] & 1:
            return self._drop("source_not_unicast")
        port = self._table.ports.get(line.port)
        if port is None:
            return self._drop("port_unknown")
        try:
            packet = parse(payload)
            arrival = _Arrival(port, client_of(line, src), line, src, dst, packet, now)
            match packet.code:
                case Code.PADI:
                    self.counters["padi"] += 1
                    return self._padi(arrival)
                case Code.PADR:
                    self.counters["padr"] += 1
                    return self._padr(arrival)
                case Code.PADT:
                    self.counters["padt"] += 1
                    return self._padt(arrival)
                case _:  # PADO and PADS come from another AC, or from us through a loop
                    return self._drop("code_not_for_ac")
        except MalformedPacket:
            return self._drop("malformed")

    def tick(self, now: float) -> list[Action]:
        """Return the PADOs whose time has come; let ids and hold-offs expire."""
        self._ids.expire(now)
        self._holdoffs.expire(now)
        due = self._admit(now)
        while self._delayed and self._delayed[0][0] <= now:
            pado = heapq.heappop(self._delayed)[2]
            port = self._table.ports.get(pado.line.port)
            if port is None or not port.served:
                self._drop("port_unknown")
            elif self._draining or port.draining:
                self._drop("draining")
            else:
                self.counters["pado_sent"] += 1
                due.append(pado)
        return due

    def next_deadline(self) -> float | None:
        """Return when `tick` is due."""
        pado = self._delayed[0][0] if self._delayed else None
        deadlines = (
            pado,
            self._admission.next_deadline(),
            self._ids.next_deadline(),
            self._holdoffs.next_deadline(),
        )
        return min((at for at in deadlines if at is not None), default=None)

    # -- what the operator says

    def reconfigure(self, configs: Mapping[int, DiscoveryConfig]) -> None:
        """Take new settings; sessions stay, and their PADT counts, on ports that are gone."""
        self._table.reconfigure(configs)

    def drain(self, port: int | None, on: bool) -> None:
        """Send no PADO and no PADS on *port*, None being all, until turned off again."""
        if port is None:
            self._draining = on
        elif port in self._table.ports:
            self._table.ports[port].draining = on

    def clear_holdoff(self, line: AccessLine | None, mac: Mac | None) -> int:
        """Forget the failures on *line* and of *mac*, None being any; return of how many."""
        return self._holdoffs.clear(line, mac)

    def holdoffs(self, now: float) -> list[HoldOff]:
        """Return the clients with failures; those with `until` > *now* are ignored."""
        self._holdoffs.expire(now)
        return self._holdoffs.entries()

    def stats(self) -> dict[str, int]:
        """Return how full every table is."""
        return {
            **self._table.stats(),
            "id_domains": len(self._ids),
            "ids_resting": self._ids.resting(),
            "padi_waiting": len(self._admission),
            "pado_delayed": len(self._delayed),
            "holdoffs": len(self._holdoffs.entries()),
        }

    # -- what others say

    def late(self, late_s: float, now: float) -> None:
        """Packets are read *late_s* after they came: those who were let in go before others.

        *setup_per_s* is more than the box can do at the moment. It is not let in at that pace
        before what waits is done: beyond it, every client would only be slower, and ask again.
        """
        if late_s > LATE_S:
            self.counters["behind"] += 1
            self._behind_until = now + late_s

    def accepted(self, line: AccessLine, session_id: int, now: float) -> list[Action]:
        """Confirm a session that is bound: its PADS. Nothing for one that is gone."""
        session = self._table.get(line, session_id)
        if session is None or session.closing or session.confirmed:
            return []
        session.confirmed = True
        return [self._pads(session)]

    def refuse(self, line: AccessLine, session_id: int, now: float, error: str) -> list[Action]:
        """Refuse a session before its PADS: id 0 and AC-System-Error (RFC 2516 Appendix A).

        Under overload `release` it instead: that is silent, and the client asks again.
        """
        session = self._table.get(line, session_id)
        if session is None:
            return []
        silent = session.closing or session.confirmed
        self.release(line, session_id, now)
        if silent:
            return []
        self.counters["pads_error_sent"] += 1
        text = error.encode()[: _REPLY_BYTES - len(session.reply)]
        tags = session.reply + tag(TagType.AC_SYSTEM_ERROR, text)
        return [SendDiscovery(session.line, session.mac, build(Code.PADS, 0, tags))]

    def opened(self, line: AccessLine, session_id: int) -> None:
        """LCP is Opened: the session is no longer half-open."""
        session = self._table.get(line, session_id)
        if session is not None:
            self._table.open(session)

    def release(self, line: AccessLine, session_id: int, now: float) -> None:
        """Forget a session that is torn down; its id rests."""
        session = self._table.get(line, session_id)
        if session is not None:
            rest_s = self._table.ports[line.port].config.id_rest_s
            self._ids.release(domain_of(line), session_id, now + rest_s)
            self._table.remove(session)

    def adopt(self, line: AccessLine, mac: Mac, session_id: int) -> None:
        """Take over a session that lives since before a restart.

        A port that is served no more keeps its sessions, as when it goes with a reload.
        Raises: ValueError when its id is taken or none, or there are no settings for its port.
        """
        if not self._table.ports:
            raise ValueError(f"port {line.port} has no settings")
        self._ids.occupy(domain_of(line), session_id)
        self._table.leave(line.port)
        self._table.attach(
            Session(line, mac, session_id, 0.0, b"", b"", confirmed=True, opened=True)
        )

    def penalize(self, line: AccessLine, mac: Mac, now: float) -> None:
        """Hold a client off that had a wrong password, twice as long each time."""
        port = self._table.ports.get(line.port)
        if port is not None:
            config = port.config
            self._holdoffs.penalize(line, mac, now, config.holdoff_initial_s, config.holdoff_max_s)

    def forgive(self, line: AccessLine, mac: Mac) -> None:
        """Forget the failures of a client that knew its password."""
        self._holdoffs.forgive(line, mac)

    @staticmethod
    def padt(line: AccessLine, mac: Mac, session_id: int, message: str = "") -> SendDiscovery:
        """Build a PADT (RFC 2516 §5.5), with *message* as Generic-Error when there is one."""
        tags = tag(TagType.GENERIC_ERROR, message.encode()[:255]) if message else b""
        return SendDiscovery(line, mac, build(Code.PADT, session_id, tags))

    # -- PADI, PADR, PADT

    def _padi(self, ask: _Arrival) -> list[Action]:
        # RFC 2516 §5.1 has it broadcast; unicast to us is how some clients probe one AC.
        if ask.dst[0] & 1 and ask.dst != MAC_BROADCAST:
            return self._drop("destination_wrong")
        reason = self._not_now(ask) or self._table.full(ask.port, ask.client)
        if reason:
            return self._drop(reason)
        request = parse_request(ask.packet.tags)
        room = MAX_PADI_BYTES + (RELAY_TAG_BYTES if request.relay_session_id is not None else 0)
        if HEADER_BYTES + len(ask.packet.tags) > room:
            return self._drop("too_long")
        names = request.service_names
        if len(names) != 1:  # RFC 2516 §5.1: exactly one
            return self._drop("service_name_count")
        config = ask.port.config
        if not config.offers(names[0]):
            return self._drop("service_not_offered")  # §5.2: MUST NOT respond with a PADO
        padi = Waiting(ask.port, ask.client, ask.line, ask.src, request, ask.now)
        if not self._admission.offer(vlan_of(ask.line), padi):
            return self._drop("limit_waiting_padi")
        return self._admit(ask.now)

    def _admit(self, now: float) -> list[Action]:
        """Answer the PADIs whose turn it is."""
        actions: list[Action] = []
        behind = now < self._behind_until
        pace = max(1, self.setup_per_s // BEHIND_SHARE) if behind else self.setup_per_s
        for padi in self._admission.due(pace, now):
            actions += self._offer(padi, now)
        return actions

    def _offer(self, padi: Waiting, now: float) -> list[Action]:
        """Send a PADO, unless things have changed since its PADI came."""
        port, request = padi.port, padi.request
        config = port.config
        if not port.served or not config.offers(request.service_names[0]):
            return self._drop("service_not_offered")
        if self._draining or port.draining:
            return self._drop("draining")
        names = request.service_names
        offered = names if names[0] else [b"", *config.service_names]
        cookie = self._jar.bake(padi.client, config.cookie_lifetime_s, now)
        tags = (
            b"".join([tag(TagType.SERVICE_NAME, name) for name in offered])
            + tag(TagType.AC_NAME, config.ac_name)
            + tag(TagType.AC_COOKIE, cookie)
            + request.echo(config.agreed_payload(request.max_payload))
        )
        if len(tags) > MAX_TAGS_BYTES:
            return self._drop("reply_too_long")
        pado = SendDiscovery(padi.line, padi.src, build(Code.PADO, 0, tags))
        if config.pado_delay_s > 0:
            return self._delay(pado, now + config.pado_delay_s)
        self.counters["pado_sent"] += 1
        return [pado]

    def _padr(self, ask: _Arrival) -> list[Action]:
        if ask.dst[0] & 1:  # RFC 2516 §5.3
            return self._drop("destination_wrong")
        reason = self._not_now(ask)
        if reason:
            return self._drop(reason)
        if len(ask.packet.tags) > MAX_TAGS_BYTES:
            return self._drop("too_long")
        request = parse_request(ask.packet.tags)
        config = ask.port.config
        if request.ac_cookie is None:
            return self._drop("cookie_missing")
        # No error tag for a bad cookie: the client tries again by PADI and gets a good one.
        if not self._jar.accepts(request.ac_cookie, ask.client, config.cookie_lifetime_s, ask.now):
            return self._drop("cookie_bad")
        if len(request.service_names) != 1 or not config.offers(request.service_names[0]):
            return [self._service_name_error(ask, request)]
        identity = request.ac_cookie + (request.host_uniq or b"")
        for session in self._table.held_by(ask.client):
            if session.request == identity and ask.now - session.padr_at < PADR_REPEAT_S:
                self.counters["padr_repeated"] += 1
                return [self._pads(session)] if session.confirmed else []
        reason = self._table.full(ask.port, ask.client)
        if reason:
            return self._drop(reason)
        return self._open(ask, request, identity)

    def _padt(self, ask: _Arrival) -> list[Action]:
        # No TAGs are required (RFC 2516 §5.5) and none would change what happens.
        if ask.dst[0] & 1:
            return self._drop("destination_wrong")
        session = self._table.get(ask.line, ask.packet.session_id)
        if session is None or session.closing:
            return self._drop("padt_unknown")
        if client_of(session.line, session.mac) != ask.client:
            return self._drop("padt_wrong_client")
        return [self._close(session, CloseReason.PADT)]

    def _open(self, ask: _Arrival, request: Request, identity: bytes) -> list[Action]:
        """Take an id for *ask*, and the place of a stale session when there is one."""
        config = ask.port.config
        service_name = request.service_names[0]
        reply = (
            tag(TagType.SERVICE_NAME, service_name)
            + tag(TagType.AC_NAME, config.ac_name)
            + request.echo(config.agreed_payload(request.max_payload))
        )
        if len(reply) > _REPLY_BYTES:
            return self._drop("reply_too_long")
        session_id = self._ids.allocate(domain_of(ask.line), ask.now)
        if session_id is None:
            return self._drop("session_ids_exhausted")
        held = self._table.held_by(ask.client)
        stale = held[: max(0, len(held) + 1 - config.max_sessions_per_mac)]
        actions: list[Action] = [self._close(old, CloseReason.REPLACED) for old in stale]
        self._table.attach(Session(ask.line, ask.src, session_id, ask.now, identity, reply))
        actions.append(
            OpenSession(
                line=ask.line,
                mac=ask.src,
                session_id=session_id,
                service_name=service_name,
                host_uniq=request.host_uniq,
                line_info=self._line_info(request.line),
                max_payload=config.agreed_payload(request.max_payload),
            )
        )
        return actions

    def _service_name_error(self, ask: _Arrival, request: Request) -> SendDiscovery:
        # RFC 2516 §5.4: MUST reply with SESSION_ID 0x0000 and a Service-Name-Error.
        self.counters["pads_error_sent"] += 1
        name = request.service_names[0] if request.service_names else b""
        tags = tag(TagType.SERVICE_NAME, name) + tag(TagType.SERVICE_NAME_ERROR) + request.echo()
        return SendDiscovery(ask.line, ask.src, build(Code.PADS, 0, tags))

    def _line_info(self, line: bytes | None) -> LineInfo | None:
        if line is None:
            return None
        try:
            info = parse_line_info(line)
        except MalformedPacket:  # RFC 2516 Appendix A: a Vendor-Specific TAG may be ignored
            self.counters["line_info_malformed"] += 1
            return None
        self.counters["line_sub_options_ignored"] += info.ignored
        return info

    def _not_now(self, ask: _Arrival) -> str | None:
        """Return why a PADI or PADR is dropped before its tags are looked at."""
        if ask.packet.session_id:  # RFC 2516 §5.1, §5.3: MUST be 0x0000
            return "session_id_not_zero"
        if not ask.port.served:
            return "port_unknown"
        if self._draining or ask.port.draining:
            return "draining"
        if self._holdoffs.holds(ask.client, ask.now):
            return "held_off"
        return None

    def _close(self, session: Session, reason: CloseReason) -> CloseSession:
        self._table.detach(session)
        return CloseSession(session.line, session.session_id, reason)

    def _pads(self, session: Session) -> SendDiscovery:
        self.counters["pads_sent"] += 1
        payload = build(Code.PADS, session.session_id, session.reply)
        return SendDiscovery(session.line, session.mac, payload)

    def _delay(self, pado: SendDiscovery, due: float) -> list[Action]:
        if len(self._delayed) >= MAX_DELAYED_PADO:
            return self._drop("limit_delayed_pado")
        self._sequence += 1
        heapq.heappush(self._delayed, (due, self._sequence, pado))
        return []

    def _drop(self, counter: str) -> list[Action]:
        self.counters[counter] += 1
        return []
