"""A DHCPv6 relay agent for one session, before an external server (RFC 8415 §19), sans IO.

What the server gives is read from its Replies: the box has to forward it. A Reply that gives
something leaves when the dataplane has it installed. Leases end with a Release or Decline that the
server has answered, when the server takes them back, and when they are not renewed.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address
from math import inf
from typing import Final

from bng.errors import MalformedPacket
from bng.ipv6.actions import Action, Install, Lease, Remove, SendPacket, ToServer
from bng.ipv6.dhcpv6 import build_relay, parse
from bng.ipv6.messages import (
    CLIENT_PORT,
    INFINITY,
    SERVER_PORT,
    IaType,
    Message,
    MessageType,
    RelayMessage,
)
from bng.ipv6.packet import Datagram, build_udp

MAX_RELEASES: Final = 8  # that are on their way to the server
MAX_WAITING: Final = 4  # Replies that come while one waits for its installation
SHORTEST_PREFIX: Final = 16  # a shorter one, or ::/0, is a mistake

_FROM_SERVERS: Final = (MessageType.ADVERTISE, MessageType.REPLY, MessageType.RECONFIGURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """What the server is told of a session, and how many leases it may have there.

    *link_address* lets the server choose the subnet. *interface_id* comes back with each answer:
    it must be the session's own, also after a restart. *options* are further ones, encoded: for
    instance Remote-ID (RFC 4649) and Subscriber-ID (RFC 4580).
    """

    link_address: IPv6Address
    interface_id: bytes
    options: tuple[tuple[int, bytes], ...] = ()
    max_leases: int = 8


@dataclass(slots=True)
class _Held:
    """A Reply that waits for what it gives to be installed."""

    request: int
    packet: SendPacket
    leases: dict[Lease, float]  # new ones, and until when they are valid


class Relay:
    """The relay agent of one session, at *source*, our link-local address.

    An answer of the server finds its session by the Interface-Id that `parse_relay` reads.
    """

    __slots__ = (
        "_config",
        "_counters",
        "_held",
        "_leases",
        "_releases",
        "_request",
        "_source",
        "_waiting",
    )

    def __init__(self, config: RelayConfig, source: IPv6Address, counters: dict[str, int]) -> None:
        self._config = config
        self._source = source
        self._counters = counters
        self._leases: dict[Lease, float] = {}  # installed, and until when
        self._releases: OrderedDict[int, list[Lease]] = OrderedDict()  # by transaction id
        self._held: _Held | None = None
        self._waiting: list[tuple[Message, SendPacket]] = []  # for `_held` to be answered
        self._request = 0

    # -- packets and time

    def receive(self, datagram: Datagram, now: float) -> list[Action]:
        """Take a client's datagram to port 547; never raises."""
        try:
            message = parse(datagram.payload)
        except MalformedPacket:
            return self._drop("malformed")
        if message.kind in _FROM_SERVERS:
            return self._drop("not_for_server")
        if not datagram.destination.is_multicast:
            return self._drop("sent_unicast")
        if not datagram.source.is_link_local:
            return self._drop("source_not_link_local")
        if message.kind in {MessageType.RELEASE, MessageType.DECLINE}:
            self._releases[message.transaction_id] = [lease for lease, _ in _named(message)]
            if len(self._releases) > MAX_RELEASES:
                self._releases.popitem(last=False)
        self._counters["relayed"] += 1
        config = self._config
        relayed = RelayMessage(
            kind=MessageType.RELAY_FORW,
            hop_count=0,
            link_address=config.link_address,
            peer_address=datagram.source,
            message=datagram.payload,
            interface_id=config.interface_id,
            options=config.options,
        )
        return [ToServer(build_relay(relayed))]

    def from_server(self, relayed: RelayMessage, now: float) -> list[Action]:
        """Take the server's answer for this session; never raises."""
        try:
            message = parse(relayed.message)
        except MalformedPacket:
            return self._drop("malformed")
        expected = relayed.kind == MessageType.RELAY_REPL and message.kind in _FROM_SERVERS
        if not expected or not relayed.peer_address.is_link_local:
            return self._drop("not_for_us")
        self._counters["relay_reply"] += 1
        answer = Datagram(
            self._source, relayed.peer_address, SERVER_PORT, CLIENT_PORT, relayed.message
        )
        packet = SendPacket(build_udp(answer))
        if message.kind != MessageType.REPLY:
            return [packet]
        if self._held is None:
            return self._reply(message, packet, now)
        if len(self._waiting) == MAX_WAITING:
            return self._drop("busy")  # the client asks again
        self._waiting.append((message, packet))
        return []

    def installed(self, request: int, ok: bool, now: float) -> list[Action]:
        """Take the answer to an `Install`; an old one is ignored."""
        held = self._held
        if held is None or held.request != request:
            return []
        self._held = None
        actions: list[Action] = []
        if ok:
            self._leases |= held.leases
            actions.append(held.packet)
        else:
            self._drop("not_installed")  # the client asks again
        while self._held is None and self._waiting:
            actions += self._reply(*self._waiting.pop(0), now)
        return actions

    def tick(self, now: float) -> list[Action]:
        """End leases whose time is over."""
        over = [lease for lease, until in self._leases.items() if until <= now]
        self._counters["lease_expired"] += len(over)
        return self._remove(over)

    def next_deadline(self) -> float | None:
        """Return when `tick` is due."""
        until = min(self._leases.values(), default=inf)
        return None if until == inf else until

    # -- what the session says

    def close(self, now: float) -> list[Action]:
        """End all leases: the session ends."""
        if self._held is not None:  # the dataplane is at it
            self._leases |= self._held.leases
            self._held = None
        self._waiting.clear()
        return self._remove(list(self._leases))

    def leases(self) -> dict[Lease, float]:
        """Return what is installed, and until when, as `adopt` takes it back."""
        return dict(self._leases)

    def adopt(self, leases: dict[Lease, float]) -> None:
        """Take over what is installed since before a restart."""
        self._leases |= leases

    # -- what the server gives

    def _reply(self, message: Message, packet: SendPacket, now: float) -> list[Action]:
        over = self._releases.pop(message.transaction_id, [])
        new: dict[Lease, float] = {}
        for lease, valid_s in _named(message):
            until = inf if valid_s == INFINITY else now + valid_s
            if not valid_s:
                over.append(lease)
            elif not _usable(lease):
                return self._drop("malformed")
            elif lease in self._leases:
                self._leases[lease] = until
            else:
                new[lease] = until
        actions = self._remove(lease for lease in over if lease not in new)
        if not new:
            return [*actions, packet]
        if len(self._leases) + len(new) > self._config.max_leases:
            return [*actions, *self._drop("too_many_leases")]
        self._request += 1
        self._held = _Held(self._request, packet, new)
        return [*actions, Install(self._request, tuple(new), max(new.values()))]

    def _remove(self, leases: Iterable[Lease]) -> list[Action]:
        known = [lease for lease in dict.fromkeys(leases) if lease in self._leases]
        for lease in known:
            del self._leases[lease]
        return [Remove(tuple(known))] if known else []

    def _drop(self, counter: str) -> list[Action]:
        self._counters[counter] += 1
        return []


def _named(message: Message) -> list[tuple[Lease, int]]:
    """Return the leases in *message* and how long they are valid."""
    return [
        (Lease(lease.network, ia.kind is IaType.PD), lease.valid_s)
        for ia in message.ias
        for lease in ia.leases
        if lease.status is None or not lease.status.code
    ]


def _usable(lease: Lease) -> bool:
    address = lease.network.network_address
    special = address.is_multicast or address.is_link_local or address.is_unspecified
    return lease.network.prefixlen >= SHORTEST_PREFIX and not special
