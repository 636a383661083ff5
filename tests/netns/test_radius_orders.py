"""CoA and Disconnect by FreeRADIUS's radclient: what is acknowledged acts on the next packet.

PREFIX-sub            PREFIX-bng                       PREFIX-inet
+---------------+    +-----------------------+    +----------------------------+
| client  sub0  |----| acc0             wan0 |----| inet0 192.0.2.2            |
+---------------+    | TAP bng-wan0 192.0.2.1|    | FreeRADIUS :1812 :1813     |
                     |       bngd      :3799 |    | radclient                  |
                     +-----------------------+    +----------------------------+
"""

import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.freeradius import SECRET, FreeRadius
from tests.support.lab import SERVER, Lab
from tests.support.netns import command, run
from tests.support.radius_lab import wait_for_record

BNG = "192.0.2.1"
USERS = """
anna Cleartext-Password := "secret"
\tClass = "bronze"

bert Cleartext-Password := "secret"
\tService-Type = Framed-User
"""
LAB_OPTIONS: dict[str, Any] = {
    "config": {
        "aaa": {"method": "radius"},
        "acl": [{"name": "garden", "default": "deny", "rules": ["permit udp any any"]}],
        "radius": {
            "nas_identifier": "lab",
            "timeout_s": 0.5,
            "tries": 2,
            "accounting": {"interim_interval_s": 0},
            "server": [{"name": "aaa1", "address": SERVER, "secret": SECRET}],
            "dynauth": {
                "listen": [BNG, "::1"],
                "client": [
                    {
                        "name": "aaa1",
                        "prefix": SERVER,
                        "secret": SECRET,
                        "message_authenticator": True,
                    },
                    {"name": "six", "prefix": "::1", "secret": "six", "orders": ["coa"]},
                ],
            },
        },
    }
}
Radius = tuple[FreeRadius, Lab]


@pytest.fixture(scope="module")
def radius(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Radius]:
    directory = tmp_path_factory.mktemp("radius")
    ports = {"auth_port": 1812, "acct_port": 1813}
    with FreeRadius(directory, USERS, address=SERVER, netns=lab.inet, **ports) as server:
        yield server, lab


def radclient(
    lab: Lab, kind: str, *attributes: str, secret: str = SECRET, to: str = BNG, side: str = ""
) -> str:
    """Send an order; return "ack", or the Error-Cause of the NAK, or "" for no answer."""
    argv = ["radclient", "-x", "-r", "1", "-t", "2", f"{to}:3799", kind, secret]
    done = subprocess.run(
        command(side or lab.inet, argv),
        input="\n".join([*attributes, "Message-Authenticator = 0x00"]),
        capture_output=True,
        text=True,
        check=False,
    )
    if re.search(r"Received \w+-ACK", done.stdout):
        return "ack"
    found = re.search(r"Error-Cause = (\S+)", done.stdout)
    assert found or "Received" not in done.stdout, done.stdout + done.stderr
    return found[1] if found else ""


def answered(lab: Lab, size: int = 1_400, count: int = 100) -> int:
    """Return how many of *count* pings, 5 ms apart, have an answer: some 2.3 Mbit/s."""
    words = ("-q", "-c", str(count), "-i", "0.005", "-s", str(size), "-W", "1")
    done = run(lab.sub, "ping", *words, SERVER, check=False)
    found = re.search(r"(\d+) received", done.stdout)
    assert found, done.stdout
    return int(found[1])


def test_a_rate_acts_when_it_is_acknowledged(radius: Radius) -> None:
    _, lab = radius
    with lab.subscriber("anna", "secret"):
        (row,) = lab.sessions()
        assert answered(lab) == 100
        who = f'Acct-Session-Id = "{row["id"]}"'
        change = ("WISPr-Bandwidth-Max-Down = 100000", f"Framed-IP-Address = {row['address']}")
        assert radclient(lab, "coa", who, *change) == "ack"
        assert answered(lab) < 30, "15,000 bytes of burst, then 100 kbit/s"
        assert lab.ctl_json("show", "session", "anna")["policer_down"]["cir_bps"] == 100_000
        assert radclient(lab, "coa", who, "WISPr-Bandwidth-Max-Down = 50000000") == "ack"
        assert answered(lab) == 100


def test_a_filter_acts_when_it_is_acknowledged_and_a_wrong_one_changes_nothing(
    radius: Radius,
) -> None:
    _, lab = radius
    with lab.subscriber("anna", "secret"):
        name = 'User-Name = "anna"'
        both = ('Filter-Id = "nosuch"', "Session-Timeout = 5")
        assert radclient(lab, "coa", name, *both) == "Invalid-Attribute-Value"
        assert answered(lab, count=5) == 5
        assert radclient(lab, "coa", name, 'Filter-Id = "garden"') == "ack"
        assert answered(lab, count=5) == 0
        assert lab.ctl_json("show", "session", "anna")["session_timeout_in_s"] is None


