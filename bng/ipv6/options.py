"""Options that configure a client, as they are told to all alike: resolvers, times, AFTR.

RFC 3646 (DNS), RFC 4075 (SNTP), RFC 5908 (NTP), RFC 6334 (AFTR), RFC 8415 §21.23 to §21.25.
"""

from dataclasses import dataclass, field
from ipaddress import IPv6Address

from bng.ipv6.messages import OptionCode
from bng.ipv6.names import encode_name, encode_names

_NTP_ADDRESS, _NTP_NAME = 1, 3  # suboptions (RFC 5908 §4)
_RT_RANGE = range(60, 86_401)  # RFC 8415 §21.24, §21.25
_LEAST_REFRESH_S = 600  # RFC 8415 §7.6: IRT_MINIMUM
UNASKED = (OptionCode.DNS_SERVERS, OptionCode.DOMAIN_LIST)
"""What a client gets that sends no Option Request option at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """What clients are told when they ask; what is empty or None is not told.

    *ntp_names* are servers by name. Times are seconds. Raises: ValueError when a value cannot be.
    """

    dns: tuple[IPv6Address, ...] = ()
    domains: tuple[str, ...] = ()
    sntp: tuple[IPv6Address, ...] = ()
    ntp: tuple[IPv6Address, ...] = ()
    ntp_names: tuple[str, ...] = ()
    aftr_name: str | None = None
    sol_max_rt_s: int | None = None
    inf_max_rt_s: int | None = None
    information_refresh_s: int | None = None
    encoded: dict[int, bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for seconds in (self.sol_max_rt_s, self.inf_max_rt_s):
            if seconds is not None and seconds not in _RT_RANGE:
                raise ValueError("SOL_MAX_RT and INF_MAX_RT must be 60 to 86400 s")
        refresh = self.information_refresh_s
        if refresh is not None and refresh < _LEAST_REFRESH_S:
            raise ValueError(f"the refresh time must be {_LEAST_REFRESH_S} s or more")
        object.__setattr__(self, "encoded", self._encode())

    def answer(self, requested: tuple[int, ...] | None) -> tuple[tuple[int, bytes], ...]:
        """Return the options for a client that asks for *requested*, in our order."""
        wanted = UNASKED if requested is None else requested
        return tuple((code, value) for code, value in self.encoded.items() if code in wanted)

    def _encode(self) -> dict[int, bytes]:
        aftr = b"" if self.aftr_name is None else encode_name(self.aftr_name)
        found = {
            OptionCode.DNS_SERVERS: _addresses(self.dns),
            OptionCode.DOMAIN_LIST: encode_names(self.domains),
            OptionCode.SNTP_SERVERS: _addresses(self.sntp),
            OptionCode.NTP_SERVER: self._ntp(),
            OptionCode.AFTR_NAME: aftr,
            OptionCode.SOL_MAX_RT: _seconds(self.sol_max_rt_s),
            OptionCode.INF_MAX_RT: _seconds(self.inf_max_rt_s),
            OptionCode.INFORMATION_REFRESH_TIME: _seconds(self.information_refresh_s),
        }
        return {int(code): value for code, value in found.items() if value}

    def _ntp(self) -> bytes:
        servers = [(_NTP_ADDRESS, server.packed) for server in self.ntp]
        servers += [(_NTP_NAME, encode_name(name)) for name in self.ntp_names]
        return b"".join(
            [kind.to_bytes(2) + len(value).to_bytes(2) + value for kind, value in servers]
        )


def _addresses(addresses: tuple[IPv6Address, ...]) -> bytes:
    return b"".join([address.packed for address in addresses])


def _seconds(seconds: int | None) -> bytes:
    return b"" if seconds is None else seconds.to_bytes(4)
