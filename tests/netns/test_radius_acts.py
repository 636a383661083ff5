"""What an Access-Accept of FreeRADIUS says, each attribute seen to act on packets.

PREFIX-sub                 PREFIX-bng                       PREFIX-inet
+--------------------+    +-----------------------+    +---------------------------+
| ppp0 - client sub0 |----| acc0             wan0 |----| inet0 192.0.2.2           |
| lo: 203.0.113.65   |    | TAP bng-wan0 192.0.2.1|    | FreeRADIUS, HTTP, iperf3  |
+--------------------+    +-----------------------+    +---------------------------+
"""

import json
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from tests.support import uml
from tests.support.freeradius import SECRET, FreeRadius
from tests.support.lab import GATEWAY, NAT_POOL, PAGE, PUBLIC_ADDRESS, SERVER, Lab, default_config
from tests.support.netns import run
from tests.support.radius_lab import wait_for_record
from tests.support.tshark import Capture, fields

DOWN_BPS, UP_BPS = 2_000_000, 1_000_000
SECONDS = 4
BEHIND = "203.0.113.65"
FORWARDED = "198.51.100.3"
USERS = f"""
pool Cleartext-Password := "secret"
\tFramed-Pool = "other"

static Cleartext-Password := "secret"
\tFramed-IP-Address = {PUBLIC_ADDRESS}, Bng-Nat-Profile = "none", Framed-MTU = 1000,
\tFramed-Route += "203.0.113.64/29 0.0.0.0 1"

loose Cleartext-Password := "secret"
\tFramed-IP-Address = {PUBLIC_ADDRESS}, Bng-Nat-Profile = "none", Framed-MTU = 1000,
\tBng-Mss-Clamp = No

rates Cleartext-Password := "secret"
\tBng-Rate-Down = "2M", Bng-Rate-Up = "1M"

filter Cleartext-Password := "secret"
\tFilter-Id = "web.in"

forward Cleartext-Password := "secret"
\tBng-Nat-Address = {FORWARDED},
\tBng-Nat-Port-Forward += "tcp 80 8080", Bng-Nat-Port-Forward += "udp 81 8081"

twice Cleartext-Password := "secret"
\tPort-Limit = 2

idle Cleartext-Password := "secret"
\tIdle-Timeout = 3

names Cleartext-Password := "secret"
\tMS-Primary-DNS-Server = 9.9.9.9, MS-Secondary-DNS-Server = 149.112.112.112
"""
LAB_OPTIONS: dict[str, Any] = {
    "config": {
        "aaa": {"method": "radius"},
        "radius": {"server": [{"name": "aaa1", "address": SERVER, "secret": SECRET}]},
        "acl": [{"name": "web", "default": "deny", "rules": ["permit tcp any any port 80"]}],
        "pool": [
            *default_config(Path("/"))["pool"],
            {"name": "other", "ranges": ["100.65.0.0/24"], "gateway": GATEWAY},
        ],
    }
}


@pytest.fixture(scope="module", autouse=True)
def radius(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreeRadius]:
    directory = tmp_path_factory.mktemp("radius")
    ports = {"auth_port": 1812, "acct_port": 1813}
    with FreeRadius(directory, USERS, address=SERVER, netns=lab.inet, **ports) as server:
        yield server


def pings(netns: str, *words: str) -> str:
    return run(netns, "ping", "-c", "3", "-i", "0.2", "-W", "1", *words, check=False).stdout


def fetches(netns: str, url: str) -> bool:
    fetch = ("curl", "-fsS", "--max-time", "5", url)
    return run(netns, *fetch, check=False).stdout == PAGE


def http_client(lab: Lab) -> str:
    """Return whom the server saw last."""
    return [line for line in lab.log("http").splitlines() if '"GET / ' in line][-1].split()[0]


def test_the_address_is_of_the_pool_that_is_named(lab: Lab) -> None:
    with lab.subscriber("pool", "secret") as event:
        assert IPv4Address(event["address"]) in IPv4Network("100.65.0.0/24")


def test_a_static_address_goes_out_untranslated_where_the_nat_profile_says_so(lab: Lab) -> None:
    with lab.subscriber("static", "secret"):
        assert fetches(lab.sub, f"http://{SERVER}/")
        assert http_client(lab) == PUBLIC_ADDRESS
        assert "3 received" in pings(lab.inet, PUBLIC_ADDRESS)
    with lab.subscriber("pool", "secret"):
        assert fetches(lab.sub, f"http://{SERVER}/")
        assert IPv4Address(http_client(lab)) in IPv4Network(NAT_POOL)


def test_a_framed_route_leads_to_what_is_behind_the_subscriber(lab: Lab) -> None:
    run(lab.sub, "ip", "addr", "replace", f"{BEHIND}/32", "dev", "lo")
    with lab.subscriber("static", "secret"):
        assert "3 received" in pings(lab.inet, BEHIND)
    lab.wait_for_sessions(0)
    assert "0 received" in pings(lab.inet, BEHIND)