def test_a_class_is_in_the_records_to_come_and_a_disconnect_is_an_admin_reset(
    radius: Radius,
) -> None:
    server, lab = radius
    with lab.subscriber("anna", "secret") as event:
        (row,) = lab.sessions()
        session = str(row["id"])
        assert wait_for_record(server, session, "Start")["Class"] == "0x62726f6e7a65"
        key = f'Calling-Station-Id = "{row["mac"]}"'
        assert radclient(lab, "coa", key, 'NAS-Port-Id = "acc0:0"', "Class = 0x676f6c64") == "ack"
        port = 'NAS-Port-Id = "acc0:1"'
        assert radclient(lab, "disconnect", key, port) == "Session-Context-Not-Found"
        assert radclient(lab, "disconnect", 'NAS-Identifier = "lab"', key) == "ack"
        assert {row["state"] for row in lab.sessions()} <= {"ending"}  # its Stop is on its way
        lab.wait_for_sessions(0)
        stop = wait_for_record(server, session, "Stop")
        assert (stop["Acct-Terminate-Cause"], stop["Class"]) == ("Admin-Reset", "0x676f6c64")
        said = [r["Acct-Status-Type"] for r in server.detail() if r["Acct-Session-Id"] == session]
        assert said == ["Start", "Stop"]
        assert event["address"] == row["address"]
        lab.wait("client-ppp0", lambda: '"down"' in lab.log("client-ppp0"))
        assert "terminate-request" in lab.log("client-ppp0")


def test_a_session_that_outlives_bngd_keeps_its_change_and_takes_orders(radius: Radius) -> None:
    server, lab = radius
    with lab.subscriber("anna", "secret"):
        (row,) = lab.sessions()
        who = f'Acct-Session-Id = "{row["id"]}"'
        change = ("WISPr-Bandwidth-Max-Down = 100000", "Class = 0x676f6c64")
        assert radclient(lab, "coa", who, *change) == "ack"
        lab.stop("bngd", signal.SIGKILL)
        lab.start_bngd()
        assert lab.ctl_json("show", "session", "anna")["policer_down"]["cir_bps"] == 100_000
        assert answered(lab) < 30
        assert radclient(lab, "coa", who, "WISPr-Bandwidth-Max-Down = 50000000") == "ack"
        assert answered(lab) == 100
        address = f"Framed-IP-Address = {row['address']}"
        assert radclient(lab, "disconnect", 'User-Name = "anna"', address) == "ack"
        stop = wait_for_record(server, str(row["id"]), "Stop")
        assert (stop["Acct-Terminate-Cause"], stop["Class"]) == ("Admin-Reset", "0x676f6c64")


def test_what_is_wrong_has_its_own_cause(radius: Radius) -> None:
    _, lab = radius
    with lab.subscriber("bert", "secret"):
        rate, name = "WISPr-Bandwidth-Max-Down = 1000000", 'User-Name = "bert"'
        asked = {
            "Session-Context-Not-Found": ('User-Name = "nobody"', rate),
            "Unsupported-Attribute": (name, 'Framed-Pool = "subscribers"'),
            "Missing-Attribute": (rate,),
            "NAS-Identification-Mismatch": (name, 'NAS-Identifier = "other"', rate),
            "Unsupported-Service": (name, "Service-Type = Login-User", rate),
            "Invalid-Request": (name, name, rate),
        }
        assert {cause: radclient(lab, "coa", *pairs) for cause, pairs in asked.items()} == {
            cause: cause for cause in asked
        }
        assert radclient(lab, "disconnect", name, rate) == "Unsupported-Attribute"
        assert radclient(lab, "coa", name, rate, secret="guess") == ""
        assert radclient(lab, "coa", name, rate, to=BNG, side=lab.bng) == ""
        six = {"secret": "six", "to": "[::1]", "side": lab.bng}
        assert radclient(lab, "disconnect", name, **six) == "Administratively-Prohibited"
        assert radclient(lab, "coa", name, rate, **six) == "ack"
        shown = lab.ctl_json("show", "dynauth")
        assert shown["dropped"]["wrong_authenticator"] >= 1
        assert shown["dropped"]["unknown_client"] >= 1
        assert shown["naks_by_cause"]["405 unsupported-service"] == 1
        assert shown["waiting"] == 0
        lines = [line for line in lab.log("bngd").splitlines() if '"event": "coa"' in line]
        assert any('"user": "bert"' in line and '"result": "ack"' in line for line in lines)
