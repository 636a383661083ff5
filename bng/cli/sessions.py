"""Sessions as bngctl shows them: which columns, in what order; the sections of a single one."""

from collections.abc import Mapping, Sequence
from typing import TextIO

from bng.cli import render
from bng.cli.values import order, printable, shown

KEYS = (
    "id",
    "user",
    "state",
    "address",
    "ipv6_prefix",
    "mac",
    "port",
    "vlan",
    "method",
    "session_id",
    "uptime_s",
    "in_packets",
    "in_bytes",
    "out_packets",
    "out_bytes",
)
"""All that a row of ``show sessions`` has."""
COLUMNS = (
    *("user", "state", "address", "mac", "port", "vlan", "session_id"),
    *("uptime_s", "in_bytes", "out_bytes"),
)
"""What is shown unless the operator says otherwise: see `columns_of`."""

SECTIONS = {
    "session": (
        *("id", "user", "state", "families", "method", "uptime_s", "adopted"),
        "session_timeout_in_s",
    ),
    "line": (
        "port",
        "vlan",
        "mac",
        "session_id",
        "service_name",
        "circuit_id",
        "remote_id",
        "line_attributes",
    ),
    "ipv4": (
        "address",
        "gateway",
        "routes",
        "nat",
        "nat_address",
        "nat_bypass",
        "port_forwards",
        "nat_mappings",
        "nat_refused",
    ),
    "ipv6": (
        *("ipv6_prefix", "delegated_prefixes", "ipv6_addresses", "ipv6_routes", "dhcpv6_leases"),
        *("deprecated_prefixes", "ipv6_gateway", "interface_id", "ipv6_forwarded"),
        *("advertised_s_ago", "advertised_in_s"),
        *("ipv6_in_packets", "ipv6_in_bytes", "ipv6_out_packets", "ipv6_out_bytes"),
    ),
    "link": ("peer_mru", "mtu_in", "mtu_out", "mss", "echo"),
    "features": ("acl_in", "acl_out", "policer_up", "policer_down"),
    "traffic": (
        "in_packets",
        "in_bytes",
        "in_drops",
        "in_drops_by_reason",
        "out_packets",
        "out_bytes",
        "out_drops",
        "out_drops_by_reason",
    ),
    "dataplane": ("worker", "index", "generation", "features_in", "features_out"),
}
"""Keys of ``show session`` by section; what is in none of them is shown under ``other``."""


VALUE_WIDTH = 40
"""Where what a value came from stands in a column: behind longer values it stands right of it."""


def columns_of(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return what is shown of *rows*: prefixes only where there is one."""
    columns = list(COLUMNS)
    if any(row.get("ipv6_prefix") for row in rows):
        columns.insert(columns.index("address") + 1, "ipv6_prefix")
    return columns


def split_keys(text: str) -> list[str]:
    """Return the keys of ``a,b,c``. Raises: ValueError for one that no session has."""
    keys = [key.strip() for key in text.split(",")]
    unknown = [key for key in keys if key.removeprefix("-") not in KEYS]
    if unknown:
        raise ValueError(f"no key {', '.join(map(repr, unknown))}: there are {', '.join(KEYS)}")
    return keys


def sort(rows: list[dict[str, object]], keys: Sequence[str]) -> None:
    """Sort by several keys, the first one first; ``-key`` from high to low, none always last."""
    for key in reversed(keys):
        _sort(rows, key.removeprefix("-"), falling=key.startswith("-"))


def _sort(rows: list[dict[str, object]], key: str, *, falling: bool) -> None:
    present = [row for row in rows if row.get(key) not in (None, "")]
    absent = [row for row in rows if row.get(key) in (None, "")]
    present.sort(key=lambda row: order(row[key]), reverse=falling)
    rows[:] = present + absent


def show_one(data: Mapping[str, object], out: TextIO) -> None:
    """Print everything about a session."""
    rest = dict(data)
    rest.pop("profile", None)  # `sources` has what of it holds
    sources = rest.pop("sources", None)
    for key in ("in_drops_by_reason", "out_drops_by_reason"):
        rest[key] = _not_zero(rest.get(key))
    for title, keys in SECTIONS.items():
        render.section(title, {key: rest.pop(key) for key in keys if key in rest}, out)
    render.section("other", rest, out)
    if isinstance(sources, list) and sources:
        _profile(sources, out)


def _profile(sources: list[dict[str, str]], out: TextIO) -> None:
    """Print what holds for the session, and where each value came from."""
    rows = [(row["name"], shown(row["name"], row["value"]), row["source"]) for row in sources]
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    out.write("profile\n")
    for name, value, source in rows:
        out.write(f"  {name:<{names}}  {value:<{min(values, VALUE_WIDTH)}}  {printable(source)}\n")


def _not_zero(counts: object) -> object:
    if not isinstance(counts, dict):
        return counts
    return {name: count for name, count in counts.items() if count}
