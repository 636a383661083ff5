"""What one session has of IPv6, where its leases come from, and what is recorded of it. Sans-IO."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from bng.aaa.model import SubscriberProfile
from bng.ipv6.actions import Lease
from bng.ipv6.link import Ipv6Link
from bng.ipv6.relay import Relay
from bng.ipv6.server import Server
from bng.session.actions import CommandKind
from bng.session.packing import reader
from bng.values import inside

if TYPE_CHECKING:
    from bng.session.manager import SessionManager
    from bng.session.model import Session

LOCAL_SCOPE = ~(1 << 57)
"""Clears the "u" bit: an interface identifier of ours has local scope (RFC 5072 §4.1)."""
ADDRESS_TRIES = 8
MAX_ROUTED_BITS = 64
"""The longest prefix that the dataplane takes for the session's without looking it up."""
KEY = "ip6"
"""Of the record of a session."""


@dataclass(slots=True, eq=False)
class Waits:
    """Commands of one session that are to be answered, and what for; those of a kind in order."""

    sent: list[tuple[CommandKind, int]] = field(default_factory=list)
    failed: dict[int, int] = field(default_factory=dict)  # status by tag

    def expect(self, kind: CommandKind, tag: int) -> None:
        """Note that a command of *kind* for *tag* was sent."""
        self.sent.append((kind, tag))

    def pending(self, tag: int) -> bool:
        """Say whether an answer for *tag* is still to come."""
        return any(tag == other for _, other in self.sent)

    def answered(self, kind: CommandKind, status: int) -> tuple[int, int] | None:
        """Take an answer; return (tag, status) with the last one of its tag."""
        at = next((at for at, (sent, _) in enumerate(self.sent) if sent == kind), None)
        if at is None:
            return None
        _, tag = self.sent.pop(at)
        if status:
            self.failed.setdefault(tag, status)
        return None if self.pending(tag) else (tag, self.failed.pop(tag, 0))


class SessionSupply:
    """Where the DHCPv6 server of *session* takes its leases: the profile, a pool, the link."""

    __slots__ = ("_manager", "_session", "_taken")

    def __init__(self, manager: "SessionManager", session: "Session") -> None:
        self._manager = manager
        self._session = session
        self._taken: set[IPv6Network] = set()
        """Claimed, in use of the link's prefix, or declined there."""

    def take(self, delegated: bool, hint: IPv6Network | None, now: float) -> IPv6Network | None:
        """Take a prefix to delegate or an address; see `bng.ipv6.bindings.Supply`."""
        manager, session = self._manager, self._session
        profile, policy = session.profile, manager.settings.ipv6
        if profile is None or session.user_name is None:
            return None
        static = _static(profile, delegated)
        pool = policy.delegated_pool_of(profile)
        if not delegated:
            pool = policy.address_pool_of(profile)
        if static is not None:
            return self._claim(static, now)
        if pool is None:
            from_link = not delegated and policy.addresses_from_link
            return self._of_the_link(session.user_name) if from_link else None
        wanted = hint if hint is not None and int(hint.network_address) else None
        length = None if hint is None else hint.prefixlen
        return manager.pools6.allocate(pool, session.user_name, now, wanted, length)

    def keeps(self, lease: Lease) -> bool:
        """Say whether profile, pools and link still give *lease*."""
        profile, policy = self._session.profile, self._manager.settings.ipv6
        side = self._session.ipv6
        if profile is None or side is None:
            return True
        static = _static(profile, lease.delegated)
        if static is not None:
            return lease.network == static
        if self.inside(lease.network):
            return side.prefix is not None and inside(lease.network, side.prefix)
        named = profile.delegated_pool if lease.delegated else profile.ipv6_address_pool
        return self._manager.pools6.is_of(lease.network, policy.known(named))

    def release(self, lease: Lease, now: float, *, declined: bool) -> None:
        """Take a lease back."""
        if self.inside(lease.network):
            if not declined:
                self._taken.discard(lease.network)
            return
        pools, static = self._manager.pools6, lease.network in self._taken
        self._taken.discard(lease.network)
        if declined and not static:
            pools.decline(lease.network, now)
        else:
            pools.release(lease.network, now, remember=not declined)

    def adopt(self, lease: Lease, owner: str) -> None:
        """Take over what is the session's since before a restart. Raises: ValueError."""
        if not self.inside(lease.network):
            self._manager.pools6.adopt(lease.network, owner)
        self._taken.add(lease.network)

    def inside(self, network: IPv6Network) -> bool:
        """Say whether *network* is a part of a prefix of the link, and so nobody else's."""
        side = self._session.ipv6
        return side is not None and any(inside(network, own) for own in side.own)

    def claim(self, network: IPv6Network, now: float) -> bool:
        """Take what an external server gave; False when it is another's."""
        return self._claim(network, now) is not None

    def _claim(self, static: IPv6Network, now: float) -> IPv6Network | None:
        if static in self._taken:
            return None
        if not self.inside(static):
            holder = self._manager.pools6.claim(static, self._session.acct_session_id, now)
            if holder is not None:
                self._manager.ipv6.conflict(self._session, static, holder)
                return None
        self._taken.add(static)
        return static

    def _of_the_link(self, user: str) -> IPv6Network | None:
        """Return an address of the link's prefix: the same again for the same user (RFC 7217)."""
        side = self._session.ipv6
        if side is None or side.prefix is None or side.prefix.prefixlen > MAX_ROUTED_BITS:
            return None
        for number in range(ADDRESS_TRIES):
            seed = f"{side.prefix} {user} {number}".encode(errors="surrogateescape")
            low = int.from_bytes(blake2b(seed, digest_size=8).digest()) & LOCAL_SCOPE
            address = IPv6Network(int(side.prefix.network_address) | low or 1)
            if address not in self._taken:
                self._taken.add(address)
                return address
        return None


