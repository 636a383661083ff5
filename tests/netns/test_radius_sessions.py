"""Subscribers whom a real FreeRADIUS lets in, and accounts for: requests leave through the TAP.

PREFIX-sub            PREFIX-bng                       PREFIX-inet
+---------------+    +-----------------------+    +----------------------------+
| client  sub0  |----| acc0             wan0 |----| inet0 192.0.2.2            |
+---------------+    | TAP bng-wan0 192.0.2.1|    | FreeRADIUS :1812 :1813 ... |
                     +-----------------------+    +----------------------------+
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.freeradius import EXTRA, SECRET, FreeRadius
from tests.support.lab import PUBLIC_ADDRESS, SERVER, Lab
from tests.support.netns import run
from tests.support.radius_lab import wait_for_record

USERS = f"""
anna Cleartext-Password := "secret"
\tService-Type = Framed-User, Framed-Protocol = PPP, Class = 0xc0ffee,
\tReply-Message = "welcome", Cisco-AVPair += "ip:dns-servers=9.9.9.9"

static Cleartext-Password := "secret"
\tFramed-IP-Address = {PUBLIC_ADDRESS}, Session-Timeout = 4

limited Cleartext-Password := "secret"
\tFramed-Pool = "subscribers", WISPr-Bandwidth-Max-Down = 2000000

login Cleartext-Password := "secret"
\tService-Type = Login-User

sample Cleartext-Password := "secret"
\tSample-Rate-Down = "3M", Sample-Rate-Up = 1000000, Sample-Account = 0x676f6c64

