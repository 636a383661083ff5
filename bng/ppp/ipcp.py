"""IPCP: RFC 1332, with the name server addresses of RFC 1877.

We request our own IP-Address and assign the peer's. IP-Addresses (deprecated) and header
compression are Rejected; DNS and NBNS are Nak'd with ours, or Rejected when we have none.
"""

from ipaddress import IPv4Address
from typing import ClassVar

from bng.ppp.config import Ipv4Params, LinkConfig
from bng.ppp.ncp import Ncp
from bng.ppp.packet import Option, Protocol, build_option

IP_ADDRESS = 3
PRIMARY_DNS = 129
PRIMARY_NBNS = 130
SECONDARY_DNS = 131
SECONDARY_NBNS = 132


class Ipcp(Ncp):
    """IPCP of one link, for addresses that are settled before it starts."""

    __slots__ = ("_local", "_wanted")

    protocol: ClassVar[int] = int(Protocol.IPCP)
    family: ClassVar[int] = 4

    def __init__(self, config: LinkConfig, params: Ipv4Params) -> None:
        super().__init__(config)
        self._local = params.local.packed
        self._wanted = {IP_ADDRESS: params.peer.packed}
        self._offer((PRIMARY_DNS, SECONDARY_DNS), params.dns)
        self._offer((PRIMARY_NBNS, SECONDARY_NBNS), params.nbns)

    def _offer(self, types: tuple[int, int], servers: tuple[IPv4Address, ...]) -> None:
        for option_type, server in zip(types, servers, strict=False):
            self._wanted[option_type] = server.packed

    def request_options(self) -> bytes:
        """Return our IP-Address, unless the peer will not have it."""
        return b"" if self.without >> IP_ADDRESS & 1 else build_option(IP_ADDRESS, self._local)

    def acceptable(self, option_type: int, value: bytes) -> bytes | None:
        """Judge an option of the peer; see `Automaton.acceptable`."""
        return self._wanted.get(option_type)

    def missing(self, options: list[Option]) -> bytes:
        """Prompt for IP-Address when the peer does not list it (RFC 1332 §3.3)."""
        if any(option_type == IP_ADDRESS for option_type, _ in options):
            return b""
        return build_option(IP_ADDRESS, self._wanted[IP_ADDRESS])
