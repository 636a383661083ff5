"""Debian's pppd behind VLAN tags: 802.1Q and QinQ (802.1ad over 802.1Q).

guest: pppd on vec0.v (7) on vec0.o (100)      PREFIX-bng                 PREFIX-inet
+------------------------+    +------+    +---------------------+    +-------------------+
| ppp0   vec0 (tap) -----|----| sub0 |----| acc0           wan0 |----| inet0 192.0.2.2   |
+------------------------+    +--^---+    +---------------------+    +-------------------+
  User Mode Linux             capture
"""

from pathlib import Path

import pytest

from tests.netns.conftest import MakeLab, interface_mac
from tests.support import uml
from tests.support.lab import PAGE, SERVER, Lab
from tests.support.tshark import Capture, complaints, count

_QINQ = "ieee8021ad.id == 100 && vlan.id == 7"
_DOT1Q = "!ieee8021ad && vlan.id == 7"
_PRIORITY = {"7": "vlan.priority == 6", "100.7": "ieee8021ad.priority == 6"}
"""802.1p of what the box itself says: port.p_bit, 6 by default. Data has none."""
_DO = f"ping -c 3 -i 0.2 {SERVER} && ping -c 1 -M do -s 1464 {SERVER} && curl -fsS http://{SERVER}/"


@pytest.mark.parametrize(("vlan", "tags"), [("7", _DOT1Q), ("100.7", _QINQ)])
def test_pppd_dials_and_works_behind_tags_and_every_answer_has_them(
    lab: Lab, tmp_path: Path, vlan: str, tags: str
) -> None:
    with Capture(lab.sub, "sub0", tmp_path / "c.pcap") as capture:
        done = uml.dial(lab.sub, "sub0", "alice", "wonder", _DO, vlan=vlan)
        assert done.status == 0, done.output
        assert PAGE in done.output
        lab.wait_for_sessions(0)
    mac = interface_mac(lab.bng, "acc0")
    ours = f"eth.src == {mac} && (pppoed || pppoes)"
    assert count(capture.path, ours) > 10
    assert count(capture.path, f"{ours} && !({tags})") == 0
    control = f"eth.src == {mac} && (pppoed || lcp || chap || ipcp || ipv6cp)"
    assert count(capture.path, control) > 10
    assert count(capture.path, f"{control} && !({_PRIORITY[vlan]})") == 0
    assert count(capture.path, f"eth.src == {mac} && pppoes && ip && ({_PRIORITY[vlan]})") == 0
    assert complaints(capture.path, mac) == []


@pytest.mark.parametrize("vlan", ["200", "100.8"])
def test_discovery_outside_the_access_rules_is_not_answered(
    make_lab: MakeLab, vlan: str, tmp_path: Path
) -> None:
    rules = [{"outer": "7", "inner": "none"}, {"outer": "100", "inner": "7"}]
    lab = make_lab()
    lab.config["port"][0]["access"] = rules
    lab.write_config()
    lab.ctl("reload")
    with Capture(lab.sub, "sub0", tmp_path / "c.pcap", "vlan") as capture:
        refused = uml.dial(lab.sub, "sub0", "alice", "wonder", "true", vlan=vlan, wait_s=4)
        assert refused.status == uml.NOT_UP, refused.output
    mac = interface_mac(lab.bng, "acc0")
    assert count(capture.path, f"eth.src != {mac} && pppoe.code == 0x09") >= 1
    assert count(capture.path, f"eth.src == {mac}") == 0
    event = lab.dial("alice", "wonder", "--vlan", "100.7")
    assert event["address"] != "0.0.0.0"
