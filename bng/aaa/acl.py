"""Rules of ACLs as people write them.

``ACTION PROTOCOL SOURCE [port PORTS] DESTINATION [port PORTS]``, where the action is ``permit``,
``deny`` or ``reject``; the protocol ``ip``, a name or a number; source and destination ``any``, an
address, a prefix or FIRST-LAST; ports a number or FIRST-LAST, with ``tcp`` and ``udp`` only.

A rule that says an address is for packets of that family, IPv4 or IPv6; one that says none is for
both. The protocol of an IPv6 packet is its first next header that is no extension header.
"""

from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv6Address,
    ip_address,
    ip_network,
    summarize_address_range,
)
from typing import Literal, get_args

Action = Literal["permit", "deny", "reject"]
Ends = tuple[IPv4Address, IPv4Address] | tuple[IPv6Address, IPv6Address]
"""First and last address."""
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "icmpv6": 58}
OF_ONE_VERSION = {PROTOCOLS["icmp"]: 4, PROTOCOLS["icmpv6"]: 6}
"""The IP version of protocols that the other one has not."""
NAMES: dict[int | None, str] = {None: "ip", **{number: name for name, number in PROTOCOLS.items()}}
WITH_PORTS = (PROTOCOLS["tcp"], PROTOCOLS["udp"])
MAX_PORT = 0xFFFF
IP4 = 4
FORM = "ACTION PROTOCOL SOURCE [port PORTS] DESTINATION [port PORTS]"


@dataclass(frozen=True, slots=True, kw_only=True)
class AclRule:
    """One rule; what is None fits any. Ranges are (first, last)."""

    action: Action
    protocol: int | None = None
    source: Ends | None = None
    source_port: tuple[int, int] | None = None
    destination: Ends | None = None
    destination_port: tuple[int, int] | None = None

    @property
    def ends(self) -> tuple[Ends | None, Ends | None]:
        """Source and destination."""
        return self.source, self.destination

    @property
    def versions(self) -> set[int]:
        """The IP versions that it speaks of; it fits packets of one, without any of both."""
        found: set[int] = {ends[0].version for ends in self.ends if ends is not None}
        if self.protocol in OF_ONE_VERSION:
            found.add(OF_ONE_VERSION[self.protocol])
        return found

    def __str__(self) -> str:
        """Return the rule as `parse_rule` takes it."""
        protocol = NAMES.get(self.protocol, str(self.protocol))
        source = _written(self.source, self.source_port)
        return (
            f"{self.action} {protocol} {source} {_written(self.destination, self.destination_port)}"
        )


def _written(addresses: Ends | None, ports: tuple[int, int] | None) -> str:
    """Return one end of a rule; a range of addresses that is a prefix as one."""
    text = "any" if addresses is None else _range_or_prefix(addresses)
    if ports is None:
        return text
    return f"{text} port {ports[0]}" + (f"-{ports[1]}" if ports[0] != ports[1] else "")


def _range_or_prefix(addresses: Ends) -> str:
    first, last = addresses
    if first == last:
        return str(first)
    networks = list(summarize_address_range(first, last))
    return str(networks[0]) if len(networks) == 1 else f"{first}-{last}"


def parse_rule(text: str) -> AclRule:
    """Return the rule *text*. Raises: ValueError that says what is wrong."""
    words = text.split()
    if len(words) < 4:
        raise ValueError(f"a rule is: {FORM}")
    action, protocol = _action(words[0]), _protocol(words[1])
    source, source_port, rest = _end(words[2:])
    if not rest:
        raise ValueError("there is no destination")
    destination, destination_port, rest = _end(rest)
    if rest:
        raise ValueError(f"{' '.join(rest)!r} is too much: a rule is: {FORM}")
    if (source_port or destination_port) and protocol not in WITH_PORTS:
        raise ValueError("ports are those of tcp and udp")
    rule = AclRule(
        action=action,
        protocol=protocol,
        source=source,
        source_port=source_port,
        destination=destination,
        destination_port=destination_port,
    )
    if len(rule.versions) > 1:
        raise ValueError("IPv4 and IPv6 in one rule: it would fit nothing")
    return rule


@dataclass(frozen=True, slots=True)
class BypassRule:
    """What NAT leaves as it is: *destination* None is any; a protocol and ports may narrow it."""

    text: str
    destination: Ends | None
    protocol: int | None = None
    ports: tuple[int, int] | None = None

    def __str__(self) -> str:
        return self.text


def parse_bypass(text: str) -> BypassRule:
    """Return the rule ``DESTINATION [PROTOCOL [PORTS]]``. Raises: ValueError, what is wrong."""
    words = text.split()
    if not 1 <= len(words) <= 3:
        raise ValueError("a rule is: DESTINATION [PROTOCOL [PORTS]]")
    destination = _addresses(words[0])
    if destination is not None and destination[0].version != IP4:
        raise ValueError(f"{words[0]!r} is IPv6, which is never translated")
    protocol = _protocol(words[1]) if len(words) > 1 else None
    ports = _ports(words[2]) if len(words) > 2 else None
    if ports and protocol not in WITH_PORTS:
        raise ValueError("ports are those of tcp and udp")
    return BypassRule(" ".join(words), destination, protocol, ports)


def _action(word: str) -> Action:
    for action in get_args(Action):
        if word == action:
            return action  # type: ignore[no-any-return]
    raise ValueError(f"{word!r} is not permit, deny or reject")


def _protocol(word: str) -> int | None:
    if word == "ip":
        return None
    number = PROTOCOLS.get(word, int(word) if word.isdecimal() else -1)
    if not 0 <= number <= 0xFF:
        raise ValueError(f"{word!r} is not ip, {', '.join(PROTOCOLS)} or a number up to 255")
    return number


def _end(words: list[str]) -> tuple[Ends | None, tuple[int, int] | None, list[str]]:
    """Return addresses, ports and the words behind them."""
    addresses = _addresses(words[0])
    if words[1:2] != ["port"]:
        return addresses, None, words[1:]
    if len(words) == 2:
        raise ValueError("there is no number behind port")
    return addresses, _ports(words[2]), words[3:]


def _addresses(word: str) -> Ends | None:
    if word == "any":
        return None
    first, dash, last = word.partition("-")
    try:
        if dash:
            ends = ip_address(first), ip_address(last)
        else:
            network = ip_network(word)
            ends = network.network_address, network.broadcast_address
    except ValueError:
        ends = None
    match ends:
        case (IPv4Address(), IPv4Address()) | (IPv6Address(), IPv6Address()) if "%" not in word:
            if int(ends[0]) > int(ends[1]):
                raise ValueError(f"{word!r} ends before it begins")
            return ends
    raise ValueError(f"{word!r} is not any, an address, a prefix or FIRST-LAST")


def _ports(word: str) -> tuple[int, int]:
    first, dash, last = word.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(f"{word!r} is not a port or FIRST-LAST")
    ends = int(first), int(last if dash else first)
    if not ends[0] <= ends[1] <= MAX_PORT:
        raise ValueError(f"{word!r} is not a port up to {MAX_PORT}, or a range of them")
    return ends
