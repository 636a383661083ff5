"""Checks of routed ports in VLANs of another port: what else may be in the same VLAN."""

from collections.abc import Iterator

from bng.config.model import AccessPort, AccessRule, Config, Port, RoutedPort, RoutedVlan
from bng.tomlfile import Key, Problem


def vlans(config: Config) -> Iterator[Problem]:
    """Find VLANs that cannot be, and those that somebody else has."""
    devices = {
        port.name: (index, port)
        for index, port in enumerate(config.port)
        if not isinstance(port, RoutedVlan)
    }
    seen: dict[tuple[str, int, int], int] = {}
    for index, port in enumerate(config.port):
        if isinstance(port, RoutedPort):
            yield from _without_address(config, index, port)
        if not isinstance(port, RoutedVlan):
            continue
        at: Key = ("port", index)
        if not port.addresses:
            yield (*at, "addresses"), "must have at least 1 entries"
        if port.inner and not port.outer:
            yield (*at, "inner"), "there is no inner tag without an outer one"
        if port.parent not in devices:
            yield (*at, "parent"), f"there is no port {port.parent} with an interface"
            continue
        parent, device = devices[port.parent]
        if port.mtu > device.mtu:
            yield (*at, "mtu"), f"{port.mtu}, and port[{parent}].mtu is {device.mtu}"
        other = seen.setdefault((port.parent, port.outer, port.inner), index)
        if other != index:
            yield (
                (*at, "outer"),
                f"{_named(port)} of {port.parent} is in use by port[{other}].outer",
            )
        for owner in _owners(device, port):
            yield (*at, "outer"), f"{_named(port)} is in use by port[{parent}]{owner}"


def _without_address(config: Config, index: int, port: RoutedPort) -> Iterator[Problem]:
    """Find a routed port that nobody could reach."""
    if not port.addresses and port.name not in {
        other.parent for other in config.port if isinstance(other, RoutedVlan)
    }:
        yield ("port", index, "addresses"), "none, and no port has this one as its parent"


def _owners(device: Port, port: RoutedVlan) -> Iterator[str]:
    """Yield what of *device* has the VLAN of *port*."""
    if isinstance(device, AccessPort):
        for number, rule in enumerate(device.access):
            if _holds(rule, port):
                yield f".access[{number}]"
    elif not port.outer:
        yield ", itself untagged"


def _holds(rule: AccessRule, port: RoutedVlan) -> bool:
    outer, inner = rule.outer, rule.inner
    return outer.low <= port.outer <= outer.high and inner.low <= port.inner <= inner.high


def _named(port: RoutedVlan) -> str:
    return (
        f"VLAN {port.outer}" + (f".{port.inner}" if port.inner else "")
        if port.outer
        else "untagged"
    )
