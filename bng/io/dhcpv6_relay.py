"""UDP to external DHCPv6 servers (RFC 8415 §7.2): what the relay agents of all sessions send.

One socket, port 547. What comes is taken of the servers that are configured; the core finds the
session by its Interface-Id.
"""

import asyncio
import errno
from collections import Counter
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address

import structlog

from bng.config.ipv6 import Dhcpv6External
from bng.errors import MalformedPacket
from bng.io.dynauth_service import bound
from bng.ipv6.dhcpv6 import parse_relay
from bng.ipv6.messages import SERVER_PORT, RelayMessage
from radius.datagram import Datagrams
from radius.settings import Peer

RETRY_S = 0.5
"""Sooner than a client asks again (RFC 8415 §7.6, SOL_TIMEOUT)."""


class Dhcpv6Relay:
    """The way to the servers of *table* and back; *take* is given each answer.

    A socket that cannot be had, as while its address is not there or tentative (RFC 4862 §5.4), is
    tried again; what is to be sent waits for it.
    """

    def __init__(self, table: Dhcpv6External, take: Callable[[RelayMessage], None]) -> None:
        self.counters: Counter[str] = Counter()
        self.error = ""
        """Why there is no socket."""
        self._table = table
        self._servers = frozenset(table.servers)
        self._take = take
        self._log = structlog.get_logger("ipv6")
        self._datagrams = Datagrams(self._receive, partial(self._count, "unsent"))

    def send(self, payload: bytes) -> None:
        """Send a relay message to every server (RFC 8415 §19.1)."""
        for server in self._table.servers:
            self.counters["sent"] += 1
            self._datagrams.send(payload, (str(server), SERVER_PORT))

    async def run(self) -> None:
        """Keep the socket until cancelled."""
        address = self._table.source or IPv6Address("::")
        while True:
            try:
                made = bound(address, SERVER_PORT)
            except OSError as error:
                if self.error != str(error):
                    self._log.warning("dhcpv6-socket", address=str(address), error=_why(error))
                self.error = str(error)
                await asyncio.sleep(RETRY_S)
                continue
            if self.error:
                self._log.info("dhcpv6-socket-is-there", address=str(address))
            self.error = ""
            await self._datagrams.run(made)

    def _receive(self, data: bytes, peer: Peer) -> None:
        if IPv6Address(peer[0].partition("%")[0]) not in self._servers or peer[1] != SERVER_PORT:
            self._count("not_a_server")
            return
        try:
            relayed = parse_relay(data)
        except MalformedPacket:
            self._count("malformed")
            return
        self._count("received")
        try:
            self._take(relayed)
        except Exception:
            # The packet-in edge: a defect of ours must cost one answer, not the box.
            self._count("error")
            self._log.exception("dhcpv6-error", server=peer[0])

    def _count(self, what: str) -> None:
        self.counters[what] += 1


def _why(error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{error}: the address is not there, or not yet known to be unique; tried again"
    return str(error)
