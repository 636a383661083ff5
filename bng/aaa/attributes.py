"""What RADIUS attributes of an Access-Accept or a CoA-Request mean: one row each in `ROWS`.

A reader takes the value and fills a `Reading`; it raises `Refusal` where the RFCs want a service
that cannot be given to be a reject (RFC 2865 §1.1), `Unserved` where a logged warning is enough.
Attributes without a row are ignored (RFC 2865 §5). Values come typed by the dictionary.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network

from bng.aaa import rates
from bng.aaa.attributes6 import ROWS6
from bng.aaa.model import NO_NAT, FramedRoute, SubscriberProfile, parse_forward
from bng.aaa.reading import Offered, Reader, Reading, Refusal, Row, T, Unserved, Value, as_
from bng.ppp.credentials import decode_name

FRAMED_USER, PPP = 2, 1
FROM_POOL = IPv4Address("255.255.255.254")
NEGOTIATED = IPv4Address("255.255.255.255")
MIN_MTU, MAX_MTU = 576, 1_912
MAX_ROUTES = 16
MAX_FORWARDS = 32
MAX_CLASSES = 8
LEAST_INTERIM_S = 60
"""RFC 2869 §5.16: not smaller than that."""


def row_of(offered: Offered, name: str) -> Row | None:
    """Return what the attribute *name* means, None: nothing."""
    return BY_NAME.get(name) or offered.extra.get(name)


def read(attributes: Iterable[tuple[str, Value]], offered: Offered) -> Reading:
    """Read *attributes*, (name, value) in order. The first refusal ends it."""
    reading = Reading(offered)
    for name, value in attributes:
        row = row_of(offered, name)
        if row is None:
            reading.ignored.append(name)
            continue
        reading.attribute = name
        try:
            row.read(reading, value)
        except Unserved as why:
            reading.warnings.append(f"{name}: {why}")
        except (Refusal, ValueError) as why:
            reading.refusal = f"{name}: {why}"
            return reading
    return reading


def profile(reading: Reading, user_name: str) -> SubscriberProfile:
    """Return the profile that was read, of *user_name* unless the server gave another name."""
    fields = {"user_name": user_name, **reading.fields}
    if reading.messages:
        fields["reply_message"] = "\n".join(reading.messages)
    return SubscriberProfile(**fields)  # type: ignore[arg-type]


# ---- readers ----


def text_of(value: Value) -> str:
    """Return a text for people, whatever octets the server sent."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _field(name: str, kind: type[T], low: int | None = None, high: int | None = None) -> Reader:
    """Return a reader that puts the value, in a range, into a field."""

    def reader(reading: Reading, value: Value) -> None:
        found = as_(kind, value)
        if isinstance(found, int) and not (low or 0) <= found <= (high or 0xFFFF_FFFF):
            raise Unserved(f"{found} is not {low or 0} to {high or 0xFFFF_FFFF}")
        reading.put(name, found)

    return reader


def _class(reading: Reading, value: Value) -> None:
    if len(reading.classes) >= MAX_CLASSES:
        raise Unserved(f"more than {MAX_CLASSES}")
    reading.classes.append(as_(bytes, value))
    reading.came("classes")


def _only(wanted: int, meaning: str) -> Reader:
    """Return a reader that refuses every service but one (RFC 2865 §1.1)."""

    def reader(reading: Reading, value: Value) -> None:
        if value != wanted:
            raise Refusal(f"{value!r} is not served, only {meaning}")

    return reader


def _refused(what: str) -> Reader:
    def reader(reading: Reading, value: Value) -> None:
        raise Refusal(f"{what} is not served")

    return reader


def _without_effect(what: str, harmless: Collection[Value] = ()) -> Reader:
    def reader(reading: Reading, value: Value) -> None:
        if value not in harmless:
            raise Unserved(f"{what} is not served")

    return reader


