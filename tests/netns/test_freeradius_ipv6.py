"""IPv6 by FreeRADIUS: what the samples of conf/freeradius say acts, is accounted for, and changes.

PREFIX-sub            PREFIX-bng                       PREFIX-inet
+---------------+    +-----------------------+    +-----------------------------+
| client  sub0  |----| acc0             wan0 |----| inet0 192.0.2.2             |
+---------------+    | 2001:db8:2::1/64      |    |       2001:db8:2::2/64      |
                     +-----------------------+    | FreeRADIUS, conf/freeradius |
                                                  +-----------------------------+
"""

from collections.abc import Iterator
from ipaddress import IPv6Network
from typing import Any

import pytest

from tests.support.freeradius import SampleSite
from tests.support.lab import SERVER, Lab, merged
from tests.support.lab6 import BOX6, DELEGATED, LINKS, SERVER6, DualLab
from tests.support.netns import run
from tests.support.radius_lab import SAMPLE_OPTIONS, wait_for_record

POOLS = {
    "dns": ["2001:db8:2::53"],
    "address_from_link": True,
    "pool": [
        {"name": "links", "prefixes": [str(LINKS)], "length": 64},
        {"name": "homes", "prefixes": [str(DELEGATED)], "length": 56},
    ],
}
LAB_OPTIONS: dict[str, Any] = {
    "kind": DualLab,
    "config": merged(SAMPLE_OPTIONS["config"], {"ipv6": POOLS}),
}
OFFICE = ("office@example.net", "office-secret", "--delegate", "56")
DAVE = ("dave", "dave-secret", "--delegate", "56")
STATIC = IPv6Network("2001:db8:f000::/44")
BEHIND, NEW = IPv6Network("2001:db8:f002::/48"), IPv6Network("2001:db8:f003::/48")


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleSite]:
    run(lab.inet, "ip", "-6", "route", "add", str(STATIC), "via", BOX6)
    with SampleSite(tmp_path_factory.mktemp("site") / "raddb", lab.inet) as server:
        yield server


def sources(shown: dict[str, Any]) -> dict[str, tuple[Any, str]]:
    return {row["name"]: (row["value"], row["source"]) for row in shown["sources"]}


def shown(lab: Lab, user: str) -> dict[str, Any]:
    found: dict[str, Any] = lab.ctl_json("show", "session", user)
    return found


def settled(lab: Lab, user: str) -> dict[str, Any]:
    """Return a session when its client has a delegated prefix."""
    lab.wait_for_event("client-ppp0", "ipv6")
    return shown(lab, user)


def pings(lab: Lab, source: str) -> bool:
    """Say whether the subscriber reaches the server from *source*, and is answered."""
    ping = ("ping", "-6", "-c", "2", "-i", "0.2", "-W", "2", "-I", source, SERVER6)
    return "2 received" in run(lab.sub, *ping, check=False).stdout


def test_static_prefixes_lead_to_their_subscriber_and_are_accounted_for(
    site: SampleSite, lab: Lab
) -> None:
    with lab.subscriber(*OFFICE):
        session = settled(lab, "office@example.net")
        found = sources(session)
        assert pings(lab, "2001:db8:f001::1")
        start = wait_for_record(site, session["id"], "Start")
        ping = ("ping", "-c", "2", "-i", "0.2", SERVER)
        assert "2 received" in run(lab.sub, *ping).stdout
    stop = wait_for_record(site, session["id"], "Stop")
    said = "RADIUS server aaa1: "
    assert found["ipv6_prefix"] == ("2001:db8:f000:1::/64", said + "Framed-IPv6-Prefix")
    assert found["delegated_prefix"] == ("2001:db8:f001::/56", said + "Delegated-IPv6-Prefix")
    assert found["ipv6_routes"][1] == said + "Framed-IPv6-Route"
    assert int(start["Acct-Delay-Time"]) >= 2, "it has waited for what IPv6 brings"
    for record in (start, stop):
        assert record["Framed-IPv6-Prefix"] == "2001:db8:f000:1::/64"
        assert record["Delegated-IPv6-Prefix"] == "2001:db8:f001::/56"
        assert record["Framed-IP-Address"] == "203.0.113.10"
        groups = record["Framed-Interface-Id"].split(":")  # without leading zeros
        assert session["interface_id"] == "".join(group.zfill(4) for group in groups).lower()
    both, ipv6 = int(stop["Acct-Input-Packets"]), int(stop["ERX-IPv6-Acct-Input-Packets"])
    assert both >= ipv6 + 2
    assert ipv6 >= 2
    assert int(stop["ERX-IPv6-Acct-Output-Octets"]) >= 2 * 104
    assert int(stop["ERX-IPv6-Acct-Output-Octets"]) < int(stop["Acct-Output-Octets"])


