"""The box's own addresses on the TAPs of routed ports, and hosts that claim them.

The kernel does not use an IPv6 address of which Duplicate Address Detection said that it is
another's (RFC 4862 §5.4.5), and says so to nobody. Here it is looked for each second, told, shown,
and tried again with back-off: once the other host is gone the address is the box's again. A port
with ``dad = false`` does without: its addresses are used whoever answers.

Of an address that is in use the dataplane tells when another claims it, and defends it (RFC 5227
§2.4): that is counted and told here.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from bng.ethernet import Mac
from bng.io.kernel import IFA_F_NODAD
from dataplane import sight
from dataplane.binding import Dataplane
from dataplane.fib6 import fib6_lookup

PROC = Path("/proc/net/if_inet6")
"""IPv6 addresses of this network namespace, in hex: address, device, length, scope, flags, name."""
LOOK_S = 1.0
RETRY_S, RETRY_MAX_S = 5.0, 60.0
"""How long an address that is another's is left alone, at first and at most."""
TELL_S = 10.0
"""How long nothing more is told of hosts that go on claiming an address."""
ALARM_S = 600.0
"""How long after the last claim it is shown as an alarm."""
DADFAILED, TENTATIVE = 0x08, 0x40
"""``IFA_F_*`` of the kernel."""

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface


class Claim(NamedTuple):
    """What the dataplane has seen of hosts that claim an address: how often, who was the last."""

    times: int
    mac: Mac


class Found(NamedTuple):
    """An IPv6 address that the kernel has on a TAP."""

    tap: str
    ifindex: int
    interface: IPv6Interface
    flags: int


@dataclass(frozen=True, slots=True)
class Port:
    """A routed port: its name, its addresses in the configuration, and whether they are tried."""

    name: str
    addresses: tuple[Interface, ...]
    dad: bool


@dataclass(slots=True)
class _Own:
    """What is known of one address of a port."""

    interface: Interface
    state: str = "ready"
    mac: Mac | None = None
    failed_at: float = 0.0
    retry_at: float = 0.0
    delay_s: float = RETRY_S
    taken: Found | None = None
    """As it was when it was taken away to be tried again: it may not have come back."""
    claims: int | None = None
    told_claims: int = 0
    told_at: float | None = None
    claimed_at: float | None = None


class Kernel(Protocol):
    """What is asked of the kernel. Raises: OSError, NetlinkError."""

    def addresses(self) -> Iterable[Found]:
        """Return the IPv6 addresses of all devices."""

    def renew(self, found: Found, *, dad: bool) -> None:
        """Have the kernel try an address anew, or use it without."""


def read(lines: Iterable[str]) -> Iterator[Found]:
    """Yield the addresses of `PROC`."""
    for line in lines:
        number, index, length, _, flags, tap = line.split()
        interface = IPv6Interface((int(number, 16), int(length, 16)))
        yield Found(tap, int(index, 16), interface, int(flags, 16))


class LinuxKernel:
    """The kernel of this network namespace."""

    def addresses(self) -> list[Found]:
        """Read them; a kernel without IPv6 has none."""
        try:
            return list(read(PROC.read_text().splitlines()))
        except FileNotFoundError:
            return []

    def renew(self, found: Found, *, dad: bool) -> None:
        """Take the address away and add it again; routes by other hosts' addresses stay."""
        with IPRoute() as ip:
            what = {"index": found.ifindex, "address": str(found.interface.ip)}
            length = found.interface.network.prefixlen
            with suppress(NetlinkError):
                ip.addr("del", **what, prefixlen=length)
            ip.addr("add", **what, prefixlen=length, flags=0 if dad else IFA_F_NODAD)


class Witness(Protocol):
    """What the dataplane has seen on the links."""

    def claims(self, address: Address) -> Claim | None:
        """Return what hosts claimed an address; None: the box does not use it."""

    def advertised(self, port: str, address: IPv6Address) -> Mac | None:
        """Return who said last, to all on the link of *port*, that it has an address."""


@dataclass(frozen=True, slots=True)
class DataplaneWitness:
    """The running dataplane, and its ports' indices by name."""

    dataplane: Dataplane
    ports: Mapping[str, int]

    def claims(self, address: Address) -> Claim | None:
        """Look at the box's own entry for the address."""
        if isinstance(address, IPv4Address):
            leaf = sight.fib4_lookup(self.dataplane, address)
        else:
            leaf = fib6_lookup(self.dataplane, address)
        found = sight.claims(self.dataplane, leaf)
        return None if found is None else Claim(found[0], Mac(found[1]))

    def advertised(self, port: str, address: IPv6Address) -> Mac | None:
        """Look at the last of such advertisements."""
        found = sight.advertised(self.dataplane, self.ports[port], address)
        return None if found is None else Mac(found)