def _user_name(reading: Reading, value: Value) -> None:
    """RFC 2865 §5.1: accounting uses the name that the server gives."""
    name = decode_name(value) if isinstance(value, bytes) else as_(str, value)
    if not name:
        raise Unserved("empty")
    reading.put("user_name", name)


def _framed_ip_address(reading: Reading, value: Value) -> None:
    """RFC 2865 §5.8; an address that the client may choose itself comes from the pool."""
    address = as_(IPv4Address, value)
    if address in {FROM_POOL, NEGOTIATED}:
        return
    if address.is_multicast or address.is_loopback or address.is_unspecified:
        raise Refusal(f"{address} is no address for a subscriber")
    if address in reading.offered.own_addresses:
        raise Refusal(f"{address} is an address of this box")
    reading.put("ipv4_address", address)


def _framed_pool(reading: Reading, value: Value) -> None:
    name = as_(str, value)
    if name not in reading.offered.pools:
        raise Refusal(f"there is no pool {name}")
    reading.put("ipv4_pool", name)


def framed_route(text: str) -> FramedRoute:
    """Read ``PREFIX [GATEWAY [METRIC...]]`` (RFC 2865 §5.22). Raises: ValueError."""
    words = text.split()
    if not words:
        raise ValueError("empty")
    prefix = IPv4Network(words[0] if "/" in words[0] else _classful(words[0]))
    gateway = IPv4Address(words[1]) if len(words) > 1 else IPv4Address(0)
    metric = int(words[2]) if len(words) > 2 else 1
    if not 0 <= metric <= 0xFFFF_FFFF:
        raise ValueError(f"metric {metric}")
    return FramedRoute(prefix=prefix, gateway=gateway if int(gateway) else None, metric=metric)


def _classful(text: str) -> str:
    """RFC 2865 §5.22: without a length, that of its class: 8, 16 or 24 bits."""
    first = IPv4Address(text).packed[0]
    return f"{text}/{8 if first < 128 else 16 if first < 192 else 24}"


def _route(reading: Reading, value: Value) -> None:
    before = reading.fields.get("routes", ())
    if isinstance(before, tuple) and len(before) >= MAX_ROUTES:
        raise Refusal(f"more than {MAX_ROUTES} routes")
    reading.append("routes", framed_route(as_(str, value)))


def _filter_id(reading: Reading, value: Value) -> None:
    """RFC 2865 §5.11: an ACL, ``NAME`` both ways, ``NAME.in``, ``NAME.out``; or ``DOWN/UP``."""
    text = as_(str, value)
    if found := rates.filter_id(text):
        _put_rates(reading, found)
        return
    name, direction = text, ""
    if text not in reading.offered.acls:
        name, _, direction = text.rpartition(".")
    if name not in reading.offered.acls or direction not in {"", "in", "out"}:
        raise Refusal(f"there is no ACL {text}")  # never a session without its filter
    for side in ("in", "out"):
        if direction in {"", side}:
            reading.put(f"acl_{side}", name)


def _acl(name: str) -> Reader:
    def reader(reading: Reading, value: Value) -> None:
        acl = as_(str, value)
        if acl not in reading.offered.acls:
            raise Refusal(f"there is no ACL {acl}")
        reading.put(name, acl)

    return reader


def _put_rates(reading: Reading, found: rates.Rates) -> None:
    if found.up is not None:
        reading.put("rate_up", found.up)
    if found.down is not None:
        reading.put("rate_down", found.down)


def _mikrotik(reading: Reading, value: Value) -> None:
    _put_rates(reading, rates.mikrotik(as_(str, value)))


def _own_rate(name: str) -> Reader:
    def reader(reading: Reading, value: Value) -> None:
        reading.put(name, rates.own(as_(str, value)))

    return reader


def _wispr(name: str) -> Reader:
    def reader(reading: Reading, value: Value) -> None:
        reading.put(name, rates.policy(as_(int, value)))

    return reader