def test_who_has_pools_and_no_ipv4_gets_what_the_server_says(site: SampleSite, lab: Lab) -> None:
    with lab.subscriber(*DAVE):
        session = settled(lab, "dave")
        found = sources(session)
        assert session["address"] is None
        prefix, delegated = (
            IPv6Network(found[name][0]) for name in ("ipv6_prefix", "delegated_prefix")
        )
        assert prefix.subnet_of(LINKS)
        assert delegated.subnet_of(DELEGATED)
        assert pings(lab, str(delegated[1]))
    stop = wait_for_record(site, session["id"], "Stop")
    said = "RADIUS server aaa1: "
    assert found["ipv6_pool"] == ("links", said + "Framed-IPv6-Pool")
    assert found["delegated_pool"] == ("homes", said + "Delegated-IPv6-Prefix-Pool")
    assert found["ipv6_dns"] == (["2001:db8:2::54"], said + "DNS-Server-IPv6-Address")
    assert found["ipv6_announced_routes"] == (["2001:db8::/32"], said + "Route-IPv6-Information")
    assert found["ipv4"] == (False, said + "Bng-Ipv4")
    assert (stop["Framed-IPv6-Prefix"], stop["Delegated-IPv6-Prefix"]) == (
        str(prefix),
        str(delegated),
    )
    assert "Framed-IP-Address" not in stop


def test_bngctl_says_what_radius_would_set(site: SampleSite, lab: Lab) -> None:
    said = lab.ctl_json("test", "radius", "office@example.net", "--password", "office-secret")
    profile = said["profile"]
    assert (said["answer"], said["refused_by_us"]) == ("access-accept", None)
    assert profile["ipv6_prefix"] == "2001:db8:f000:1::/64"
    assert profile["delegated_prefix"] == "2001:db8:f001::/56"
    assert profile["ipv6_routes"] == [{"prefix": str(BEHIND), "metric": 1}]
    text = lab.ctl("test", "radius", "office@example.net", "--password", "office-secret").stdout
    assert "Framed-IPv6-Prefix" in text
    assert "ipv6_prefix = 2001:db8:f000:1::/64" in text
    assert site.process is not None


def test_a_coa_moves_a_network_and_a_disconnect_finds_a_prefix(site: SampleSite, lab: Lab) -> None:
    with lab.subscriber(*OFFICE):
        session = settled(lab, "office@example.net")
        who = "Framed-IPv6-Prefix = 2001:db8:f000:1::/64"
        assert str(BEHIND) in session["ipv6_routes"]
        done = site.radclient("coa", who, f'Framed-IPv6-Route = "{NEW} :: 1"')
        assert "Received CoA-ACK" in done, done
        routes = shown(lab, "office@example.net")["ipv6_routes"]
        assert (str(NEW) in routes, str(BEHIND) in routes) == (True, False)
        done = site.radclient("coa", who, "DNS-Server-IPv6-Address = 2001:db8:2::55")
        assert "Error-Cause = Unsupported-Attribute" in done
        done = site.radclient("disconnect", "Delegated-IPv6-Prefix = 2001:db8:f001::/56")
        assert "Received Disconnect-ACK" in done
        lab.wait_for_sessions(0)
    stop = wait_for_record(site, session["id"], "Stop")
    assert stop["Acct-Terminate-Cause"] == "Admin-Reset"
    assert stop["Delegated-IPv6-Prefix"] == "2001:db8:f001::/56"
