"""Settings of the DHCPv6 server."""

from dataclasses import dataclass, field

from bng.ipv6.messages import INFINITY, IaType
from bng.ipv6.options import ClientOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Settings of a server, one object for all sessions alike; times are seconds.

    *duid* must stay the same over restarts (see `duid_ll`, `duid_uuid`). *preference* 255 saves the
    client the wait for other servers. *hint_lengths* are the prefix lengths that a client may ask
    for. With *recreate*, a client that renews what the session does not know, as after a
    reconnection that it has not noticed, gets a binding and not NoBinding.

    Raises: ValueError when a value makes no sense.
    """

    duid: bytes
    preferred_s: int = 3600
    valid_s: int = 7200
    t1_s: int | None = None  # None: half of preferred_s
    t2_s: int | None = None  # None: 0.8 of preferred_s
    rapid_commit: bool = True
    preference: int | None = 255
    max_addresses: int = 1
    max_prefixes: int = 1
    hint_lengths: tuple[int, ...] = ()
    recreate: bool = True
    offer_s: float = 60.0
    options: ClientOptions = field(default_factory=ClientOptions)

    def __post_init__(self) -> None:
        if not 0 < self.preferred_s <= self.valid_s <= INFINITY:
            raise ValueError("preferred_s must be positive and not longer than valid_s")
        if not 0 <= self.t1 <= self.t2 <= self.preferred_s:
            raise ValueError("t1_s, t2_s and preferred_s must follow each other")
        if self.max_addresses < 0 or self.max_prefixes < 0 or self.offer_s < 0:
            raise ValueError("max_addresses, max_prefixes and offer_s must not be negative")

    @property
    def t1(self) -> int:
        """T1 (RFC 8415 §14.2, §21.4)."""
        return self._part(self.t1_s, 0.5)

    @property
    def t2(self) -> int:
        """T2."""
        return self._part(self.t2_s, 0.8)

    @property
    def limits(self) -> dict[IaType, int]:
        """How many leases of each kind a session may have."""
        return {IaType.NA: self.max_addresses, IaType.PD: self.max_prefixes}

    def _part(self, configured: int | None, share: float) -> int:
        if configured is not None:
            return configured
        return INFINITY if self.preferred_s == INFINITY else int(self.preferred_s * share)
