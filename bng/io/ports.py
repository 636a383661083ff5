"""Ports as the configuration has them and as the running dataplane has them, to be compared."""

from dataclasses import dataclass

from bng.config import AccessPort, RoutedPort, RoutedVlan
from dataplane.binding import Dataplane, ffi

ROLES = {1: "access", 2: "routed", 3: "tap"}
"""``enum port_role`` of dataplane.h, in the words of bng.toml."""
NO_PORT = 0xFFFF


@dataclass(frozen=True, slots=True)
class Line:
    """Which frames of *parent* are a port's own: behind one tag or two, or untagged."""

    parent: str
    tpid: int
    outer: int
    inner: int

    @property
    def vlan(self) -> str:
        """The VLAN as people write it: ``100``, ``100.7``, or ``untagged``."""
        return ".".join(str(vid) for vid in (self.outer, self.inner) if vid) or "untagged"


@dataclass(frozen=True, slots=True)
class PortKind:
    """What a port cannot change while the dataplane runs."""

    role: str | None
    mtu: int
    line: Line | None

    def __str__(self) -> str:
        line = self.line
        where = f" in VLAN {line.vlan} of {line.parent} (0x{line.tpid:04x})" if line else ""
        return f"{self.role} with mtu {self.mtu}{where}"


def wanted_port(port: AccessPort | RoutedPort | RoutedVlan) -> PortKind:
    """Return what *port* is in the configuration."""
    line = None
    if isinstance(port, RoutedVlan):
        line = Line(port.parent, int(port.tpid, 16) if port.outer else 0, port.outer, port.inner)
    return PortKind(port.role, port.mtu, line)


def running_port(dataplane: Dataplane, index: int) -> PortKind:
    """Return what port *index* is in the dataplane."""
    port = dataplane.ports[index]
    return PortKind(ROLES.get(int(port.role)), int(port.mtu), line_of(dataplane, index))


def line_of(dataplane: Dataplane, index: int) -> Line | None:
    """Return the VLAN of port *index* of the dataplane; None: it has a device of its own."""
    port = dataplane.ports[index]
    if port.parent == NO_PORT:
        return None
    parent = ffi.string(dataplane.ports[port.parent].name).decode()
    return Line(parent, int(port.outer_tpid), int(port.outer_vid), int(port.inner_vid))
