"""The samples of conf/freeradius, as they are: what they say acts, and is accounted for.

PREFIX-sub            PREFIX-bng                       PREFIX-inet
+---------------+    +-----------------------+    +-----------------------------+
| client  sub0  |----| acc0             wan0 |----| inet0 192.0.2.2             |
+---------------+    | TAP bng-wan0 192.0.2.1|    | FreeRADIUS, conf/freeradius |
                     +-----------------------+    +-----------------------------+
"""

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from radius.dictionary import BUILT_IN
from tests.netns.conftest import MakeLab
from tests.support import uml
from tests.support.freeradius import SAMPLES, SampleSite
from tests.support.lab import SERVER, Lab, merged
from tests.support.netns import run
from tests.support.radius_lab import SAMPLE_OPTIONS, wait_for_record

LAB_OPTIONS: dict[str, Any] = {
    "config": merged(
        SAMPLE_OPTIONS["config"],
        {"radius": {"without_server": "last-good", "tries": 1, "probe_s": 0.5}},
    )
}


@pytest.fixture(scope="module")
def site(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleSite]:
    with SampleSite(tmp_path_factory.mktemp("site") / "raddb", lab.inet) as server:
        yield server


def sources(lab: Lab, user: str) -> dict[str, tuple[Any, str]]:
    rows = lab.ctl_json("show", "session", user)["sources"]
    return {row["name"]: (row["value"], row["source"]) for row in rows}


def test_freeradius_takes_the_samples_and_may_take_them_again(site: SampleSite) -> None:
    users = site.directory / "bng" / "users"
    edited = users.read_text() + "\n# edited\n"
    users.write_text(edited)
    subprocess.run([SAMPLES / "install", site.directory], check=True)
    assert users.read_text() == edited
    assert (site.directory / "dictionary").read_text().count("$INCLUDE bng/dictionary") == 1
    site.check()


def test_a_directory_that_is_none_of_freeradius_is_refused(tmp_path: Path) -> None:
    done = subprocess.run([SAMPLES / "install", tmp_path], check=False, capture_output=True)
    assert done.returncode == 1
    assert f"there is no {tmp_path}/radiusd.conf".encode() in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_servers_copy_of_our_dictionary_is_ours() -> None:
    assert (SAMPLES / "bng" / "dictionary").read_text() == (BUILT_IN / "bng").read_text()


def test_alice_gets_what_her_entry_says_and_is_accounted_for(site: SampleSite, lab: Lab) -> None:
    with lab.subscriber("alice", "alice-secret"):
        assert "3 received" in run(lab.sub, "ping", "-c", "3", "-i", "0.2", SERVER).stdout
        (row,) = lab.sessions()
        found = sources(lab, "alice")
        shown = lab.ctl("show", "session", "alice").stdout
        start = wait_for_record(site, row["id"], "Start")
    stop = wait_for_record(site, row["id"], "Stop")
    said = "RADIUS server aaa1: "
    assert found["ipv4_pool"] == ("cgnat", said + "Framed-Pool")
    assert found["ipv4_address"] == (row["address"], "pool cgnat")
    rate = {"cir_bps": 100_000_000, "cbs_bytes": 2_500_000}
    assert found["rate_down"] == (rate, said + "Bng-Rate-Down")
    rate = {"cir_bps": 20_000_000, "cbs_bytes": 500_000}
    assert found["rate_up"] == (rate, said + "Bng-Rate-Up")
    assert found["acl_in"] == ("no-mail", said + "Filter-Id")
    assert "acl_out" not in found
    assert found["classes"] == (["gold"], said + "Class")
    assert found["interim_interval_s"] == (600, said + "Acct-Interim-Interval")
    assert re.search(r"\n  acl_in +no-mail +RADIUS server aaa1: Filter-Id\n", shown)
    for record in (start, stop):
        assert (record["User-Name"], record["Class"]) == ("alice", "0x676f6c64")
        assert record["Framed-IP-Address"] == row["address"]
    assert stop["Acct-Input-Packets"] == "3"