class OwnAddresses:
    """Watches the addresses of *ports*, by the name of their TAP."""

    def __init__(
        self,
        ports: Mapping[str, Port],
        witness: Witness,
        kernel: Kernel | None = None,
    ) -> None:
        self._ports = ports
        self._witness = witness
        self._kernel = kernel or LinuxKernel()
        self._own: dict[tuple[str, Address], _Own] = {}
        self._task: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("addresses")

    # ---- what there is to see ----

    def rows(self, port: str, now: float) -> list[dict[str, object]]:
        """Return one row for each address of a routed port."""
        return [
            {
                "address": str(own.interface),
                "state": own.state,
                "claims": own.claims or 0,
                "claimed_by": str(own.mac) if own.mac else "",
                "retry_s": max(0, round(own.retry_at - now)) if own.state == "duplicate" else 0,
            }
            for (tap, _), own in self._own.items()
            if self._ports[tap].name == port
        ]

    def alarms(self, port: str, now: float) -> list[str]:
        """Return in words what an operator has to know of a routed port's addresses."""
        mine = (own for (tap, _), own in self._own.items() if self._ports[tap].name == port)
        return [text for own in mine if (text := _alarm(own, now))]

    # ---- each second ----

    def start(self, clock: Callable[[], float]) -> None:
        """Look each second of *clock*."""
        self._task = asyncio.get_running_loop().create_task(self._serve(clock))
        self._task.add_done_callback(_ended)

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _serve(self, clock: Callable[[], float]) -> None:
        while True:
            try:
                await self.look(clock())
            except OSError as error:
                self._log.error("addresses-not-watched", error=str(error))
            await asyncio.sleep(LOOK_S)

    async def look(self, now: float) -> None:
        """Look at all addresses; try again what is due."""
        found: dict[tuple[str, Address], Found] = {
            (f.tap, f.interface.ip): f for f in self._kernel.addresses()
        }
        wanted = {
            (tap, interface.ip): interface
            for tap, port in self._ports.items()
            for interface in port.addresses
        }
        wanted |= {key: f.interface for key, f in found.items() if f.tap in self._ports}
        for gone in self._own.keys() - wanted.keys():
            del self._own[gone]
        for key, interface in wanted.items():
            own = self._own.setdefault(key, _Own(interface))
            if (seen := found.get(key, own.taken)) is not None:
                await self._detection(own, seen, now)
            self._claimed(own, self._ports[key[0]].name, now)

    async def _detection(self, own: _Own, found: Found, now: float) -> None:
        """Follow what Duplicate Address Detection makes of an address."""
        port = self._ports[found.tap]
        if not found.flags & DADFAILED:
            if found.flags & TENTATIVE:
                own.state = "tentative"
            elif own.state != "ready":
                own.state = "ready"
                if own.failed_at:
                    after = round(now - own.failed_at)
                    self._log.warning(
                        "address-regained",
                        port=port.name,
                        address=str(own.interface),
                        after_s=after,
                    )
                own.failed_at, own.delay_s, own.mac, own.taken = 0.0, RETRY_S, None, None
        elif own.state != "duplicate":
            self._failed(own, found, port, now)
        elif now >= own.retry_at:
            own.state, own.delay_s = "tentative", min(own.delay_s * 2, RETRY_MAX_S)
            own.taken = found
            try:
                await asyncio.to_thread(self._kernel.renew, found, dad=port.dad)
            except (OSError, NetlinkError) as error:
                self._log.error("address-not-renewed", port=port.name, error=str(error))

    def _failed(self, own: _Own, found: Found, port: Port, now: float) -> None:
        own.state = "duplicate"
        own.failed_at = own.failed_at or now
        own.retry_at = now + (own.delay_s if port.dad else 0)
        own.mac = self._witness.advertised(port.name, found.interface.ip) or own.mac
        self._log.error(
            "address-duplicate",
            port=port.name,
            address=str(own.interface),
            mac=str(own.mac) if own.mac else "unknown",
            retry_s=round(own.retry_at - now),
        )

    def _claimed(self, own: _Own, port: str, now: float) -> None:
        """Tell of hosts that claim an address which is in use."""
        claim = self._witness.claims(own.interface.ip)
        if claim is None or claim.times == own.claims:
            return
        known, own.claims = own.claims, claim.times
        if known is None or claim.times < known:  # bngd or the address is new
            own.told_claims = claim.times
            return
        own.mac, own.claimed_at = claim.mac, now
        if own.told_at is None or now - own.told_at >= TELL_S:
            self._log.warning(
                "address-claimed",
                port=port,
                address=str(own.interface),
                mac=str(own.mac),
                claims=own.claims - own.told_claims,
            )
            own.told_at, own.told_claims = now, own.claims


def _ended(task: asyncio.Task[None]) -> None:
    """Report that the watch ended by itself, which is a defect; the event loop logs it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


def _alarm(own: _Own, now: float) -> str | None:
    who = f"{own.mac}" if own.mac else "another host"
    if own.state == "duplicate" or (own.failed_at and own.state == "tentative"):
        return f"{own.interface} is not in use: {who} has it"
    if own.claimed_at is not None and now - own.claimed_at < ALARM_S:
        ago = round(now - own.claimed_at)
        return f"{own.interface} is claimed by {who}: {own.claims} times, last {ago} s ago"
    return None