def _cisco(reading: Reading, value: Value) -> None:
    """Rates, ``ip:addr-pool=``, ``ip:dns-servers=``, ``ip:route=``; a VRF cannot be given."""
    text = as_(str, value)
    if found := rates.cisco(text):
        _put_rates(reading, found)
        return
    name, _, rest = text.partition("=")
    match re.sub(r"#\d+$", "", name.strip()), rest.strip():
        case "ip:addr-pool", pool:
            _framed_pool(reading, pool)
        case "ip:dns-servers", servers:
            reading.put("ipv4_dns", tuple(IPv4Address(word) for word in servers.split()[:2]))
        case "ip:route", route:
            words = route.split()
            if len(words) > 1 and "/" not in words[0]:  # ADDRESS MASK [GATEWAY]
                words[0:2] = [f"{words[0]}/{IPv4Network(f'0.0.0.0/{words[1]}').prefixlen}"]
            _route(reading, " ".join(words))
        case (("ip:vrf-id" | "lcp:interface-config" | "ip:ip-unnumbered"), _) if "vrf" in text:
            raise Refusal("a VRF is not served")
        case _:
            raise Unserved(f"{text!r} is not served")


def _mtu(reading: Reading, value: Value) -> None:
    """RFC 2865 §5.12."""
    mtu = as_(int, value)
    if not MIN_MTU <= mtu <= MAX_MTU:
        raise Unserved(f"{mtu} is not {MIN_MTU} to {MAX_MTU}")
    reading.put("mtu", mtu)


def _interface_id(reading: Reading, value: Value) -> None:
    """RFC 3162 §2.2; RFC 5072 §4.1 has no use for zero."""
    data = as_(bytes, value)
    if len(data) != 8 or not any(data):
        raise Refusal(f"0x{data.hex()} is no interface identifier")
    reading.put("ipv6_interface_id", int.from_bytes(data, "big"))


def _interim(reading: Reading, value: Value) -> None:
    """RFC 2869 §5.16."""
    seconds = as_(int, value)
    reading.sources["interim_interval_s"] = reading.attribute
    if seconds < LEAST_INTERIM_S:
        reading.interim_interval_s = LEAST_INTERIM_S
        raise Unserved(f"{seconds} s: raised to {LEAST_INTERIM_S}")
    reading.interim_interval_s = seconds


def _message(reading: Reading, value: Value) -> None:
    reading.messages.append(text_of(value))
    reading.came("reply_message")


def _nat_profile(reading: Reading, value: Value) -> None:
    name = as_(str, value)
    if name != NO_NAT and name not in reading.offered.nat_profiles:
        raise Refusal(f"there is no NAT profile {name}")
    reading.put("nat_profile", name)


def _port_forward(reading: Reading, value: Value) -> None:
    text = as_(str, value)
    before = reading.fields.get("port_forwards", ())
    if isinstance(before, tuple) and len(before) >= MAX_FORWARDS:
        raise Unserved(f"more than {MAX_FORWARDS} port forwards")
    try:
        reading.append("port_forwards", parse_forward(text))
    except ValueError:
        raise Unserved(f'{text!r} is not as "tcp 8080 80"') from None


def _flag(name: str) -> Reader:
    def reader(reading: Reading, value: Value) -> None:
        reading.put(name, bool(as_(int, value)))

    return reader


def _dns(position: int, name: str) -> Reader:
    """MS-Primary- and MS-Secondary-*-Server (RFC 2548 §2.7)."""

    def reader(reading: Reading, value: Value) -> None:
        reading.append(name, as_(IPv4Address, value), first=not position)

    return reader


def _nothing(reading: Reading, value: Value) -> None:
    """Known, and of no consequence here."""


IPV4_NETMASKS = (IPv4Address("255.255.255.255"), IPv4Address("255.255.255.254"))

