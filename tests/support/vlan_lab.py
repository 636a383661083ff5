"""Labs whose hosts stand behind VLAN tags (`tests.support.vlan_host`)."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.lab import NAT_POOL, SERVER, Lab, default_config, merged
from tests.support.lab6 import BOX6, DELEGATED, IPV6, LINKS, SERVER6
from tests.support.netns import offloads_off, run

XDP = {"driver": "af_xdp", "options": {"peer-offloads": "off"}}


class VlanLab(Lab):
    """A lab whose ``wan0`` is a trunk: untagged, VLANs 300 and 500.9, 400.7 with an MTU of 1400.

    PREFIX-bng                                              PREFIX-inet
    +----------------------------------+                 +------------------------------------+
    | TAP bng-wan0     192.0.2.1/24    |                 | inet0 192.0.2.2, untagged          |
    | TAP bng-tag300   198.18.0.1/24 wan0 ------------ inet0 - v300 198.18.0.2, 198.18.30.1    |
    | TAP bng-qinq     198.18.1.1/24   |                 |       v400 198.18.1.2, 198.18.40.1 |
    | TAP bng-deep     198.18.3.1/24   |                 |       v500 198.18.3.2              |
    +----------------------------------+                 +------------------------------------+
    """

    hosts: tuple[tuple[str, ...], ...] = (
        ("v300", "300", "0x8100", "2001:db8:300::2/64", "198.18.0.2/24", "198.18.30.1/32"),
        ("v400", "400.7", "0x88a8", "198.18.1.2/24", "198.18.40.1/32"),
        ("v500", "500.9", "0x9100", "198.18.3.2/24"),
    )
    ports: tuple[dict[str, Any], ...] = (
        {"name": "tag300", "outer": "300", "addresses": ["198.18.0.1/24", "2001:db8:300::1/64"]},
        {
            "name": "qinq",
            "outer": "400",
            "inner": "7",
            "tpid": "0x88a8",
            "mtu": 1400,
            "addresses": ["198.18.1.1/24"],
        },
        {
            "name": "deep",
            "outer": "500",
            "inner": "9",
            "tpid": "0x9100",
            "addresses": ["198.18.3.1/24"],
        },
    )
    parent = "wan0"
    driver: Mapping[str, Any] = {}
    """Keys of all ports with a device."""

    def __init__(
        self,
        prefix: str,
        directory: Path,
        *,
        config: Mapping[str, Any] | None = None,
        users: Mapping[str, Any] | None = None,
        driver: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(prefix, directory, users=users)
        self.driver = driver or {}
        devices = [{**port, **self.driver} for port in self._devices(directory)]
        vlans = [{"role": "routed", "parent": self.parent, **port} for port in self.ports]
        self.config = merged({**self.config, "port": devices + vlans}, config or {})
        self.config["route"] = [
            {"prefix": "198.18.30.0/24", "via": "198.18.0.2"},
            {"prefix": "198.18.40.0/24", "via": "198.18.1.2"},
        ]

    def _devices(self, directory: Path) -> list[dict[str, Any]]:
        devices: list[dict[str, Any]] = default_config(directory)["port"]
        return devices

    @property
    def outside(self) -> tuple[str, str]:
        """Namespace and device on which the tagged hosts are."""
        return self.inet, "inet0"

    def build(self) -> None:
        """Make the hosts too; they know the way to subscribers."""
        super().build()
        if self.driver:
            offloads_off(self.sub, "sub0")
            offloads_off(self.inet, "inet0")
        run(self.inet, "ip", "link", "set", "inet0", "mtu", "1508")  # room for two tags
        for tap, vlan, tpid, *addresses in self.hosts:
            self.start_host(tap, vlan, tpid, *addresses)

    def start_host(self, tap: str, vlan: str, tpid: str, *addresses: str) -> None:
        """Start a host *tap* behind *vlan*."""
        netns, device = self.outside
        words = ["--netns", netns, "--device", device, "--vlan", vlan, "--tpid", tpid]
        words += ["--tap", tap, *(word for a in addresses for word in ("--address", a))]
        self.spawn("inet", tap, sys.executable, "-m", "tests.support.vlan_host", *words)
        shown = ("ip", "addr", "show", "dev", tap)
        last = addresses[-1].split("/")[0]
        self.wait(tap, lambda: last in run(self.inet, *shown, check=False).stdout)


class OneArmedLab(VlanLab):
    """One device for both ways: subscribers in VLANs 1 to 99 of it, the server in VLAN 200.

    PREFIX-sub                      PREFIX-bng
    +-----------------------+      +--------------------------------+
    | client, VLAN 10 - sub0 ------ acc0   access, VLANs 1 to 99    |
    |                    |  |      |        TAP bng-arm 192.0.2.1   |
    +--------------------|--+      +--------------------------------+
              PREFIX-inet: v200, VLAN 200, 192.0.2.2

    Both families, as in `tests.support.lab6`.
    """

    hosts = (("v200", "200", "0x8100", f"{SERVER6}/64", f"{SERVER}/24"),)
    ports = ({"name": "arm", "outer": "200", "addresses": ["192.0.2.1/24", f"{BOX6}/64"]},)
    parent = "acc0"

    def __init__(self, prefix: str, directory: Path, **options: Any) -> None:
        super().__init__(prefix, directory, **options)
        self.config.update(route=[], ipv6=IPV6)

    def _devices(self, directory: Path) -> list[dict[str, Any]]:
        access = default_config(directory)["port"][0]
        rules = [{"outer": "1-99", "inner": "none"}, {"outer": "1-99", "inner": "any"}]
        return [{**access, "access": rules}]

    @property
    def outside(self) -> tuple[str, str]:
        """Namespace and device on which the tagged hosts are."""
        return self.sub, "sub0"

    def build(self) -> None:
        """Nothing is behind wan0; all is behind VLAN 200 of acc0."""
        super().build()
        run(self.inet, "ip", "link", "set", "inet0", "down")
        for prefix in (NAT_POOL, "203.0.113.0/24"):
            self.route_back(prefix)
        for pool in (LINKS, DELEGATED):
            run(self.inet, "ip", "-6", "route", "replace", str(pool), "via", BOX6)


class TwoByTwoLab(Lab):
    """Two access ports and two routed ones, each a device.

    PREFIX-sub: sub0 - acc0, sub1 - acc1        PREFIX-inet: inet0 - wan0, inet1 - wan1
    """

    def __init__(self, prefix: str, directory: Path, **options: Any) -> None:
        super().__init__(prefix, directory, **options)
        access, routed = self.config["port"]
        self.config["port"] = [
            access,
            routed,
            {**access, "name": "acc1", "interface": "acc1"},
            {
                **routed,
                "name": "wan1",
                "interface": "wan1",
                "addresses": ["198.18.0.1/24"],
            },
        ]
        self.config["route"] = [{"prefix": "198.18.30.0/24", "via": "198.18.0.2"}]

    def build(self) -> None:
        """Make the second pair on each side."""
        super().build()
        for left, netns, right, peer in (
            ("sub1", self.sub, "acc1", self.bng),
            ("wan1", self.bng, "inet1", self.inet),
        ):
            pair = ("link", "add", left, "netns", netns, "type", "veth")
            run(None, "ip", *pair, "peer", "name", right, "netns", peer)
            run(netns, "ip", "link", "set", left, "up")
            run(peer, "ip", "link", "set", right, "up")
        for address in ("198.18.0.2/24", "198.18.30.1/32"):
            run(self.inet, "ip", "addr", "add", address, "dev", "inet1")
