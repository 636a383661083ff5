"""Router Advertisements to one subscriber (RFC 4861 §6.2.4 to §6.2.6, RFC 8106), sans IO.

The link is point-to-point: everything goes to all nodes of it, the one client. A prefix that is
replaced goes on being announced, deprecated, for as long as the client may keep it (RFC 9096,
RFC 4862 §5.5.3 e: two hours at most). The box takes no advertisements.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network
from math import ceil, inf
from typing import Final

from bng.ipv6 import nd
from bng.ipv6.actions import SendPacket
from bng.ipv6.packet import ALL_NODES

# RFC 4861 §10
MAX_INITIAL_INTERVAL_S: Final = 16.0
MAX_INITIAL: Final = 3
MIN_DELAY_BETWEEN_S: Final = 3.0
MAX_ANSWER_DELAY_S: Final = 0.5
TWO_HOURS_S: Final = 7200
MAX_DEPRECATED: Final = 4
MIN_MTU: Final = 1280


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvertiseConfig:
    """What is announced, one object for all sessions alike; names are those of RFC 4861 §6.2.1.

    Of *managed* (M) and *other* (O), *autonomous* (A) and *on_link* (L) see there. An *mtu* of
    None is not announced. *routes* are more specific ones (RFC 4191), valid as long as the router
    is. The defaults of the lifetimes are those of RFC 9096 §3.4 and §3.5.

    Raises: ValueError when a value is outside of what RFC 4861 permits.
    """

    managed: bool = False
    other: bool = True
    hop_limit: int = 64
    lifetime_s: int = 1800
    reachable_ms: int = 0
    retrans_ms: int = 0
    mtu: int | None = None
    min_interval_s: float = 200.0
    max_interval_s: float = 600.0
    autonomous: bool = True
    on_link: bool = True
    preferred_s: int = 2700
    valid_s: int = 5400
    routes: tuple[IPv6Network, ...] = ()
    rdnss: tuple[IPv6Address, ...] = ()
    dnssl: tuple[str, ...] = ()
    dns_s: int = 1800
    frame: nd.Frame = field(init=False, repr=False, compare=False)
    """All that is sent but the prefixes, the same every time."""

    def __post_init__(self) -> None:
        if not 4 <= self.max_interval_s <= 1800:
            raise ValueError("max_interval_s must be 4 to 1800")
        if not 3 <= self.min_interval_s <= 0.75 * self.max_interval_s:
            raise ValueError("min_interval_s must be 3 to 0.75 times max_interval_s")
        if self.lifetime_s and not self.max_interval_s <= self.lifetime_s <= 9000:
            raise ValueError("lifetime_s must be 0, or max_interval_s to 9000")
        if not 0 <= self.preferred_s <= self.valid_s <= nd.INFINITY:
            raise ValueError("preferred_s must not be longer than valid_s")
        if self.mtu is not None and self.mtu < MIN_MTU:
            raise ValueError(f"mtu must be {MIN_MTU} or more")
        object.__setattr__(self, "frame", nd.frame_of(self._message()))

    @property
    def last_frame(self) -> nd.Frame:
        """The same, of the last one: no router, route or server is to be used any longer."""
        return nd.frame_of(self._message(stops=self.lifetime_s > 0))

    def _message(self, *, stops: bool = False) -> nd.RouterAdvertisement:
        dns_s = 0 if stops else self.dns_s
        return nd.RouterAdvertisement(
            hop_limit=self.hop_limit,
            managed=self.managed,
            other=self.other,
            lifetime_s=0 if stops else self.lifetime_s,
            reachable_ms=self.reachable_ms,
            retrans_ms=self.retrans_ms,
            mtu=self.mtu,
            routes=self.routes,
            routes_s=0 if stops else self.lifetime_s or ceil(3 * self.max_interval_s),
            rdnss=self.rdnss,
            rdnss_s=dns_s,
            dnssl=self.dnssl,
            dnssl_s=dns_s,
        )


class Advertiser:
    """The advertisements of one session, from *source*, our link-local address.

    *entropy* returns n random bytes. When `tick` is due, and the packets, are the only things that
    come out; what a client solicits with is checked by `bng.ipv6.nd`.
    """

    __slots__ = (
        "_config",
        "_deprecated",
        "_due",
        "_entropy",
        "_initial",
        "_prefix",
        "_sent_at",
        "_source",
    )

    def __init__(
        self, config: AdvertiseConfig, source: IPv6Address, entropy: Callable[[int], bytes]
    ) -> None:
        self._config = config
        self._source = source
        self._entropy = entropy
        self._prefix: IPv6Network | None = None
        self._deprecated: dict[IPv6Network, float] = {}  # until when each is valid
        self._initial = 0  # advertisements that are still to follow quickly
        self._sent_at = -inf
        self._due = inf

    def start(self, prefix: IPv6Network | None, now: float) -> list[SendPacket]:
        """Begin, with the first of three initial advertisements; again after `stop` is fine."""
        self._change(prefix, now)
        self._initial = MAX_INITIAL
        return self._advertise(now)

    def go_on(
        self, prefix: IPv6Network | None, deprecated: dict[IPv6Network, float], now: float
    ) -> None:
        """Go on where another advertiser was: its client has been told, the next one comes later.

        *deprecated* says until when each prefix of before is valid.
        """
        self._prefix = prefix
        self._deprecated = dict(deprecated)
        self._due = now + self._random(0.0, self._config.min_interval_s)

    @property
    def prefix(self) -> IPv6Network | None:
        """The prefix of the link, as the client is told it."""
        return self._prefix

    @property
    def sent_at(self) -> float | None:
        """When the last advertisement left, None before the first."""
        return None if self._sent_at == -inf else self._sent_at

    @property
    def valid_s(self) -> int:
        """How long the client may use a prefix that it was just told."""
        return self._config.valid_s

    @property
    def deprecated(self) -> dict[IPv6Network, float]:
        """Until when each prefix that was replaced is valid."""
        return dict(self._deprecated)

    def solicited(self, now: float) -> None:
        """Answer a Router Solicitation: soon, but no more than one in three seconds."""
        if self._due == inf:  # stopped, or not started
            return
        delay = self._random(0.0, MAX_ANSWER_DELAY_S)
        self._due = min(self._due, max(now, self._sent_at + MIN_DELAY_BETWEEN_S) + delay)

    def renumber(self, prefix: IPv6Network | None, now: float) -> None:
        """Announce another prefix, and that the one before is deprecated."""
        self._change(prefix, now)
        self._hurry(now)

    def reconfigure(self, config: AdvertiseConfig, now: float) -> None:
        """Take new settings, and tell the client soon, if they are others."""
        if config == self._config:
            return
        self._config = config
        self._hurry(now)

    def deprecate(self, prefix: IPv6Network, now: float, valid_s: float = TWO_HOURS_S) -> None:
        """Announce that *prefix*, which the client may hold from before, is to be used no more.

        It is announced until it is valid no longer, at most two hours; of more than MAX_DEPRECATED
        the oldest is forgotten.
        """
        if prefix == self._prefix:
            return
        self._deprecated.pop(prefix, None)
        self._deprecated[prefix] = now + min(valid_s, TWO_HOURS_S)
        if len(self._deprecated) > MAX_DEPRECATED:
            del self._deprecated[next(iter(self._deprecated))]

    def tick(self, now: float) -> list[SendPacket]:
        """Return the advertisement that is due."""
        return self._advertise(now) if self._due <= now else []

    def next_deadline(self) -> float | None:
        """Return when `tick` is due."""
        return None if self._due == inf else self._due

    def stop(self, now: float) -> list[SendPacket]:
        """Say that we are a router no longer (§6.2.5), and that the prefixes go with us."""
        if self._due == inf:
            return []
        self._due = inf
        old = [self._prefix] if self._prefix is not None else []
        prefixes = [self._information(net, 0, 0) for net in (*old, *self._deprecated)]
        return [self._packet(self._config.last_frame, prefixes)]

    def _change(self, prefix: IPv6Network | None, now: float) -> None:
        old = self._prefix
        self._prefix = prefix
        if old is not None:
            self.deprecate(old, now, self._config.valid_s)
        if prefix is not None:
            self._deprecated.pop(prefix, None)

    def _hurry(self, now: float) -> None:
        """Send soon what has changed: three times, as at the beginning (§6.2.4)."""
        if self._due < inf:
            self._initial = MAX_INITIAL
            self._due = max(now, self._sent_at + MIN_DELAY_BETWEEN_S)

    def _advertise(self, now: float) -> list[SendPacket]:
        config = self._config
        self._sent_at = now
        self._initial = max(0, self._initial - 1)
        interval = self._random(config.min_interval_s, config.max_interval_s)
        self._due = now + (min(interval, MAX_INITIAL_INTERVAL_S) if self._initial else interval)
        if self._deprecated:
            valid = {net: until for net, until in self._deprecated.items() if until > now}
            self._deprecated = valid
        prefixes = [
            self._information(net, ceil(until - now), 0) for net, until in self._deprecated.items()
        ]
        if self._prefix is not None:
            prefixes.insert(0, self._information(self._prefix, config.valid_s, config.preferred_s))
        return [self._packet(config.frame, prefixes)]

    def _information(self, prefix: IPv6Network, valid: int, preferred: int) -> nd.PrefixInformation:
        return nd.PrefixInformation(
            prefix=prefix,
            valid_s=valid,
            preferred_s=preferred,
            on_link=self._config.on_link,
            autonomous=self._config.autonomous,
        )

    def _packet(self, frame: nd.Frame, prefixes: list[nd.PrefixInformation]) -> SendPacket:
        return SendPacket(nd.build_advertisement(self._source, ALL_NODES, frame, prefixes))

    def _random(self, low: float, high: float) -> float:
        return low + (high - low) * int.from_bytes(self._entropy(4)) / 2**32