def test_a_static_address_and_the_networks_behind_it(site: SampleSite, lab: Lab) -> None:
    with lab.subscriber("office@example.net", "office-secret") as event:
        assert event["address"] == "203.0.113.10"
        shown = lab.ctl_json("show", "session", "office@example.net")
        assert shown["routes"] == ["203.0.113.10/32", "203.0.113.64/29", "203.0.113.72/29"]
        assert shown["nat"] == "none"
        assert 604_700 < shown["session_timeout_in_s"] <= 604_800
        replies = run(lab.inet, "ping", "-c", "2", "-i", "0.2", "203.0.113.10").stdout
        assert "2 received" in replies
        start = wait_for_record(site, shown["id"], "Start")
        assert start["Framed-IP-Address"] == "203.0.113.10"


def test_a_user_with_an_nt_hash_and_dns_servers_of_his_own(site: SampleSite, lab: Lab) -> None:
    said = lab.ctl_json("test", "radius", "bob", "--password", "secret")
    assert (said["answer"], said["refused_by_us"]) == ("access-accept", None)
    assert said["profile"]["ipv4_dns"] == ["9.9.9.9", "149.112.112.112"]
    assert said["profile"]["simultaneous_use"] == 2
    assert {"attribute": "Service-Type", "value": "Framed-User"} in said["request"]
    shown = lab.ctl("test", "radius", "alice", "--password", "alice-secret").stdout
    assert re.search(r"\nBng-Rate-Up +20M cbs=500000 +rate_up = cir_bps 20000000 cbs_b", shown)
    assert re.search(r"\n  rate_down +cir_bps 100000000, cbs_bytes 2.50 MB\n", shown)
    assert site.process is not None


def test_pppd_shows_why_it_was_refused(site: SampleSite, lab: Lab) -> None:
    done = uml.dial(
        lab.sub, "sub0", "carol", "x", "true", pppd_options="refuse-chap refuse-mschap-v2"
    )
    assert done.status == uml.AUTH_REFUSED, done.output
    assert "Please call us: your account is suspended" in done.output
    assert site.process is not None


def test_who_is_suspended_is_told_and_who_is_unknown_stays_out(site: SampleSite, lab: Lab) -> None:
    said = lab.ctl_json("test", "radius", "carol", "--password", "x")
    assert said["answer"] == "access-reject"
    (row,) = (r for r in said["attributes"] if r["attribute"] == "Reply-Message")
    assert row["value"] == "Please call us: your account is suspended"
    said = lab.ctl_json("test", "radius", "nobody", "--password", "x")
    assert said["answer"] == "access-reject"
    (server,) = (r for r in lab.ctl_json("show", "radius") if r["role"] == "authentication")
    assert (server["bad_replies"], server["timeouts"]) == (0, 0)  # rejects are signed, too
    assert site.process is not None


def test_radclient_changes_a_session_by_a_coa_request(site: SampleSite, lab: Lab) -> None:
    with lab.subscriber("alice", "alice-secret"):
        who = 'User-Name = "alice"'
        done = site.radclient("coa", who, 'Bng-Rate-Down = "3M"', 'Filter-Id = "no-mail.out"')
        assert "Received CoA-ACK" in done
        shown = lab.ctl_json("show", "session", "alice")
        found = sources(lab, "alice")
        done = site.radclient("coa", who, 'Filter-Id = "nothing"', 'Bng-Rate-Down = "4M"')
        assert "Received CoA-NAK" in done
        assert "Error-Cause = Invalid-Attribute-Value" in done
        assert sources(lab, "alice") == found
    assert shown["policer_down"]["cir_bps"] == 3_000_000
    assert found["rate_down"][1].endswith(": Bng-Rate-Down")
    assert found["rate_down"][1].startswith("CoA of aaa1")
    assert found["acl_out"] == ("no-mail", found["acl_out"][1])
    assert found["acl_in"] == ("no-mail", "RADIUS server aaa1: Filter-Id")
    assert found["rate_up"][1] == "RADIUS server aaa1: Bng-Rate-Up"


