"""What the IPv6 side of a session asks of the session that it belongs to."""

from ipaddress import IPv6Network

from bng.values import value


@value
class SendPacket:
    """Send a whole IPv6 packet to the subscriber."""

    packet: bytes


@value
class ToServer:
    """Send a UDP *payload* to the external DHCPv6 server, port 547, from port 547."""

    payload: bytes


@value
class Lease:
    """An address (*network* is a /128) or, *delegated*, a prefix that the client routes."""

    network: IPv6Network
    delegated: bool


@value
class Install:
    """Forward to and accept from *leases*, until valid_until, on the clock of `now`.

    The answer is `installed(request, ok, now)`; until then the client is told nothing. When it is
    not *ok*, nothing of it is installed.
    """

    request: int
    leases: tuple[Lease, ...]
    valid_until: float


@value
class Remove:
    """Forward *leases* no more; there is no answer."""

    leases: tuple[Lease, ...]


Action = SendPacket | ToServer | Install | Remove
