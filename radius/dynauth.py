"""The Dynamic Authorization Server (RFC 5176), sans-IO: CoA-Request and Disconnect-Request.

`receive` checks who asks and whether it is a repetition; what is new is returned as `Order`, in the
order of arrival. `answer` makes the ACK or NAK, and keeps it: the same request again gets the same
answer (§2.3: duplicate detection), and while it is being carried out, none. Requests without a
right authenticator are silently dropped and counted (§3), those of strangers before any hash.

A request with an Event-Timestamp is known again wherever it comes from, for as long as its time is
believed: who repeats what he overheard gets an answer, and nothing is done (§6.3). One without is
known for 30 s (RFC 5080 §2.2.2) by address, port, identifier and authenticator: with the same bytes
a client may mean a new request later.
"""

import hashlib
import hmac
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address

from radius.dictionary import Dictionary, Key
from radius.errors import MalformedPacket
from radius.packet import (
    HEADER_BYTES,
    MAX_BYTES,
    MESSAGE_AUTHENTICATOR,
    PROXY_STATE,
    STATE,
    Code,
    Packet,
    message_authenticator,
    split,
)
from radius.settings import Peer

ERROR_CAUSE = 101
EVENT_TIMESTAMP = 55
MAX_CACHED = 131_072
"""Requests that are known again; the eldest are forgotten first."""
OURS_BYTES = 24
"""Message-Authenticator and Error-Cause of an answer."""
KEEP_S = 30.0
MAX_SOURCES = 4096
"""Addresses whose client is remembered."""
ACKS = {
    Code.COA_REQUEST: (Code.COA_ACK, Code.COA_NAK),
    Code.DISCONNECT_REQUEST: (Code.DISCONNECT_ACK, Code.DISCONNECT_NAK),
}

CODES = {int(code): code for code in ACKS}


@dataclass(frozen=True, slots=True, kw_only=True)
class DynAuthClient:
    """Who may ask. *window_s*: how far Event-Timestamp may be off, None: it is not looked at."""

    name: str
    prefix: IPv4Network | IPv6Network
    secret: bytes = field(repr=False)
    demand_signature: bool = False
    """Requests need a Message-Authenticator; one that is there is always checked."""
    demand_timestamp: bool = False
    window_s: float | None = 300.0


@dataclass(frozen=True, slots=True)
class Order:
    """A request that is new and genuine, to be answered by `DynAuth.answer`."""

    packet: Packet
    who: DynAuthClient
    peer: Peer
    authenticator: bytes

    @property
    def client(self) -> str:
        """The name of the client."""
        return self.who.name


@dataclass(frozen=True, slots=True)
class Reply:
    """Send *data* to *peer*."""

    peer: Peer
    data: bytes