def test_after_a_restart_of_bngd_each_value_has_its_source(site: SampleSite, lab: Lab) -> None:
    with lab.subscriber("alice", "alice-secret"):
        who = 'User-Name = "alice"'
        assert "CoA-ACK" in site.radclient("coa", who, 'Bng-Rate-Down = "3M"')
        before = sources(lab, "alice")
        lab.stop("bngd", signal.SIGKILL)
        lab.start_bngd()
        assert sources(lab, "alice") == before
        assert "CoA-ACK" in site.radclient("coa", who, 'Bng-Rate-Down = "4M"')
        (row,) = lab.sessions()
        assert "3 received" in run(lab.sub, "ping", "-c", "3", "-i", "0.2", SERVER).stdout
    stop = wait_for_record(site, row["id"], "Stop")
    assert (stop["Acct-Input-Packets"], stop["Class"]) == ("3", "0x676f6c64")
    assert before["rate_down"][1].startswith("CoA of aaa1")


def test_radclient_disconnects_pppd(site: SampleSite, lab: Lab) -> None:
    """The guest is Debian's pppd in User Mode Linux, whose port sub0 becomes."""
    with uml.dial_in_background(lab.sub, "sub0", "alice", "alice-secret", uml.UNTIL_GONE) as guest:
        guest.wait_for("IS-UP")
        (row,) = lab.sessions()
        done = site.radclient("disconnect", f"Framed-IP-Address = {row['address']}")
        assert "Received Disconnect-ACK" in done
        guest.wait_for("IS-GONE")
        log = guest.wait().output
    lab.wait_for_sessions(0)
    assert "rcvd [LCP TermReq" in log
    stop = wait_for_record(site, row["id"], "Stop")
    assert (stop["User-Name"], stop["Acct-Terminate-Cause"]) == ("alice", "Admin-Reset")
    done = site.radclient("disconnect", 'User-Name = "alice"')
    assert "Received Disconnect-NAK" in done
    assert "Error-Cause = Session-Context-Not-Found" in done


def test_while_the_server_is_away_who_was_there_gets_what_he_had(
    site: SampleSite, lab: Lab
) -> None:
    with lab.subscriber("alice", "alice-secret"):
        assert sources(lab, "alice")["acl_in"][1] == "RADIUS server aaa1: Filter-Id"
    lab.wait_for_sessions(0)
    site.stop()
    with lab.subscriber("alice", "alice-secret"):
        (row,) = lab.sessions()
        found = sources(lab, "alice")
    site.start()
    assert found["acl_in"][0] == "no-mail"
    assert re.fullmatch(r"last good answer, \d+ s old: Filter-Id", found["acl_in"][1])
    assert re.fullmatch(r"last good answer, \d+ s old: Class", found["classes"][1])
    assert found["ipv4_address"] == (row["address"], "pool cgnat")
    for status in ("Start", "Stop"):
        record = wait_for_record(site, row["id"], status, timeout_s=30)
        assert (record["Acct-Authentic"], record["Class"]) == ("Local", "0x676f6c64")


def test_users_of_the_file_are_accounted_for_as_such(tmp_path: Path, make_lab: MakeLab) -> None:
    """RFC 2866 §5.6; what RADIUS could say of them, the user file says."""
    roles = {"roles": ["accounting"]}
    servers = [{**server, **roles} for server in SAMPLE_OPTIONS["config"]["radius"]["server"]]
    local = make_lab(
        config={"radius": {"server": servers}},
        users={"alice": {"password": "wonder", "classes": ["gold"], "interim_interval_s": 60}},
    )
    with SampleSite(tmp_path / "raddb", local.inet) as server:
        with local.subscriber():
            (row,) = local.sessions()
            start = wait_for_record(server, row["id"], "Start", timeout_s=30)
            found = sources(local, "alice")
        stop = wait_for_record(server, row["id"], "Stop")
    assert found["classes"] == (["gold"], "user file")
    assert found["interim_interval_s"] == (60, "user file")
    for record in (start, stop):
        assert (record["Acct-Authentic"], record["Class"]) == ("Local", "0x676f6c64")
