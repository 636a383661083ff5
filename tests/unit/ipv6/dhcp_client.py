"""A DHCPv6 client made of scapy at one end, a Server at the other, and a supply between."""

from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from scapy.layers import dhcp6
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from bng.ipv6.actions import Action, Install, Lease, Remove, SendPacket
from bng.ipv6.config import ServerConfig
from bng.ipv6.counters import new_counters
from bng.ipv6.dhcpv6 import option
from bng.ipv6.messages import ALL_SERVERS, duid_uuid
from bng.ipv6.options import ClientOptions
from bng.ipv6.packet import Datagram
from bng.ipv6.server import Server

US, CLIENT = IPv6Address("fe80::1"), IPv6Address("fe80::2")
DUID = duid_uuid(bytes(range(16)))
CLIENT_DUID = b"\0\3\0\1\2\0\x5e\0\0\1"
LINK = IPv6Network("2001:db8:0:1::/64")
ADDRESSES = [IPv6Network(f"2001:db8:0:1::{n:x}") for n in (0xA, 0xB)]
PREFIXES = [IPv6Network(f"2001:db8:{n}00::/56") for n in (1, 2, 3)]
CONFIG = ServerConfig(
    duid=DUID,
    preferred_s=1000,
    valid_s=2000,
    options=ClientOptions(
        dns=(IPv6Address("2001:db8::53"),), domains=("example.net",), sol_max_rt_s=600
    ),
)


class Shelf:
    """Leases in a fixed order; what comes back goes in front, what is declined to the end."""

    def __init__(self) -> None:
        self.free = {False: list(ADDRESSES), True: list(PREFIXES)}
        self.taken: list[Lease] = []
        self.gone: set[IPv6Network] = set()  # of what was given: it is to be had no longer
        self.hints: list[IPv6Network | None] = []

    def take(self, delegated: bool, hint: IPv6Network | None, now: float) -> IPv6Network | None:
        self.hints.append(hint)
        free = self.free[delegated]
        if not free:
            return None
        network = free.pop(free.index(hint) if hint in free else 0)
        self.taken.append(Lease(network, delegated))
        return network

    def keeps(self, lease: Lease) -> bool:
        return lease.network not in self.gone

    def release(self, lease: Lease, now: float, *, declined: bool) -> None:
        self.taken.remove(lease)
        if lease.network in self.gone:
            return
        free = self.free[lease.delegated]
        free.insert(len(free) if declined else 0, lease.network)


class Bed:
    """A client and its server; the dataplane answers *ok*, or not at all when None."""

    def __init__(self, config: ServerConfig = CONFIG, ok: bool | None = True) -> None:
        self.shelf = Shelf()
        self.counters = new_counters()
        self.server = Server(config, self.shelf, US, self.counters, on_link=(LINK,))
        self.ok = ok
        self.now = 0.0
        self.installed: list[IPv6Network] = []
        self.pending: list[Install] = []
        self.trid = 0

    def send(self, message: Packet, *options: Packet, **where: Any) -> Packet | None:
        """Send a message with the client's DUID; returns the answer, after its install."""
        return self.send_raw(self.message(message, *options), **where)

    def message(self, message: Packet, *options: Packet, duid: bytes = CLIENT_DUID) -> bytes:
        self.trid += 1
        message.trid = self.trid
        return bytes(message) + option(1, duid) + b"".join(map(bytes, options))

    def send_raw(
        self, payload: bytes, source: IPv6Address = CLIENT, to: IPv6Address = ALL_SERVERS
    ) -> Packet | None:
        return self.act(self.server.receive(Datagram(source, to, 546, 547, payload), self.now))

    def act(self, actions: Iterable[Action]) -> Packet | None:
        """Do what a session does, and return the answer to the client as scapy reads it."""
        answer = None
        for action in actions:
            match action:
                case Install(request, leases):
                    self.pending.append(action)
                    if self.ok:
                        self.installed += [lease.network for lease in leases]
                    if self.ok is not None:
                        answer = self.act(self.server.installed(request, self.ok, self.now))
                case Remove(leases):
                    for lease in leases:
                        self.installed.remove(lease.network)
                case SendPacket(packet):
                    answer = judged(packet)
        return answer

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        assert self.act(self.server.tick(self.now)) is None


def judged(packet: bytes) -> Packet:
    """Return the DHCPv6 message in *packet*, whose headers scapy finds right."""
    outer = IPv6(packet)
    assert (outer.src, outer[1].sport, outer[1].dport) == (str(US), 547, 546)
    again = outer.copy()
    del again.plen, again[1].len, again[1].chksum
    assert bytes(again) == packet
    return outer[2]


def server_id(duid: bytes = DUID) -> Any:
    return option(2, duid)


def na(iaid: int = 1, *addresses: IPv6Network | str) -> Packet:
    inner = [dhcp6.DHCP6OptIAAddress(addr=str(a).removesuffix("/128")) for a in addresses]
    return dhcp6.DHCP6OptIA_NA(iaid=iaid, ianaopts=inner)


def pd(iaid: int = 1, *prefixes: IPv6Network | str) -> Packet:
    inner = []
    for prefix in prefixes:
        address, length = str(prefix).split("/")
        inner.append(dhcp6.DHCP6OptIAPrefix(prefix=address, plen=int(length)))
    return dhcp6.DHCP6OptIA_PD(iaid=iaid, iapdopt=inner)


def layers(answer: Packet | None, kind: type[Packet]) -> list[Packet]:
    assert answer is not None
    found = []
    layer = answer
    while layer:
        if type(layer) is kind:
            found.append(layer)
        layer = layer.payload
    return found


def given(answer: Packet | None) -> dict[tuple[str, int], list[str]]:
    """Return what each IA says: networks with lifetimes, and names of status codes."""
    found: dict[tuple[str, int], list[str]] = {}
    for ia in layers(answer, dhcp6.DHCP6OptIA_NA):
        found["NA", ia.iaid] = [shown(part) for part in ia.ianaopts]
    for ia in layers(answer, dhcp6.DHCP6OptIA_TA):
        found["TA", ia.iaid] = [shown(part) for part in ia.iataopts]
    for ia in layers(answer, dhcp6.DHCP6OptIA_PD):
        found["PD", ia.iaid] = [shown(part) for part in ia.iapdopt]
    return found


def shown(part: Packet) -> str:
    if isinstance(part, dhcp6.DHCP6OptStatusCode):
        return dhcp6.dhcp6statuscodes[part.statuscode]
    network = f"{part.prefix}/{part.plen}" if hasattr(part, "plen") else part.addr
    return f"{network} {part.preflft} {part.validlft}"


def status(answer: Packet | None) -> str | None:
    """Return the status of the message itself."""
    found = layers(answer, dhcp6.DHCP6OptStatusCode)
    return dhcp6.dhcp6statuscodes[found[0].statuscode] if found else None