def _static(profile: SubscriberProfile, delegated: bool) -> IPv6Network | None:
    """Return what AAA said that a lease is to be."""
    if delegated:
        return profile.delegated_prefix
    return None if profile.ipv6_address is None else IPv6Network(profile.ipv6_address)


@dataclass(slots=True, eq=False)
class Ipv6Side:
    """IPv6 of a session, from the first time that IPv6CP asks for it on.

    *leases* is what DHCPv6 gave, and until when, installed or on its way there; *framed* are the
    networks behind the subscriber. *old* are the prefixes that the link had before the one that it
    has, and until when each is forwarded. *on*: the dataplane was told to forward. *request* is the
    installation that IPv6CP waits for.
    """

    link: Ipv6Link
    supply: SessionSupply
    prefix: IPv6Network | None
    interface_id: int
    framed: tuple[IPv6Network, ...] = ()
    old: dict[IPv6Network, float] = field(default_factory=dict)
    leases: dict[Lease, float] = field(default_factory=dict)
    on: bool = False
    started: bool = False
    request: int | None = None
    fast: IPv6Network | None = None  # of the delegated ones
    told: int = 0  # how often the dataplane was: the last tag of `waits`, negative
    waits: Waits = field(default_factory=Waits)
    due: float | None = None  # when the link wants to be woken
    written: tuple[IPv6Network | None, str] = (None, "")  # a prefix of the link, and its text
    logged: IPv6Network | None = None  # the prefix that the log has
    recorded: str | None = None  # the text of `describe`; None: something has changed

    @property
    def prefix_text(self) -> str:
        """The prefix of the link in text, "" without one: to write it takes its time."""
        if self.written[0] is not self.prefix:
            self.written = self.prefix, "" if self.prefix is None else str(self.prefix)
        return self.written[1]

    @property
    def own(self) -> tuple[IPv6Network, ...]:
        """The prefix of the link, and those that it had before."""
        return (*(() if self.prefix is None else (self.prefix,)), *self.old)

    def plan(self) -> None:
        """Find out when there is something to do."""
        self.due = self.link.next_deadline()
        if self.old:
            first = min(self.old.values())
            self.due = first if self.due is None else min(self.due, first)

    @property
    def delegated(self) -> list[IPv6Network]:
        """Prefixes that DHCPv6 delegated."""
        return [lease.network for lease in self.leases if lease.delegated]

    @property
    def addresses(self) -> list[IPv6Address]:
        """Addresses that DHCPv6 gave."""
        return [lease.network.network_address for lease in self.leases if not lease.delegated]

    def routes(self) -> list[IPv6Network]:
        """Return all that leads to the session."""
        leased = [lease.network for lease in self.leases if self.needs_route(lease)]
        found = [*self.own, *self.framed, *leased]
        return list(dict.fromkeys(found)) if self.framed else found  # else all are apart

    def needs_route(self, lease: Lease) -> bool:
        """Say whether *lease* is more than a part of a prefix of the link."""
        return not any(inside(lease.network, prefix) for prefix in self.own)

    def choose_fast(self) -> bool:
        """Choose the delegated prefix that the dataplane knows by heart; say if it changed."""
        found = [net for net in self.delegated if net.prefixlen <= MAX_ROUTED_BITS]
        chosen = self.fast if self.fast in found else next(iter(found), None)
        changed, self.fast = chosen != self.fast, chosen
        return changed


