"""IPv6CP: RFC 5072. Both ends get a unique, non-zero Interface-Identifier; nothing else."""

from collections.abc import Callable
from typing import ClassVar

from bng.ppp.config import Ipv6Params, LinkConfig
from bng.ppp.ncp import Ncp
from bng.ppp.packet import Option, Protocol, build_option
from bng.ppp.table import Event

INTERFACE_IDENTIFIER = 1
_BYTES = 8
_UNIVERSAL = 0x0200_0000_0000_0000  # the "u" bit: an identifier of ours has local scope


class Ipv6cp(Ncp):
    """IPv6CP of one link.

    An identifier assigned in *params* is insisted on up to Max-Failure; then the peer's own is
    good enough, as long as it is unique on the link and not zero.
    """

    __slots__ = ("_assigned", "_entropy", "_local", "_naks", "_suggestion")

    protocol: ClassVar[int] = int(Protocol.IPV6CP)
    family: ClassVar[int] = 6

    def __init__(
        self, config: LinkConfig, params: Ipv6Params, entropy: Callable[[int], bytes]
    ) -> None:
        super().__init__(config)
        self._entropy = entropy
        self._naks = 0
        self._local = params.local_interface_id.to_bytes(_BYTES)
        self._assigned = params.peer_interface_id is not None
        self._suggestion = (params.peer_interface_id or 0).to_bytes(_BYTES)

    @property
    def local_interface_id(self) -> int:
        """Our own identifier."""
        return int.from_bytes(self._local)

    def request_options(self) -> bytes:
        """Return our Interface-Identifier, unless the peer will not have it."""
        if self.without >> INTERFACE_IDENTIFIER & 1:
            return b""
        return build_option(INTERFACE_IDENTIFIER, self._local)

    def acceptable(self, option_type: int, value: bytes) -> bytes | None:
        """Judge an option of the peer; see `Automaton.acceptable` and RFC 5072 §4.1."""
        if option_type != INTERFACE_IDENTIFIER:
            return None
        if len(value) == _BYTES and any(value) and value != self._local:
            insist = self._assigned and self._failures < self.config.max_failure
            return self._suggest() if insist else value
        return self._suggest()

    def missing(self, options: list[Option]) -> bytes:
        """Prompt for an Interface-Identifier when the peer does not list one."""
        if any(option_type == INTERFACE_IDENTIFIER for option_type, _ in options):
            return b""
        return build_option(INTERFACE_IDENTIFIER, self._suggest())

    def receive_nak(self, options: list[Option]) -> Event:
        """Keep our identifier: on a collision the peer takes our suggestion; drop it in the end."""
        self._naks += 1
        return super().receive_nak(options) if self._naks > self.config.max_failure else Event.RCN

    def _suggest(self) -> bytes:
        """Return the assigned identifier, or one chosen here and then kept."""
        if not any(self._suggestion) or self._suggestion == self._local:
            chosen = int.from_bytes(self._entropy(_BYTES)) & ~_UNIVERSAL or 1
            taken = chosen == int.from_bytes(self._local)
            self._suggestion = (chosen + taken).to_bytes(_BYTES)
        return self._suggestion

    def interface_id(self, options: list[Option]) -> int | None:
        """Return the identifier that the peer requests, None without one."""
        for option_type, value in options:
            if option_type == INTERFACE_IDENTIFIER:
                return int.from_bytes(value)
        return None
