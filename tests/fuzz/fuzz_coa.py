"""Fuzz CoA-Request and Disconnect-Request on living sessions: whole or not at all, and answered.

Input: a flag byte, then attributes as on the wire. Flags: 1 a Disconnect-Request; 2 and 4 name a
session before them, so that what is behind the identification is reached.
"""

import hashlib
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from bng.aaa.dynauth import Known
from bng.aaa.reading import Offered
from bng.aaa.requests import Nas
from bng.config.radius import DynAuth as Table
from bng.io.dynauth_service import DynAuthService
from bng.session import install
from bng.session.model import Session
from dataplane.binding import Direction, lib
from dataplane.sight import fib4_lookup
from radius.dictionary import Dictionary
from radius.dynauth import DynAuth
from tests.support.memory_box import MemoryBox

SECRET = "fuzz"
DICTIONARY = Dictionary()
PEER = ("192.0.2.9", 3799)
COA, DISCONNECT = 43, 40
ACKS, NAKS = {41, 44}, {42, 45}
NAMES = {2: b"user00001", 4: b"user00003"}
CONFIG: dict[str, Any] = {
    "acl": [{"name": "web", "default": "permit", "rules": ["deny udp any any"]}],
    "nat": {
        "pool": [
            {"name": "public", "addresses": ["198.51.100.0/29"]},
            {"name": "own", "mode": "one-to-one", "addresses": ["203.0.113.0/31"]},
        ],
        "profile": {"own": {"translate": True, "pool": "own"}, "never": {"translate": False}},
        "forward_ports": "200-499",
    },
}
USERS: dict[str, Any] = {
    "user00001": {"password": "secret"},
    "user00003": {"password": "secret", "nat_address": "198.51.100.3"},
}
MOST_BYTES = 4096 - 64


class Bed:
    """A box with two users who are always there, and what was answered."""

    def __init__(self) -> None:
        self.memory = MemoryBox(config=CONFIG, user_table=USERS)
        client = {"name": "oss", "prefix": "192.0.2.0/24", "secret": SECRET}
        known = Known(
            nas=Nas(identifier="bng", ip4=IPv4Address("192.0.2.1"), ports={0: "acc0"}),
            offered=Offered(acls={"web"}, nat_profiles={"own", "never"}),
        )
        self.service = DynAuthService(Table.model_validate({"client": [client]}), DICTIONARY, known)
        self.service.attach(self.memory.manager.orders, lambda: None)
        self.clients_of_core = self.service.core._clients
        self.answers: list[bytes] = []
        self.clients = [self.memory.subscriber(number) for number in (1, 3)]
        self.memory.dial(*self.clients)

    def sessions(self) -> Iterator[Session]:
        """Return the sessions, after those that ended have been dialled again."""
        memory = self.memory
        if memory.manager.table.count < len(self.clients):
            memory.run(0.1)
            idle = [
                c for c in self.clients if not memory.manager.grants.by_user.get(c.user.decode())
            ]
            memory.dial(*idle)
        assert memory.manager.table.count == len(self.clients)
        return iter(memory.manager.table)

    def send(self, request: bytes) -> bytes | None:
        """Return the answer to a request, when the dataplane has done what it led to."""
        self.answers.clear()
        self.service.receive(request, PEER, lambda data, peer: self.answers.append(data))
        self.memory.turn()
        if not self.answers:
            self.memory.run(0.2, until=lambda: bool(self.answers))
        assert len(self.answers) <= 1
        return self.answers[0] if self.answers else None

    def forget(self) -> None:
        """Let the same bytes be a new request."""
        self.service.core = DynAuth(self.clients_of_core, DICTIONARY)

    def agrees(self, session: Session) -> None:
        """Check that the dataplane does what the session's profile says."""
        dataplane, profile = self.memory.dataplane, session.profile
        assert profile is not None
        for direction, rate in (
            (Direction.IN, profile.rate_up),
            (Direction.OUT, profile.rate_down),
        ):
            entry = dataplane.policer[2 * session.index + direction]
            assert entry.cir_bps == (rate.cir_bps if rate else 0) or not entry.mode
        wanted = install.filters(self.memory.manager.settings, session)
        assert dataplane.session_in[session.index].acl == wanted.acl_in
        assert dataplane.session_out[session.index].acl == wanted.acl_out
        idle_ms = (profile.idle_timeout_s or 0) * 1000
        assert dataplane.session_cold[session.index].idle_timeout_ms == idle_ms
        leaf = fib4_lookup(dataplane, IPv4Address(session.ipv4_address or 0))
        assert (leaf.kind, leaf.index) == (lib.LEAF_SESSION, session.index)


BED = Bed()


def packet(code: int, body: bytes) -> bytes:
    """Return a request with a right authenticator."""
    head = bytes((code, 7)) + (20 + len(body)).to_bytes(2, "big")
    return head + hashlib.md5(head + bytes(16) + body + SECRET.encode()).digest() + body


def test_one_input(data: bytes) -> None:
    """Run one input."""
    flags, body = (data[0], data[1:MOST_BYTES]) if data else (0, b"")
    before = {session: session.profile for session in BED.sessions()}
    name = NAMES.get(flags & 6)
    if name is not None:
        body = bytes((1, len(name) + 2)) + name + body
    code = DISCONNECT if flags & 1 else COA
    answer = BED.send(packet(code, body))
    BED.forget()
    assert not BED.service.errors
    orders = BED.memory.manager.orders
    assert (orders.waiting, orders._queues) == (0, {})
    if answer is None:
        return
    assert answer[0] in ACKS | NAKS
    gone = [session for session in before if session.cause is not None]
    if answer[0] in ACKS and flags & 1:
        assert len(gone) == 1
    for session, profile in before.items():
        if session in gone:
            continue
        assert answer[0] in ACKS or session.profile == profile
        BED.agrees(session)
