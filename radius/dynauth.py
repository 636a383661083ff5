"""The Dynamic Authorization Server (RFC 5176), sans-IO: CoA-Request and Disconnect-Request.

`receive` checks who asks and whether it is a repetition; what is new is returned as `Order`, in the
order of arrival. `answer` makes the ACK or NAK, and keeps it: the same request again gets the same
answer (§2.3: duplicate detection), and while it is being carried out, none. Requests without a
right authenticator are silently dropped and counted (§3).
"""

import hashlib
import hmac
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from radius.dictionary import Dictionary, Key
from radius.errors import MalformedPacket
from radius.packet import (
    HEADER_BYTES,
    MAX_BYTES,
    MESSAGE_AUTHENTICATOR,
    PROXY_STATE,
    Code,
    Packet,
    message_authenticator,
    split,
)

ERROR_CAUSE = 101
EVENT_TIMESTAMP = 55
MAX_CACHED = 4096
ACKS = {
    Code.COA_REQUEST: (Code.COA_ACK, Code.COA_NAK),
    Code.DISCONNECT_REQUEST: (Code.DISCONNECT_ACK, Code.DISCONNECT_NAK),
}

Peer = tuple[str, int]
"""Address and port of who asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DynAuthClient:
    """Who may ask. *window_s*: how far Event-Timestamp may be off, None: it is not looked at."""

    name: str
    prefix: IPv4Network | IPv6Network
    secret: bytes
    demand_signature: bool = False
    """Requests need a Message-Authenticator; one that is there is always checked."""
    demand_timestamp: bool = False
    window_s: float | None = 300.0


@dataclass(frozen=True, slots=True)
class Order:
    """A request that is new and genuine, to be answered by `DynAuth.answer`."""

    packet: Packet
    client: str
    peer: Peer
    authenticator: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """Send *data* to *peer*."""

    peer: Peer
    data: bytes


class DynAuth:
    """Who may ask, and what was answered lately. *keep_s*: how long a repetition is known."""

    def __init__(
        self, clients: Sequence[DynAuthClient], dictionary: Dictionary, keep_s: float = 60.0
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._clients = sorted(clients, key=lambda c: c.prefix.prefixlen, reverse=True)
        self._dictionary = dictionary
        self._keep_s = keep_s
        self._seen: OrderedDict[tuple[Peer, bytes], tuple[float, bytes | None]] = OrderedDict()

    def receive(self, data: bytes, peer: Peer, now: float, wall: float) -> Order | Reply | None:
        """Take a datagram; *wall* is the time of day. None: dropped, and counted."""
        client = self._client(peer)
        if client is None:
            return self._drop("unknown_client")
        try:
            attributes = split(data)
            code = Code(data[0])
        except (MalformedPacket, ValueError):
            return self._drop("malformed")
        if code not in ACKS:
            return self._drop("unexpected_code")
        data = data[: int.from_bytes(data[2:4], "big")]
        authenticator = data[4:HEADER_BYTES]
        if not _genuine(data, client.secret):
            return self._drop("wrong_authenticator")
        if not self._signed(data, attributes, client):
            return self._drop("wrong_signature")
        self._forget(now)
        key = (peer, data[1:2] + authenticator)
        if key in self._seen:
            self.counters["duplicates"] += 1
            answer = self._seen[key][1]
            return None if answer is None else Reply(peer, answer)
        if not self._timely(attributes, client, wall):
            return self._drop("stale")
        self._remember(key, None, now)
        self.counters["requests"] += 1
        packet = Packet(code, data[1], tuple(attributes), self._dictionary)
        return Order(packet, client.name, peer, authenticator)

    def answer(self, order: Order, error_cause: int | None, now: float) -> Reply:
        """Return the ACK, or with *error_cause* (§3.5) the NAK, for *order*."""
        request = order.packet
        client = self._client(order.peer)
        secret = client.secret if client is not None else b""
        code = ACKS[request.code][error_cause is not None]
        self.counters["acks" if error_cause is None else "naks"] += 1
        body = bytes((MESSAGE_AUTHENTICATOR, 18)) + bytes(16)
        if error_cause is not None:
            body += bytes((ERROR_CAUSE, 6)) + error_cause.to_bytes(4, "big")
        for state in request.raw(PROXY_STATE):  # RFC 2865 §5.33: unchanged, in order
            body += bytes((PROXY_STATE, len(state) + 2)) + state
        length = HEADER_BYTES + len(body)
        head = bytes((code, request.identifier)) + length.to_bytes(2, "big")
        unsigned = head + order.authenticator + body
        signature = message_authenticator(unsigned, order.authenticator, secret)
        body = body[:2] + signature + body[18:]
        digest = hashlib.md5(head + order.authenticator + body + secret).digest()  # noqa: S324
        data = head + digest + body
        key = (order.peer, bytes((request.identifier,)) + order.authenticator)
        self._remember(key, data, now)
        return Reply(order.peer, data)

    def _client(self, peer: Peer) -> DynAuthClient | None:
        address = ip_address(peer[0].partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return next((c for c in self._clients if (mapped or address) in c.prefix), None)

    def _drop(self, counter: str) -> Order | Reply | None:
        """Count a request that is not answered."""
        self.counters[counter] += 1
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
        self, attributes: list[tuple[Key, bytes]], client: DynAuthClient, wall: float
    ) -> bool:
        """Check Event-Timestamp (§6.3): a replayed request is old."""
        stamps = [value for key, value in attributes if key == EVENT_TIMESTAMP]
        if not stamps or client.window_s is None:
            return not client.demand_timestamp
        return all(
            len(stamp) == 4 and abs(wall - int.from_bytes(stamp, "big")) <= client.window_s
            for stamp in stamps
        )

    def _remember(self, key: tuple[Peer, bytes], answer: bytes | None, now: float) -> None:
        self._seen[key] = (now, answer)
        self._seen.move_to_end(key)
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Forget what is old, and of more answers than fit the oldest."""
        while self._seen:
            oldest, (at, kept) = next(iter(self._seen.items()))
            old = now - at > self._keep_s
            if not old and (len(self._seen) <= MAX_CACHED or kept is None):
                return
            del self._seen[oldest]


def _genuine(data: bytes, secret: bytes) -> bool:
    """Check the Request Authenticator (§2.3): MD5 over the packet with zeros in its place."""
    if len(data) > MAX_BYTES:
        return False
    digest = hashlib.md5(  # noqa: S324
        data[:4] + bytes(16) + data[HEADER_BYTES:] + secret
    ).digest()
    return hmac.compare_digest(digest, data[4:HEADER_BYTES])
