"""CoA-Request and Disconnect-Request from the network to the session core, and the answers back.

One UDP socket for each address of ``radius.dynauth.listen``, opened when there is a client. What
comes from nobody we know is dropped before anything is computed.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv6Address

import structlog

from bng.aaa.dynauth import ErrorCause, Known
from bng.aaa.reading import Value
from bng.config.radius import DynAuth as DynAuthTable
from bng.session.coa import Orders, Outcome
from radius.datagram import Datagrams
from radius.dictionary import Dictionary
from radius.dynauth import DynAuth, DynAuthClient, Order
from radius.errors import MalformedValue
from radius.packet import Code
from radius.settings import Peer

RECEIVE_BYTES = 1 << 20
BIND_RETRY_S = 5.0
WORDS = {Code.COA_REQUEST: "coa", Code.DISCONNECT_REQUEST: "disconnect"}
"""What the configuration and the log call requests."""


class DynAuthService:
    """The sockets and what is behind them; `attach` before the first request is served."""

    def __init__(self, table: DynAuthTable, dictionary: Dictionary, known: Known) -> None:
        self.table = table
        self.known = known
        self.core = DynAuth(_clients(table), dictionary)
        self.sockets: dict[str, str] = {}
        """By address: why there is no socket; empty: there is one."""
        self.errors = 0
        """Requests that came to a defect of ours."""
        self._orders: Orders | None = None
        self._settle: Callable[[], None] = _nothing
        self._wanted = asyncio.Event()
        self._log = structlog.get_logger("dynauth")
        self.reconfigure(table, known)

    def attach(self, orders: Orders, settle: Callable[[], None]) -> None:
        """Say who carries requests out; *settle* does what they decided."""
        self._orders, self._settle = orders, settle
        orders.known = self.known

    def reconfigure(self, table: DynAuthTable, known: Known) -> None:
        """Take what is live: the clients, and what attributes may name."""
        self.table, self.known = table, known
        self.core.reconfigure(_clients(table))
        if self._orders is not None:
            self._orders.known = known
        if table.client:
            self._wanted.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._wanted.wait()
        async with asyncio.TaskGroup() as tasks:
            for address in self.table.listen:
                tasks.create_task(self._listen(address))

    def receive(self, data: bytes, peer: Peer, send: "Send") -> None:
        """Take a datagram; *send* takes the answers."""
        core, now = self.core, time.monotonic()
        found = core.receive(data, peer, now, time.time())
        if isinstance(found, Order):
            try:
                self._order(found, send, now)
                self._settle()
            except Exception:
                # The packet-in edge: a defect of ours must cost one request, not the box.
                self.errors += 1
                self._log.exception("dynauth-error", **_named(found), client=found.client)
        elif found is not None:
            send(found.data, found.peer)

    def _order(self, order: Order, send: "Send", now: float) -> None:
        """Give a new request to the core."""
        word = WORDS[order.packet.code]
        answer = partial(self._answer, order, send)
        allowed = next((c.orders for c in self.table.client if c.name == order.client), ())
        if word not in allowed:
            cause = ErrorCause.ADMINISTRATIVELY_PROHIBITED
            answer(Outcome(cause, f"{order.client} may not ask for {word}"))
            return
        try:
            pairs = _values(order)
        except MalformedValue as why:
            answer(Outcome(ErrorCause.INVALID_REQUEST, str(why)))
            return
        assert self._orders is not None  # noqa: S101 - attached when the box starts
        disconnect = order.packet.code is Code.DISCONNECT_REQUEST
        self._orders.take(pairs, answer, now, disconnect=disconnect, source=order.client)

    def _answer(self, order: Order, send: "Send", outcome: Outcome) -> None:
        """Answer a request, and log it."""
        cause, session = outcome.cause, outcome.session
        reply = self.core.answer(order, cause, time.monotonic())
        send(reply.data, reply.peer)
        fields: dict[str, object] = {
            "client": order.client,
            "peer": order.peer[0],
            "result": "ack" if cause is None else "nak",
        }
        if session is not None:
            fields = {"session": session.acct_session_id, "user": session.user_name, **fields}
        else:
            fields = {**_named(order), **fields}
        if cause is None:
            self._log.info(WORDS[order.packet.code], **fields)
            return
        fields |= {"error_cause": int(cause), "cause": cause.name.lower().replace("_", "-")}
        self._log.warning(WORDS[order.packet.code], **fields, detail=outcome.detail)

    async def _listen(self, address: IPv4Address | IPv6Address) -> None:
        """Keep the socket of *address*."""
        where = str(address)
        while True:
            try:
                made = bound(address, self.table.port)
            except OSError as error:
                if self.sockets.get(where) != str(error):
                    self._log.warning("dynauth-socket", address=where, error=str(error))
                self.sockets[where] = str(error)
                await asyncio.sleep(BIND_RETRY_S)
                continue
            self.sockets[where] = ""
            await self._serve(made)

    async def _serve(self, made: socket.socket) -> None:
        """Take datagrams until cancelled; an answer that is lost is asked for again."""

        def take(data: bytes, peer: Peer) -> None:
            self.receive(data, peer, datagrams.send)

        def unsent() -> None:
            self.core.counters["unsent"] += 1

        datagrams = Datagrams(take, unsent)
        await datagrams.run(made)


Send = Callable[[bytes, Peer], None]


def bound(address: IPv4Address | IPv6Address, port: int) -> socket.socket:
    """Return a socket for *address* alone: that of :: takes no IPv4. Raises: OSError."""
    six = address.version == 6
    made = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if six:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        made.setblocking(False)
        made.bind((str(address), port))
    except OSError:
        made.close()
        raise
    return made


def _values(order: Order) -> list[tuple[str, Value]]:
    """Return the attributes by name. Raises: MalformedValue."""
    dictionary = order.packet.dictionary
    return [
        (dictionary.name(key), dictionary.decode(key, data))
        for key, data in order.packet.attributes
    ]


def _named(order: Order) -> dict[str, object]:
    """Return whom a request names, for the log."""
    found: dict[str, object] = {}
    for what, name in (("session", "Acct-Session-Id"), ("user", "User-Name")):
        key = order.packet.dictionary[name].key
        if (value := next(order.packet.raw(key), None)) is not None:
            found[what] = value.decode(errors="backslashreplace")
    return found


def _clients(table: DynAuthTable) -> list[DynAuthClient]:
    return [
        DynAuthClient(
            name=client.name,
            prefix=client.prefix,
            secret=client.secret.encode(),
            demand_signature=client.message_authenticator,
            demand_timestamp=client.event_timestamp,
            window_s=client.window_s or None,
        )
        for client in table.client
    ]


def _nothing() -> None:
    """Nobody is attached yet."""
