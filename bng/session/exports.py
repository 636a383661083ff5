"""What of the box's addresses the routers are to know: the prefixes that `bng.io.export` puts out.

Aggregates of pools stand while the access side lives, public addresses of NAT while somebody uses
one of their prefix, and what is routed to one subscriber while he has it. A session whose access
port is down has nothing. Sans-IO.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from bng.ipv6.relay import Relay
from bng.session.ipv6_side import Ipv6Side
from bng.session.model import Session, State
from bng.session.nat import NatPlace
from bng.values import inside

Prefix = IPv4Network | IPv6Network


class Kind(StrEnum):
    """Why a prefix is exported, as ``bngctl show export`` says it."""

    POOL = "pool"
    NAT = "nat"
    STATIC = "static"
    FRAMED = "framed"
    HOST = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """``[export]``: *pools* and *nat* are prefixes, empty for none of these.

    *static* is what users have for themselves, addresses and framed routes; *hosts* what they were
    given from pools, one by one. What sessions still have of a pool that is gone is as static: it
    is in none of *pools6*, which are all pools of IPv6, exported or not.
    """

    enabled: bool = False
    pools: tuple[Prefix, ...] = ()
    pools6: tuple[IPv6Network, ...] = ()
    nat: tuple[IPv4Network, ...] = ()
    static: bool = True
    hosts: bool = False
    table: int = 254
    metric: int = 0


class Exports:
    """Counts for each prefix who needs it. *public* says which address a NAT place is."""

    def __init__(
        self, settings: ExportSettings, public: Callable[[NatPlace], IPv4Address | None]
    ) -> None:
        self.settings = settings
        self.down: set[int] = set()
        """Access ports without carrier."""
        self._public = public
        self._alive = False
        self._of: dict[int, tuple[tuple[Prefix, Kind], ...]] = {}
        self._wanted: dict[Prefix, list[Kind]] = {}
        self._changed: set[Prefix] = set()

    @property
    def sessions(self) -> int:
        """How many sessions there are that anything leads to."""
        return len(self._of)

    def __iter__(self) -> Iterator[tuple[Prefix, Kind]]:
        return ((prefix, kinds[0]) for prefix, kinds in self._wanted.items())

    def __contains__(self, prefix: Prefix) -> bool:
        return prefix in self._wanted

    def __len__(self) -> int:
        return len(self._wanted)

    def take(self) -> set[Prefix]:
        """Return which prefixes came or went since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def configure(self, settings: ExportSettings) -> None:
        """Follow *settings*; then every session has to be told again."""
        was_alive = self._alive
        self.alive(False)
        self.settings = settings
        self.alive(was_alive)

    def alive(self, on: bool) -> None:
        """Say whether anybody can be reached: without, no aggregate is exported."""
        if on is self._alive:
            return
        self._alive = on
        change = self._add if on else self._remove
        for prefix in self.settings.pools if self.settings.enabled else ():
            change(prefix, Kind.POOL)

    def tell(self, index: int, session: Session | None) -> None:
        """Follow the session at *index*, None: there is none."""
        new = None if session is None else self._session(session)
        old = self._of.get(index)
        if new == old:
            return
        self._of.pop(index, None)
        if new is not None:
            self._of[index] = new
        for item in new or ():
            self._add(*item)
        for item in old or ():
            self._remove(*item)

    def _session(self, session: Session) -> tuple[tuple[Prefix, Kind], ...] | None:
        """Return what is exported for a session, None when nothing leads to it."""
        side = session.ipv6
        routes6 = side.routes() if side is not None and side.on else []
        if not (session.routes or routes6) or session.state is State.ENDING:
            return None
        if not self.settings.enabled or session.line.port in self.down:
            return ()
        return (*self._used(session), *self._own(session), *self._own6(session, routes6))

    def _used(self, session: Session) -> Iterator[tuple[Prefix, Kind]]:
        """Yield the prefix of the public address that the session is translated to."""
        public = session.nat_public
        if session.nat_place is not None:
            public = self._public(session.nat_place)
        if public is not None:
            yield from ((prefix, Kind.NAT) for prefix in self.settings.nat if public in prefix)

    def _own(self, session: Session) -> Iterator[tuple[Prefix, Kind]]:
        """Yield what leads to nobody but the session."""
        profile, translated = session.profile, session.nat_place or session.nat_public
        framed = {route.prefix for route in profile.routes} if profile else set()
        for prefix in session.routes:
            address = prefix.network_address
            if prefix in framed:
                kind = Kind.FRAMED
            elif address == session.nat_public or translated:
                continue
            elif profile and profile.ipv4_address == address:
                kind = Kind.STATIC
            else:
                kind = Kind.HOST
            if self.settings.hosts if kind is Kind.HOST else self.settings.static:
                yield prefix, kind

    def _own6(self, session: Session, routes: list[IPv6Network]) -> Iterator[tuple[Prefix, Kind]]:
        """Yield what of IPv6 leads to nobody but the session."""
        profile, side = session.profile, session.ipv6
        framed = set(side.framed) if side is not None else set()
        static: set[IPv6Network | None] = set()
        if profile is not None:
            static = {profile.ipv6_prefix, profile.delegated_prefix}
            static |= {IPv6Network(profile.ipv6_address)} if profile.ipv6_address else set()
        for prefix in routes:
            kind = Kind.FRAMED if prefix in framed else Kind.HOST
            if kind is Kind.HOST and (prefix in static or self._is_left(side, prefix)):
                kind = Kind.STATIC
            if self.settings.hosts if kind is Kind.HOST else self.settings.static:
                yield prefix, kind

    def _is_left(self, side: Ipv6Side | None, prefix: IPv6Network) -> bool:
        """Say whether no pool of now has a prefix; an external server has pools of its own."""
        if side is None or isinstance(side.link.dhcpv6, Relay):
            return False
        return not any(inside(prefix, pool) for pool in self.settings.pools6)

    def _add(self, prefix: Prefix, kind: Kind) -> None:
        kinds = self._wanted.setdefault(prefix, [])
        if not kinds:
            self._changed.add(prefix)
        kinds.append(kind)

    def _remove(self, prefix: Prefix, kind: Kind) -> None:
        kinds = self._wanted[prefix]
        kinds.remove(kind)
        if not kinds:
            del self._wanted[prefix]
            self._changed.add(prefix)
