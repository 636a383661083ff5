"""The lab with IPv6: /64s on the links, delegated /56s, and an internet side that speaks it.

    PREFIX-sub                       PREFIX-bng                     PREFIX-inet
    +------------------------+    +-----------------------+    +------------------------------+
    | link  2001:db8:a000::/36|---| acc0             wan0 |----| inet0 2001:db8:2::2/64       |
    | /56 of 2001:db8:d000::/36|  | 2001:db8:2::1/64      |    | HTTP :80; both pools via ::1 |
    +------------------------+    +-----------------------+    +------------------------------+

All of `tests.support.lab` is there as well.
"""

import sys
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

from tests.support.lab import SERVER, Lab
from tests.support.netns import run

BOX6, SERVER6 = "2001:db8:2::1", "2001:db8:2::2"
SERVERS = (SERVER, SERVER6)
LINKS = IPv6Network("2001:db8:a000::/36")
DELEGATED = IPv6Network("2001:db8:d000::/36")
DNS6 = "2001:db8:2::53"
IPV6: dict[str, Any] = {
    "dns": [DNS6],
    "pool": [
        {"name": "links", "prefixes": [str(LINKS)], "length": 64},
        {"name": "delegated", "prefixes": [str(DELEGATED)], "length": 56},
    ],
}
"""The table ``[ipv6]`` of the lab's bng.toml."""


class DualLab(Lab):
    """A lab of both families."""

    def __init__(self, prefix: str, directory: Path, **options: Any) -> None:
        config = {"ipv6": IPV6, **(options.pop("config", None) or {})}
        super().__init__(prefix, directory, config=config, **options)
        self.config["port"][1]["addresses"].append(f"{BOX6}/64")

    def build(self) -> None:
        """Make namespaces, links, addresses and configuration files."""
        super().build()
        run(self.inet, "ip", "addr", "add", f"{SERVER6}/64", "dev", "inet0", "nodad")
        for prefix in (LINKS, DELEGATED):
            run(self.inet, "ip", "-6", "route", "replace", str(prefix), "via", BOX6)

    def start_servers(self) -> None:
        """Start the HTTP servers on the internet side."""
        super().start_servers()
        www = str(self.directory / "www")
        http = ("-m", "http.server", "80", "--bind", SERVER6, "--directory", www)
        self.spawn("inet", "http6", sys.executable, "-u", *http)
        self.wait("http6", lambda: self.fetches(f"http://[{SERVER6}]/"))

    def start_bng(self) -> None:
        """Start both processes, and wait until both families reach the box."""
        super().start_bng()
        self.wait("bngd", lambda: self.reaches(BOX6))