def test_packets_beyond_the_framed_mtu_are_refused_and_the_mss_fits_it(
    lab: Lab, tmp_path: Path
) -> None:
    """RFC 2865 §5.12, RFC 1812 §4.3.3.1 (ICMP 3/4)."""
    with Capture(lab.inet, "inet0", tmp_path / "c.pcap", "icmp", "or", "tcp") as capture:
        with lab.subscriber("static", "secret"):
            assert "3 received" in pings(lab.inet, "-M", "do", "-s", "972", PUBLIC_ADDRESS)
            assert "0 received" in pings(lab.inet, "-M", "do", "-s", "973", PUBLIC_ADDRESS)
            run(lab.inet, "ip", "route", "flush", "cache")
            assert fetches(lab.sub, f"http://{SERVER}/")
        lab.wait_for_sessions(0)
        with lab.subscriber("loose", "secret"):
            run(lab.sub, "curl", "-s", "--max-time", "5", f"http://{SERVER}/", check=False)
    mtus = {row[0] for row in fields(capture.path, "icmp.type == 3 && icmp.code == 4", "icmp.mtu")}
    assert mtus == {"1000"}
    syn = f"ip.src == {PUBLIC_ADDRESS} && tcp.flags.syn == 1 && tcp.flags.ack == 0"
    mss = [int(row[0]) for row in fields(capture.path, syn, "tcp.options.mss_val")]
    assert (mss[0], mss[-1]) == (960, 1452)  # clamped; not clamped


def test_the_rates_are_kept_both_ways(lab: Lab) -> None:
    lab.spawn("inet", "iperf3", "iperf3", "-s", "-B", SERVER)
    udp = ("iperf3", "-J", "-c", SERVER, "-t", str(SECONDS), "-u", "-l", "1200")
    arrived = {}
    with lab.subscriber("rates", "secret"):
        for rate_bps, words in ((UP_BPS, ()), (DOWN_BPS, ("-R",))):
            time.sleep(0.5)  # the bucket fills
            said = run(lab.sub, *udp, "-b", str(2 * rate_bps), *words).stdout
            total = json.loads(said)["end"]["sum"]
            bits = (total["packets"] - total["lost_packets"]) * 1228 * 8
            arrived[rate_bps] = bits / SECONDS / rate_bps
        session = lab.ctl_json("show", "session", "rates")
    lab.stop("iperf3")
    for share in arrived.values():  # 200 ms of the rate are the burst
        assert 0.9 < share < 1.15, arrived
    assert session["policer_up"]["red_packets"] > 100 < session["policer_down"]["red_packets"]


def test_a_filter_lets_only_through_what_it_permits(lab: Lab) -> None:
    with lab.subscriber("filter", "secret"):
        assert fetches(lab.sub, f"http://{SERVER}/")
        assert "0 received" in pings(lab.sub, SERVER)
        shown = lab.ctl_json("show", "session", "filter")
    assert shown["in_drops_by_reason"]["acl"] >= 3


def test_port_forwards_lead_to_the_subscriber(lab: Lab) -> None:
    www = str(lab.directory / "www")
    with lab.subscriber("forward", "secret"):
        server = ("-m", "http.server", "8080", "--directory", www)
        lab.spawn("sub", "behind", sys.executable, "-u", *server)
        end = time.monotonic() + 10
        while not fetches(lab.inet, f"http://{FORWARDED}/"):
            assert time.monotonic() < end, lab.log("behind")
        assert not fetches(lab.inet, f"http://{FORWARDED}:81/")
        shown = lab.ctl_json("show", "session", "forward")
        assert shown["port_forwards"] == ["tcp 80 8080", "udp 81 8081"]
        lab.stop("behind")


def test_as_many_sessions_at_once_as_the_port_limit(lab: Lab) -> None:
    with (
        lab.subscriber("twice", "secret"),
        lab.subscriber("twice", "secret", tun="ppp1") as second,
    ):
        rows = lab.sessions()
        assert [row["user"] for row in rows] == ["twice", "twice"]
        with lab.subscriber("twice", "secret", tun="ppp2") as third:
            lab.wait_for_sessions(2)
            left = {row["address"] for row in lab.sessions()}
            assert left == {second["address"], third["address"]}  # the oldest went


def test_an_idle_timeout_ends_who_sends_nothing_and_nobody_else(
    radius: FreeRadius, lab: Lab
) -> None:
    with lab.subscriber("idle", "secret", "--no-ipv6"):
        (row,) = lab.sessions()
        busy = run(lab.sub, "ping", "-c", "9", "-i", "0.5", SERVER).stdout
        assert "9 received" in busy
        assert len(lab.sessions()) == 1
        stop = wait_for_record(radius, row["id"], "Stop", timeout_s=15)
    assert stop["Acct-Terminate-Cause"] == "Idle-Timeout"
    assert int(stop["Acct-Session-Time"]) >= 7  # four seconds of ping, then three


def test_pppd_is_told_the_dns_servers(lab: Lab) -> None:
    done = uml.dial(lab.sub, "sub0", "names", "secret", "cat $PPPD_LOG")
    assert done.status == 0, done.output
    assert "primary   DNS address 9.9.9.9" in done.output
    assert "secondary DNS address 149.112.112.112" in done.output
