"""Which client holds which PPPoE session, and how many there are: the limits of discovery."""

from collections.abc import Mapping
from dataclasses import dataclass

from bng.ethernet import AccessLine, Mac
from bng.pppoe.config import DiscoveryConfig
from bng.pppoe.place import client_of, domain_of


@dataclass(slots=True)
class Port:
    """An access port and what is on it."""

    config: DiscoveryConfig
    served: bool = True  # False: no longer configured, sessions are left
    draining: bool = False
    sessions: int = 0
    half_open: int = 0  # of these, between PADR and LCP Opened
    closing: int = 0  # no longer counted as sessions, not yet released


@dataclass(slots=True)
class Session:
    """A session from its PADR to its release."""

    line: AccessLine
    mac: Mac
    session_id: int
    padr_at: float
    request: bytes  # AC-Cookie and Host-Uniq of its PADR, empty once opened
    reply: bytes  # the tags of its PADS, empty once opened
    confirmed: bool = False  # PADS has left
    opened: bool = False  # LCP has been Opened
    closing: bool = False  # counts for no limit, waits for its release


class SessionTable:
    """Sessions by id and by client, counted per VLAN, per port and in all."""

    __slots__ = ("_clients", "_sessions", "_vlans", "attached", "ports")

    def __init__(self) -> None:
        self.ports: dict[int, Port] = {}
        self.attached = 0
        self._sessions: dict[int, Session] = {}  # by domain and session id
        self._clients: dict[int, tuple[Session, ...]] = {}  # by client_of(), oldest first
        self._vlans: dict[int, int] = {}  # how many, by vlan_of()

    def reconfigure(self, configs: Mapping[int, DiscoveryConfig]) -> None:
        """Take new settings; a port that is gone stays as long as it has sessions."""
        for index, config in configs.items():
            port = self.ports.setdefault(index, Port(config))
            port.config = config
            port.served = True
        for index in [index for index in self.ports if index not in configs]:
            self.ports[index].served = False
            self._forget_if_unused(index)

    def leave(self, index: int) -> None:
        """Know of port *index*, which is not served when it has no settings: others lend theirs."""
        if index not in self.ports:
            lender = next(iter(self.ports.values()))
            self.ports[index] = Port(lender.config, served=False)

    def get(self, line: AccessLine, session_id: int) -> Session | None:
        """Return the session with this id in the domain of *line*, also a closing one."""
        return self._sessions.get(_key(line, session_id))

    def held_by(self, client: int) -> tuple[Session, ...]:
        """Return the sessions of a client, oldest first, without closing ones."""
        return self._clients.get(client, ())

    def full(self, port: Port, client: int) -> str | None:
        """Return the counter of the limit that leaves no room for a session of *client*.

        A client at its own limit replaces a session and so needs no room, but among the
        half-open ones.
        """
        config = port.config
        held = self.held_by(client)
        replaces = len(held) >= config.max_sessions_per_mac
        if port.half_open >= config.max_half_open and not (replaces and not held[0].opened):
            return "limit_half_open"
        if replaces:
            return None
        if self._vlans.get(client >> 48, 0) >= config.max_sessions_per_vlan:
            return "limit_vlan"
        if port.sessions >= config.max_sessions_per_port:
            return "limit_port"
        if self.attached >= config.max_sessions:
            return "limit_sessions"
        return None

    def attach(self, session: Session) -> None:
        """Add a session, newest of its client."""
        client = client_of(session.line, session.mac)
        vlan = client >> 48
        self._sessions[_key(session.line, session.session_id)] = session
        self._clients[client] = (*self.held_by(client), session)
        self._vlans[vlan] = self._vlans.get(vlan, 0) + 1
        self.attached += 1
        port = self.ports[session.line.port]
        port.sessions += 1
        port.half_open += not session.opened

    def open(self, session: Session) -> None:
        """Count a session as half-open no longer."""
        if not session.closing and not session.opened:
            self.ports[session.line.port].half_open -= 1
        session.opened = True
        session.request = session.reply = b""

    def detach(self, session: Session) -> None:
        """Let *session* count for nothing; it is found by its id until it is removed."""
        session.closing = True
        client = client_of(session.line, session.mac)
        vlan = client >> 48
        left = tuple(other for other in self._clients[client] if other is not session)
        if left:
            self._clients[client] = left
        else:
            del self._clients[client]
        self._vlans[vlan] -= 1
        if not self._vlans[vlan]:
            del self._vlans[vlan]
        self.attached -= 1
        port = self.ports[session.line.port]
        port.sessions -= 1
        port.half_open -= not session.opened
        port.closing += 1

    def remove(self, session: Session) -> None:
        """Drop a session."""
        if not session.closing:
            self.detach(session)
        del self._sessions[_key(session.line, session.session_id)]
        self.ports[session.line.port].closing -= 1
        self._forget_if_unused(session.line.port)

    def stats(self) -> dict[str, int]:
        """Return how full the tables are."""
        return {
            "sessions": self.attached,
            "half_open": sum(port.half_open for port in self.ports.values()),
            "closing": len(self._sessions) - self.attached,
            "clients": len(self._clients),
            "vlans": len(self._vlans),
        }

    def _forget_if_unused(self, index: int) -> None:
        port = self.ports[index]
        if not port.served and not port.sessions and not port.closing:
            del self.ports[index]


def _key(line: AccessLine, session_id: int) -> int:
    return domain_of(line) << 16 | session_id
