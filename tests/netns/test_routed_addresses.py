"""Addresses and static routes of a routed port stand in the kernel as bng.toml has them.

PREFIX-bng                              PREFIX-inet
+---------------------------------+    +-----------------------+
| TAP bng-wan0              wan0  |----| inet0 192.0.2.2       |
+---------------------------------+    +-----------------------+
"""

import json
from typing import Any

from tests.netns.conftest import MakeLab
from tests.support.lab import Lab
from tests.support.netns import run

TAP = "bng-wan0"


def addresses(lab: Lab) -> dict[str, str]:
    """Return the addresses of the TAP with their scopes."""
    done = run(lab.bng, "ip", "-j", "addr", "show", "dev", TAP)
    (link,) = json.loads(done.stdout)
    return {f"{a['local']}/{a['prefixlen']}": a["scope"] for a in link["addr_info"]}


def routes(lab: Lab) -> list[dict[str, Any]]:
    """Return the static IPv6 routes out of the TAP."""
    done = run(lab.bng, "ip", "-6", "-j", "route", "show", "dev", TAP, "proto", "static")
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def restart(lab: Lab, *wanted: str) -> None:
    """Start bngd anew, with other addresses."""
    lab.config["port"][1]["addresses"] = list(wanted)
    lab.write_config()
    lab.stop("bngd")
    lab.start_bngd()


def test_both_families_are_set_and_taken_away_but_link_local_addresses_stay(
    make_lab: MakeLab,
) -> None:
    lab = make_lab()
    run(lab.bng, "ip", "addr", "add", "2001:db8:9::1/64", "dev", TAP, "nodad")
    lab.config["route"] = [{"prefix": "2001:db8:5::/48", "via": "2001:db8:2::7"}]
    restart(lab, "192.0.2.1/24", "2001:db8:2::1/64", "2001:db8:3::1/64")
    found = addresses(lab)
    kernels = {address for address, scope in found.items() if scope == "link"}
    assert len(kernels) == 1
    assert found.keys() - kernels == {"192.0.2.1/24", "2001:db8:2::1/64", "2001:db8:3::1/64"}
    assert [(r["dst"], r["gateway"]) for r in routes(lab)] == [("2001:db8:5::/48", "2001:db8:2::7")]
    restart(lab, "192.0.2.1/24", "2001:db8:2::1/64")
    assert addresses(lab).keys() - kernels == {"192.0.2.1/24", "2001:db8:2::1/64"}
    lab.config["route"] = []
    restart(lab, "192.0.2.1/24")
    run(lab.bng, "ip", "addr", "add", "2001:db8:9::1/64", "dev", TAP, "nodad")
    restart(lab, "192.0.2.1/24")
    assert "2001:db8:9::1/64" in addresses(lab), "the file says nothing of IPv6 there"
    assert kernels <= addresses(lab).keys()