ROWS = (
    Row("User-Name", "RFC 2865 §5.1", _user_name),
    Row("Service-Type", "RFC 2865 §5.6", _only(FRAMED_USER, "Framed")),
    Row("Framed-Protocol", "RFC 2865 §5.7", _only(PPP, "PPP")),
    Row("Framed-IP-Address", "RFC 2865 §5.8", _framed_ip_address),
    Row(
        "Framed-IP-Netmask",
        "RFC 2865 §5.9",
        _without_effect("a netmask, use Framed-Route for networks", IPV4_NETMASKS),
    ),
    Row("Framed-Routing", "RFC 2865 §5.10", _without_effect("routing with the client", (0,))),
    Row("Filter-Id", "RFC 2865 §5.11", _filter_id, live=True),
    Row("Framed-MTU", "RFC 2865 §5.12", _mtu),
    Row("Framed-Compression", "RFC 2865 §5.13", _without_effect("header compression", (0,))),
    Row("Reply-Message", "RFC 2865 §5.18", _message),
    Row("Callback-Number", "RFC 2865 §5.19", _refused("callback")),
    Row("Callback-Id", "RFC 2865 §5.20", _refused("callback")),
    Row("Framed-Route", "RFC 2865 §5.22", _route, live=True),
    Row("State", "RFC 2865 §5.24", _nothing),
    Row("Class", "RFC 2865 §5.25", _class, live=True),
    Row("Session-Timeout", "RFC 2865 §5.27", _field("session_timeout_s", int, 1), live=True),
    Row("Idle-Timeout", "RFC 2865 §5.28", _field("idle_timeout_s", int, 1, 4_000_000), live=True),
    Row("Termination-Action", "RFC 2865 §5.29", _without_effect("asking again", (0,))),
    Row("Port-Limit", "RFC 2865 §5.42", _field("simultaneous_use", int, 1, 1_000)),
    Row("Tunnel-Type", "RFC 2868 §3.1", _refused("a tunnel")),
    Row("EAP-Message", "RFC 3579 §3.1", _refused("EAP")),
    Row("Acct-Interim-Interval", "RFC 2869 §5.16", _interim, live=True),
    Row("Framed-Pool", "RFC 2869 §5.18", _framed_pool),
    Row("Framed-Interface-Id", "RFC 3162 §2.2", _interface_id),
    *ROWS6,
    Row("MS-Primary-DNS-Server", "RFC 2548 §2.7.1", _dns(0, "ipv4_dns")),
    Row("MS-Secondary-DNS-Server", "RFC 2548 §2.7.2", _dns(1, "ipv4_dns")),
    Row("MS-Primary-NBNS-Server", "RFC 2548 §2.7.3", _dns(0, "ipv4_nbns")),
    Row("MS-Secondary-NBNS-Server", "RFC 2548 §2.7.4", _dns(1, "ipv4_nbns")),
    Row("Cisco-AVPair", "Cisco", _cisco, live=True),
    Row("Mikrotik-Rate-Limit", "MikroTik", _mikrotik, live=True),
    Row("WISPr-Bandwidth-Max-Up", "WISPr", _wispr("rate_up"), live=True),
    Row("WISPr-Bandwidth-Max-Down", "WISPr", _wispr("rate_down"), live=True),
    Row("Bng-Rate-Up", "ours", _own_rate("rate_up"), live=True),
    Row("Bng-Rate-Down", "ours", _own_rate("rate_down"), live=True),
    Row("Bng-Acl-In", "ours", _acl("acl_in"), live=True),
    Row("Bng-Acl-Out", "ours", _acl("acl_out"), live=True),
    Row("Bng-Nat-Profile", "ours", _nat_profile, live=True),
    Row("Bng-Nat-Address", "ours", _field("nat_address", IPv4Address)),
    Row("Bng-Nat-Port-Forward", "ours", _port_forward, live=True),
    Row("Bng-Mss-Clamp", "ours", _flag("mss_clamp"), live=True),
    Row("Bng-Ipv4", "ours", _flag("ipv4")),
    Row("Bng-Ipv6", "ours", _flag("ipv6")),
)
"""Every attribute that is read, in the order of their definitions."""

BY_NAME: Mapping[str, Row] = {row.name: row for row in ROWS}
