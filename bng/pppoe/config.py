"""Settings of discovery on one access port."""

from dataclasses import dataclass

from bng.pppoe.packet import DEFAULT_MRU


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryConfig:
    """How one access port answers PADI and PADR.

    A limit that is reached is silent: an error tag makes some clients stop for ever. The limits
    per VLAN and port count sessions there, `max_sessions` those of the whole box;
    `max_half_open` counts the port's sessions between PADR and LCP Opened, so that admission
    follows what can be served. A client at `max_sessions_per_mac` replaces its oldest session.

    Raises: ValueError when a value makes no sense.
    """

    ac_name: bytes
    service_names: tuple[bytes, ...] = ()  # offered by name
    accept_any_service: bool = False  # RFC 2516 §9: never refuse, return the name that was sent
    accept_empty_service: bool = True  # zero TAG_LENGTH: any service will do
    max_payload: int = DEFAULT_MRU  # RFC 4638: what the port's MTU leaves for PPP; also less
    pado_delay_s: float = 0.0
    cookie_lifetime_s: float = 30.0
    max_sessions_per_mac: int = 1
    max_sessions_per_vlan: int = 65_534
    max_sessions_per_port: int = 65_536
    max_sessions: int = 65_536
    max_half_open: int = 1_000
    holdoff_initial_s: float = 2.0  # 0: no hold-off
    holdoff_max_s: float = 300.0
    id_rest_s: float = 60.0

    def __post_init__(self) -> None:
        if not 1 <= len(self.ac_name) <= 255:
            raise ValueError("ac_name must have 1 to 255 bytes")
        if b"" in self.service_names:
            raise ValueError("the empty service is accept_empty_service's business")
        if sum(4 + len(name) for name in self.service_names) > 512:
            raise ValueError("service_names do not fit into a PADO")
        if self.cookie_lifetime_s <= 0:
            raise ValueError("cookie_lifetime_s must be more than 0")
        if self.max_sessions_per_mac < 1:
            raise ValueError("max_sessions_per_mac must be at least 1")
        if not 1 <= self.max_payload <= 65_535:
            raise ValueError("max_payload must be 1 to 65535")
        if self.pado_delay_s < 0 or self.holdoff_max_s < 0 or self.id_rest_s < 0:
            raise ValueError("a time must not be negative")

    def offers(self, service_name: bytes) -> bool:
        """Say whether a client may have *service_name*."""
        if not service_name:
            return self.accept_empty_service
        return self.accept_any_service or service_name in self.service_names

    def agreed_payload(self, sent: int | None) -> int | None:
        """Return the PPP-Max-Payload to answer to *sent*, None for no tag (RFC 4638)."""
        if sent is None:
            return None
        agreed = min(sent, self.max_payload)
        return agreed if agreed > DEFAULT_MRU else None