# ---- what outlives us ----


@dataclass(frozen=True, slots=True)
class RecordedLease:
    """A lease, until when it is valid, and of which IA it is: those of a server have one."""

    network: IPv6Network
    delegated: bool
    until: float
    iaid: int = 0
    client_id: bytes = b""


@dataclass(frozen=True, slots=True)
class RecordedIpv6:
    """What is recorded of the IPv6 of a session."""

    prefix: IPv6Network | None = None
    leases: tuple[RecordedLease, ...] = ()
    framed: tuple[IPv6Network, ...] = ()
    deprecated: tuple[tuple[IPv6Network, float], ...] = ()
    """Prefixes of before, and until when each is valid."""
    old: tuple[tuple[IPv6Network, float], ...] = ()
    """Those of the session itself, which are forwarded."""

    @property
    def own(self) -> tuple[IPv6Network, ...]:
        """The prefixes of the link."""
        own = () if self.prefix is None else (self.prefix,)
        return (*own, *(prefix for prefix, _ in self.old))

    def routes(self) -> list[IPv6Network]:
        """Return all that may lead to the session."""
        return [*self.own, *self.framed, *(lease.network for lease in self.leases)]


def describe(side: Ipv6Side, *, clients: bool = True) -> object:
    """Return what is recorded, as JSON has it; without *clients* it is shorter, and good enough.

    Then a client that renews is one with another DUID: it takes over what the session has. It is
    what `pack` would make of a `RecordedIpv6`, made by hand: every session is recorded often.
    """
    deprecated = side.link.advertiser.deprecated
    return [
        side.prefix_text or None,
        _leases(side, clients) if side.leases else [],
        [str(net) for net in side.framed],
        [[str(net), round(until, 1)] for net, until in deprecated.items()],
        [[str(net), round(until, 1)] for net, until in side.old.items()],
    ]


def _leases(side: Ipv6Side, clients: bool) -> list[object]:
    dhcpv6 = side.link.dhcpv6
    known = {}
    if clients and isinstance(dhcpv6, Server):
        known = {binding.lease: binding for binding in dhcpv6.bindings(offers=True)}
    rows: list[object] = []
    for lease, until in current(side).items():
        binding = known.get(lease)
        row: list[object] = [str(lease.network), lease.delegated, round(until, 1)]
        if binding is not None:
            row += [binding.iaid, b64encode(binding.client_id).decode()]
        rows.append(row)
    return rows


def current(side: Ipv6Side) -> dict[Lease, float]:
    """Return what DHCPv6 gave, and until when as of its last renewal."""
    dhcpv6 = side.link.dhcpv6
    renewed: Mapping[Lease, float] = {}
    if isinstance(dhcpv6, Server):
        renewed = {binding.lease: binding.until for binding in dhcpv6.bindings()}
    elif isinstance(dhcpv6, Relay):
        renewed = dhcpv6.leases()
    return {lease: renewed.get(lease, until) for lease, until in side.leases.items()}


_READ = reader(RecordedIpv6)


def read(record: Mapping[str, object]) -> RecordedIpv6 | None:
    """Return what a record says, None when that is nothing. Raises: ValueError."""
    found = record.get(KEY)
    if found is None:
        return None
    recorded = _READ(found)
    assert isinstance(recorded, RecordedIpv6)  # noqa: S101 - its reader
    return recorded
