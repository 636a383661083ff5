"""Fuzz what a RADIUS client takes: replies of every kind to what is under way, streams, spool rows.

Input: a flag byte, then bytes. The low two bits say what they are: 0 and 1 a script of replies,
length-prefixed, of which 1 has its authenticators made right; 2 a stream (RFC 6613), cut where the
input says; 3 a row of the accounting spool. What a script says to a server may also cancel what was
asked first and is not cancelled yet.
"""

from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address

from radius import rows
from radius.client import Answered, Client, Send
from radius.dictionary import Dictionary
from radius.errors import DictionaryError, MalformedPacket, MalformedValue
from radius.packet import MAX_BYTES, Code, Encoded, Request, encode, take_packets
from radius.settings import Group, Server
from tests.fuzz.fuzz_radius import SECRET, made_right

DICTIONARY = Dictionary()
PROBE = Request(code=Code.STATUS_SERVER)
ASKED = (
    Request(code=Code.ACCESS_REQUEST, attributes=(("User-Name", "alice"),), password=b"secret"),
    Request(code=Code.ACCOUNTING_REQUEST, attributes=(("Acct-Status-Type", 1),), event_at=1.0),
    PROBE,
)
SERVER = Server(name="a", address=IPv4Address("192.0.2.1"), port=1812, secret=SECRET)
GROUP = Group(
    servers=(SERVER, replace(SERVER, name="b", demand_signature=False)), tries=2, give_up_s=9
)


def replies(data: bytes, *, right: bool) -> None:
    """Bring every datagram of *data* to a client that has asked three things."""
    core = Client(
        GROUP, DICTIONARY, entropy=bytes, jitter=lambda: 0.0, wall=lambda: 2.0, probe=PROBE
    )
    asked = [core.submit(request, token, 0.0) for token, request in enumerate(ASKED)]
    cancelled: list[object] = []
    ended: set[object] = set()
    sent: dict[tuple[int, int, int], Send] = {}
    now = 0.0
    while True:
        for action in core.take():
            if isinstance(action, Send):
                sent[action.server, action.socket, action.data[1]] = action
                continue
            assert action.token not in (*ended, *cancelled)
            ended.add(action.token)
            assert not isinstance(action, Answered) or list(action.reply.lines()) is not None
        if len(data) < 2:
            break
        to, size = data[0], data[1]
        packet, data = data[2 : 2 + size], data[2 + size :]
        place = (to & 1, 0, packet[1] if len(packet) > 1 else 0)
        if right and place in sent:
            packet = made_right(packet, sent[place].data[4:20])
        core.receive(to & 1, to >> 7, packet, now)
        if to & 2 and asked:
            if not (exchange := asked.pop(0)).done:  # else its end is on the way
                cancelled.append(exchange.token)
            core.cancel(exchange)
        if to & 4:
            now += 2.0
            core.tick(now)
    for state in core.servers:
        assert 0 <= state.outstanding <= 2 * len(ASKED)
        assert all(count >= 0 for count in state.counters.values())


def stream(data: bytes, cut: int) -> None:
    """Take *data* for what comes over TLS, *cut* bytes at a time."""
    buffer, got = bytearray(), b""
    with suppress(MalformedPacket):
        for at in range(0, len(data), cut):
            buffer += data[at : at + cut]
            got += b"".join(take_packets(buffer))
            assert got + buffer == data[: at + cut]
            assert len(buffer) < MAX_BYTES


def row(data: bytes) -> None:
    """Take *data* for columns of the spool; what can be read can be sent, or is refused."""
    text = data.decode(errors="replace")
    with suppress(ValueError):
        assert all(number >= 0 for number in rows.counters_of(text))
    with suppress(ValueError):
        assert rows.session_of(data[:1].decode() if data[:1] else data) is not None
    with suppress(ValueError):
        assert rows.time_of(float(text)) == float(text)
    try:
        attributes = rows.restore(text)
    except ValueError:
        return
    assert rows.restore(rows.dump(attributes)) == attributes
    request = Request(code=Code.ACCOUNTING_REQUEST, attributes=attributes, event_at=1.0)
    with suppress(MalformedValue, DictionaryError):
        made = encode(DICTIONARY, request, identifier=7, secret=SECRET, entropy=bytes)
        assert isinstance(made, Encoded)
        assert int.from_bytes(made.data[2:4], "big") == len(made.data)


def test_one_input(data: bytes) -> None:
    """Run one input."""
    flags, rest = (data[0], data[1:]) if data else (0, b"")
    match flags & 3:
        case 2:
            stream(rest, 1 + (flags >> 2))
        case 3:
            row(rest)
        case right:
            replies(rest, right=bool(right))
