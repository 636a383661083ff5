"""The NAT log beside its file: syslog (RFC 5424) and IPFIX (`bng.io.ipfix`), over datagrams.

Best effort: nothing is kept and nothing waits; what the socket does not take at once is dropped and
counted. A collector that is away harms nothing.
"""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from bng.io.ipfix import Encoder
from bng.natlog.lines import time_text

SEND_BUFFER_BYTES = 4 << 20
MOST_AT_ONCE = 20_000
"""Syslog messages of one flush: a burst of mappings must not keep the file waiting."""
INFORMATIONAL = 6
FACILITIES = {
    **{"user": 1, "daemon": 3, "auth": 4, "authpriv": 10},
    **{f"local{n}": 16 + n for n in range(8)},
}
"""RFC 5424 section 6.2.1, by the names of bng.toml."""
TIME_CHARS = len(time_text(0))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where datagrams go: an address and a UDP port, or the path of a unix socket."""

    address: IPv4Address | IPv6Address | Path
    port: int = 0

    def __str__(self) -> str:
        if isinstance(self.address, IPv6Address):
            return f"[{self.address}]:{self.port}"
        return str(self.address) + (f":{self.port}" if self.port else "")


class Datagrams:
    """A socket that never blocks. *errors* counts datagrams that it did not take."""

    def __init__(self, to: Endpoint) -> None:
        self.to = to
        self.errors = 0
        family: dict[type, int] = {IPv4Address: socket.AF_INET, IPv6Address: socket.AF_INET6}
        kind = family.get(type(to.address), socket.AF_UNIX)
        place = (str(to.address), to.port)
        self._name: str | tuple[str, int] = place[0] if kind == socket.AF_UNIX else place
        self._socket = socket.socket(kind, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def send(self, datagram: bytes) -> bool:
        """Send one. False: it is lost."""
        try:
            self._socket.sendto(datagram, self._name)
        except OSError:
            self.errors += 1
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Syslog:
    """One message a record: the line of the log behind the header of RFC 5424, MSGID ``nat``.

    *facility* is one of FACILITIES.
    """

    def __init__(self, to: Endpoint, facility: str, hostname: str) -> None:
        self.sent = 0
        self.dropped = 0
        self._socket = Datagrams(to)
        self._head = f"<{FACILITIES[facility] * 8 + INFORMATIONAL}>1 ".encode()
        self._tail = f" {_name(hostname)} bngd {os.getpid()} nat - ".encode()
        self._room = MOST_AT_ONCE

    def export(self, worker: int, records: bytes, text: bytes) -> None:
        """Send the lines."""
        lines = text.splitlines()
        self.dropped += max(0, len(lines) - self._room)
        lines = lines[: self._room]
        self._room -= len(lines)
        for line in lines:
            message = self._head + line[:TIME_CHARS] + self._tail + line[TIME_CHARS + 1 :]
            self.sent += self._socket.send(message)

    def flush(self, now: float) -> None:
        """Take as much again."""
        self._room = MOST_AT_ONCE

    def stats(self) -> dict[str, object]:
        """Return where to, and counters of messages."""
        return {
            "exporter": "syslog",
            "to": str(self._socket.to),
            "sent": self.sent,
            "errors": self._socket.errors,
            "dropped": self.dropped,
        }

    def close(self) -> None:
        """Let go."""
        self._socket.close()


def _name(text: str) -> str:
    """Return a HOSTNAME: printable ASCII without space."""
    return "".join(c if "!" <= c <= "~" else "-" for c in text)[:255] or "-"


class Ipfix:
    """Many records in a message."""

    def __init__(self, to: Endpoint, domain: int, mtu: int, refresh_s: float) -> None:
        self.sent = 0
        self.messages = 0
        self.dropped = 0
        self._socket = Datagrams(to)
        head = 48 if isinstance(to.address, IPv6Address) else 28
        self._encoder = Encoder(domain, mtu - head, refresh_s)
        self._now = 0.0

    def export(self, worker: int, records: bytes, text: bytes) -> None:
        """Send what fills messages."""
        self._send(list(self._encoder.add(records, self._now)))

    def flush(self, now: float) -> None:
        """Send the rest, and the templates when they are due."""
        self._send(list(self._encoder.finish(now)))
        self._now = now

    def _send(self, messages: Sequence[tuple[bytes, int]]) -> None:
        for message, count in messages:
            if self._socket.send(message):
                self.messages += 1
                self.sent += count
            else:
                self.dropped += count

    def stats(self) -> dict[str, object]:
        """Return where to, and counters: of records, but errors are messages."""
        return {
            "exporter": "ipfix",
            "to": str(self._socket.to),
            "sent": self.sent,
            "errors": self._socket.errors,
            "dropped": self.dropped,
        }

    def close(self) -> None:
        """Let go."""
        self._socket.close()