class _Known:
    """Requests of late, by key, with their answers; None: it is being carried out."""

    def __init__(self, keep_s: float) -> None:
        self.keep_s = keep_s
        self._entries: OrderedDict[object, tuple[float, bytes | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def answer(self, key: object) -> bytes | None:
        """Return what the request was answered."""
        return self._entries[key][1]

    def put(self, key: object, answer: bytes | None, now: float) -> None:
        """Remember a request, or its answer."""
        self._entries[key] = (now, answer)
        self._entries.move_to_end(key)

    def forget(self, now: float) -> None:
        """Forget what is old, and of more answers than fit the oldest."""
        while self._entries:
            oldest, (at, kept) = next(iter(self._entries.items()))
            old = now - at > self.keep_s
            if not old and (len(self) <= MAX_CACHED or kept is None):
                return
            del self._entries[oldest]


class DynAuth:
    """Who may ask, and what was answered lately. `counters` of all, `by_client` of each client."""

    def __init__(self, clients: Sequence[DynAuthClient], dictionary: Dictionary) -> None:
        self.counters: Counter[str] = Counter()
        self.by_client: dict[str, Counter[str]] = {}
        self._dictionary = dictionary
        self._plain = _Known(KEEP_S)
        self._stamped = _Known(KEEP_S)
        self._sources: dict[str, DynAuthClient | None] = {}
        self.reconfigure(clients)

    def reconfigure(self, clients: Sequence[DynAuthClient]) -> None:
        """Have these clients from now on; what they were answered stays known."""
        self._clients = sorted(clients, key=lambda c: c.prefix.prefixlen, reverse=True)
        self._sources.clear()
        self.by_client = {c.name: self.by_client.get(c.name, Counter()) for c in clients}
        windows = [c.window_s for c in clients if c.window_s is not None]
        self._stamped.keep_s = max([KEEP_S, *(2 * window for window in windows)])

    def receive(self, data: bytes, peer: Peer, now: float, wall: float) -> Order | Reply | None:
        """Take a datagram; *wall* is the time of day. None: dropped, and counted."""
        client = self._client(peer[0])
        if client is None:
            return self._drop("unknown_client", None)
        length = int.from_bytes(data[2:4], "big")
        if not HEADER_BYTES <= length <= min(len(data), MAX_BYTES):
            return self._drop("malformed", client)
        code = CODES.get(data[0])
        if code is None:
            return self._drop("unexpected_code", client)
        data = data[:length]
        if not _genuine(data, client.secret):
            return self._drop("wrong_authenticator", client)
        try:
            attributes = split(data)
        except MalformedPacket:
            return self._drop("malformed", client)
        if not self._signed(data, attributes, client):
            return self._drop("wrong_signature", client)
        packet = Packet(code, data[1], tuple(attributes), self._dictionary)
        if len(_echoed(packet)) > MAX_BYTES - HEADER_BYTES - OURS_BYTES:
            return self._drop("malformed", client)
        return self._new(Order(packet, client, peer, data[4:HEADER_BYTES]), now, wall)

    def _new(self, order: Order, now: float, wall: float) -> Order | Reply | None:
        """Return *order*, or when it is none what its like was answered."""
        client, attributes = order.who, order.packet.attributes
        known, key = self._known(order)
        known.forget(now)
        if key in known:
            self._count("duplicates", client)
            answer = known.answer(key)
            return None if answer is None else Reply(order.peer, answer)
        if not self._timely(attributes, client, wall):
            return self._drop("stale", client)
        known.put(key, None, now)
        self._count("requests", client)
        return order

    def answer(self, order: Order, error_cause: int | None, now: float) -> Reply:
        """Return the ACK, or with *error_cause* (§3.5) the NAK, for *order*."""
        request, secret = order.packet, order.who.secret
        code = ACKS[request.code][error_cause is not None]
        self._count("acks" if error_cause is None else "naks", order.who)
        if error_cause is not None:
            self._count(f"nak_{error_cause}", order.who)
        body = bytes((MESSAGE_AUTHENTICATOR, 18)) + bytes(16)
        if error_cause is not None:
            body += bytes((ERROR_CAUSE, 6)) + error_cause.to_bytes(4, "big")
        body += _echoed(request)
        length = HEADER_BYTES + len(body)
        head = bytes((code, request.identifier)) + length.to_bytes(2, "big")
        unsigned = head + order.authenticator + body
        signature = message_authenticator(unsigned, order.authenticator, secret)
        body = body[:2] + signature + body[18:]
        digest = hashlib.md5(head + order.authenticator + body + secret).digest()  # noqa: S324
        data = head + digest + body
        known, key = self._known(order)
        known.put(key, data, now)
        known.forget(now)
        return Reply(order.peer, data)

    def _known(self, order: Order) -> tuple[_Known, object]:
        """Return where *order* is remembered, and as what."""
        what = bytes((order.packet.identifier,)) + order.authenticator
        if any(order.packet.raw(EVENT_TIMESTAMP)) and order.who.window_s is not None:
            return self._stamped, (order.client, what)
        return self._plain, (order.peer, what)

    def _client(self, host: str) -> DynAuthClient | None:
        """Return the client at an address; looked up once for each."""
        try:
            return self._sources[host]
        except KeyError:
            pass
        address = ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        found = next((c for c in self._clients if (mapped or address) in c.prefix), None)
        if len(self._sources) >= MAX_SOURCES:
            self._sources.clear()
        self._sources[host] = found
        return found

    def _count(self, counter: str, client: DynAuthClient | None) -> None:
        self.counters[counter] += 1
        if client is not None and client.name in self.by_client:
            self.by_client[client.name][counter] += 1

    def _drop(self, counter: str, client: DynAuthClient | None) -> Order | Reply | None:
        """Count a request that is not answered."""
        self._count(counter, client)
        return None

    def _signed(
        self, data: bytes, attributes: list[tuple[Key, bytes]], client: DynAuthClient
    ) -> bool:
        """Check Message-Authenticator (§3.3): over the request with a zero authenticator."""
        signatures = [value for key, value in attributes if key == MESSAGE_AUTHENTICATOR]
        if not signatures:
            return not client.demand_signature
        wanted = message_authenticator(data, bytes(16), client.secret)
        return len(signatures) == 1 and hmac.compare_digest(signatures[0], wanted)

    def _timely(
        self, attributes: Sequence[tuple[Key, bytes]], client: DynAuthClient, wall: float
    ) -> bool:
        """Check Event-Timestamp (§6.3): a replayed request is old."""
        stamps = [value for key, value in attributes if key == EVENT_TIMESTAMP]
        if not stamps or client.window_s is None:
            return not client.demand_timestamp
        return all(
            len(stamp) == 4 and abs(wall - int.from_bytes(stamp, "big")) <= client.window_s
            for stamp in stamps
        )


def _echoed(request: Packet) -> bytes:
    """Return what an answer gives back, unchanged, in order: State (§3.3), Proxy-State (§3.1)."""
    return b"".join(
        bytes((kind, len(value) + 2)) + value
        for kind in (STATE, PROXY_STATE)
        for value in request.raw(kind)
    )


def _genuine(data: bytes, secret: bytes) -> bool:
    """Check the Request Authenticator (§2.3): MD5 over the packet with zeros in its place."""
    digest = hashlib.md5(  # noqa: S324
        data[:4] + bytes(16) + data[HEADER_BYTES:] + secret
    ).digest()
    return hmac.compare_digest(digest, data[4:HEADER_BYTES])
