"""Where a client is, as integers that are cheap to hash: the keys of all discovery tables.

TPIDs are no part of them: a client that changes its TPID is still the same client.
"""

from bng.ethernet import AccessLine, Mac


def domain_of(line: AccessLine) -> int:
    """Return the domain of session ids: (port, outer VID)."""
    return line.port << 12 | line.outer_vid


def vlan_of(line: AccessLine) -> int:
    """Return (port, outer VID, inner VID)."""
    return line.port << 24 | line.outer_vid << 12 | line.inner_vid


def client_of(line: AccessLine, mac: Mac) -> int:
    """Return (port, outer VID, inner VID, MAC)."""
    return vlan_of(line) << 48 | int.from_bytes(mac)