DEFAULT Auth-Type := Reject
\tReply-Message = "no such line"
"""
LAB_OPTIONS: dict[str, Any] = {
    "config": {
        "aaa": {"method": "radius"},
        "radius": {
            "nas_identifier": "lab",
            "nas_ip_address": "192.0.2.1",
            "timeout_s": 0.5,
            "tries": 2,
            "probe_s": 0.5,
            "dictionaries": [str(EXTRA)],
            "attributes": {
                "Sample-Rate-Down": "rate_down",
                "Sample-Rate-Up": "rate_up",
                "Sample-Account": "classes",
            },
            "accounting": {"interim_interval_s": 2},
            "server": [{"name": "aaa1", "address": SERVER, "secret": SECRET}],
        },
    }
}


@pytest.fixture(scope="module")
def radius(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FreeRadius, Lab]]:
    directory = tmp_path_factory.mktemp("radius")
    ports = {"auth_port": 1812, "acct_port": 1813}
    with FreeRadius(directory, USERS, address=SERVER, netns=lab.inet, **ports) as server:
        yield server, lab


def test_a_subscriber_of_radius_goes_out_and_is_accounted_for_to_the_byte(
    radius: tuple[FreeRadius, Lab],
) -> None:
    server, lab = radius
    with lab.subscriber("anna", "secret"):
        assert "3 received" in run(lab.sub, "ping", "-c", "3", "-i", "0.2", SERVER).stdout
        (row,) = lab.sessions()
        session = str(row["id"])
        start = wait_for_record(server, session, "Start")
        interim = wait_for_record(server, session, "Interim-Update")
    lab.wait_for_sessions(0)
    stop = wait_for_record(server, session, "Stop")
    for record in (start, interim, stop):
        assert record["User-Name"] == "anna"
        assert record["Class"] == "0xc0ffee"
        assert record["NAS-Identifier"] == "lab"
        assert record["Framed-IP-Address"] == row["address"]
        assert record["Calling-Station-Id"] == row["mac"]
        assert record["NAS-Port-Id"] == "acc0:0"
        assert record["Acct-Authentic"] == "RADIUS"
    assert "Acct-Input-Octets" not in start
    for record in (interim, stop):
        assert (record["Acct-Input-Packets"], record["Acct-Output-Packets"]) == ("3", "3")
        assert (record["Acct-Input-Octets"], record["Acct-Output-Octets"]) == ("252", "252")
    assert stop["Acct-Terminate-Cause"] == "User-Request"
    assert int(stop["Acct-Session-Time"]) >= 1
    assert server.detail()[0]["Acct-Status-Type"] == "Accounting-On"
    occupancy = lab.occupancy()
    assert occupancy == dict.fromkeys(occupancy, 0)


def test_what_the_access_node_tells_of_the_line_reaches_the_server_and_the_operator(
    radius: tuple[FreeRadius, Lab],
) -> None:
    """TR-101 on the wire in kbit/s, RFC 4679 to the server in bit/s."""
    server, lab = radius
    line = "01036f6c74 0202746f 810400000400 82040000c350 8c0400000008 9003020105 fe00 aa01ff"
    with lab.subscriber("anna", "secret", "--line", line.replace(" ", "")):
        (row,) = lab.sessions()
        start = wait_for_record(server, str(row["id"]), "Start")
        shown = lab.ctl_json("show", "session", str(row["id"]))
        text = lab.ctl("show", "session", str(row["id"])).stdout
    lab.wait_for_sessions(0)
    assert (start["ADSL-Agent-Circuit-Id"], start["ADSL-Agent-Remote-Id"]) == (
        "0x6f6c74",
        "0x746f",
    )
    assert start["Actual-Data-Rate-Upstream"] == "1024000"
    assert start["Actual-Data-Rate-Downstream"] == "50000000"
    assert start["Actual-Interleaving-Delay-Upstream"] == "8"
    assert start["Access-Loop-Encapsulation"] == "0x020105"
    assert shown["circuit_id"] == "olt"
    assert shown["line_attributes"] == {
        "Actual-Data-Rate-Upstream": 1024000,
        "Actual-Data-Rate-Downstream": 50000000,
        "Actual-Interleaving-Delay-Upstream": 8,
        "Access-Loop-Encapsulation": "0x020105",
        "IWF-Session": True,
    }
    assert "Actual-Data-Rate-Downstream 50000000" in text


def test_what_the_server_says_acts(radius: tuple[FreeRadius, Lab]) -> None:
    server, lab = radius
    with lab.subscriber("static", "secret") as event:
        assert event["address"] == PUBLIC_ADDRESS
        (row,) = lab.sessions()
        stop = wait_for_record(server, str(row["id"]), "Stop", timeout_s=15)
        assert stop["Acct-Terminate-Cause"] == "Session-Timeout"
    with lab.subscriber("limited", "secret"):
        (row,) = lab.sessions()
        shown = lab.ctl_json("show", "session", str(row["id"]))
        assert "2000000" in str(shown)
        sources = {row["name"]: row["source"] for row in shown["sources"]}
        assert sources["rate_down"] == "RADIUS server aaa1: WISPr-Bandwidth-Max-Down"
        assert sources["ipv4_pool"] == "RADIUS server aaa1: Framed-Pool"
        assert sources["ipv4_address"] == "pool subscribers"


def test_attributes_of_a_vendor_set_what_the_configuration_maps_them_to(
    radius: tuple[FreeRadius, Lab],
) -> None:
    server, lab = radius
    with lab.subscriber("sample", "secret"):
        shown = lab.ctl_json("show", "session", "sample")
        start = wait_for_record(server, shown["id"], "Start")
    assert shown["policer_down"]["cir_bps"] == 3_000_000
    assert shown["policer_up"]["cir_bps"] == 1_000_000
    sources = {row["name"]: row["source"] for row in shown["sources"]}
    assert sources["rate_down"] == "RADIUS server aaa1: Sample-Rate-Down"
    assert sources["rate_up"] == "RADIUS server aaa1: Sample-Rate-Up"
    assert start["Class"] == "0x676f6c64"


def test_bngctl_shows_servers_and_spool_and_tries_a_user_out(
    radius: tuple[FreeRadius, Lab],
) -> None:
    _, lab = radius
    with lab.subscriber("anna", "secret"):
        pass
    lab.wait_for_sessions(0)
    servers = {row["role"]: row for row in lab.ctl_json("show", "radius")}
    assert {row["state"] for row in servers.values()} == {"alive"}
    assert servers["authentication"]["accepts"] >= 1
    assert servers["accounting"]["responses"] >= 1
    assert servers["authentication"]["answer_ms_p99"] > 0
    shown = lab.ctl_json("show", "accounting")
    assert shown["groups"][0]["group"] == "main"
    assert shown["not_written"] == 0
    good = lab.ctl_json("test", "radius", "limited", "--password", "secret")
    assert good["answer"] == "access-accept"
    assert {"attribute": "User-Name", "value": "limited"} in good["request"]
    sets = {row["attribute"]: row["sets"] for row in good["attributes"]}
    assert sets["Framed-Pool"] == "ipv4_pool = subscribers"
    assert good["profile"]["ipv4_pool"] == "subscribers"
    full = lab.ctl_json("test", "radius", "anna", "--password", "secret")
    sets = {row["attribute"]: row["sets"] for row in full["attributes"]}
    assert sets["Class"] == "classes = 0xc0ffee"
    assert sets["Reply-Message"] == "reply_message = welcome"
    bad = lab.ctl_json("test", "radius", "login", "--password", "secret")
    assert bad["refused_by_us"] == "Service-Type: 1 is not served, only Framed"
    assert "access-reject" in lab.ctl("test", "radius", "anna", "--password", "wrong").stdout
    assert lab.sessions() == []


@pytest.mark.parametrize(
    ("user", "password", "reason"),
    [
        ("anna", "wrong", "refused-by-server"),
        ("nobody", "secret", "refused-by-server"),
        ("login", "secret", "not-served"),
    ],
)
def test_who_is_refused_by_radius_or_by_what_it_says_stays_out(
    radius: tuple[FreeRadius, Lab], user: str, password: str, reason: str
) -> None:
    _, lab = radius
    with pytest.raises(Exception, match="client"):
        lab.dial(user, password)
    lab.wait_for_sessions(0)
    rejects = [line for line in lab.log("bngd").splitlines() if "access-reject" in line]
    assert reason in rejects[-1]


def test_while_no_server_answers_nobody_gets_in_and_no_record_is_lost(
    radius: tuple[FreeRadius, Lab],
) -> None:
    server, lab = radius
    with lab.subscriber("anna", "secret"):
        (row,) = lab.sessions()
        wait_for_record(server, str(row["id"]), "Start")
        server.stop()
    lab.wait_for_sessions(0)  # its Stop is on disk: the session may go
    with pytest.raises(Exception, match="client"):
        lab.dial("anna", "secret")
    assert "no-answer" in lab.log("bngd")
    server.start()
    stop = wait_for_record(server, str(row["id"]), "Stop", timeout_s=30)
    assert int(stop["Acct-Delay-Time"]) >= 1
    with lab.subscriber("anna", "secret"):
        assert len(lab.sessions()) == 1
