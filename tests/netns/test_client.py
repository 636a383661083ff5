"""Our own client against a stub server: what the tests of the BNG rely on, tested itself.

c0 (load client, C traffic program) ---- s0 (stub server: believes everybody, returns UDP)
"""

import ipaddress
from pathlib import Path

import pytest

from tests.netns.conftest import StubPair
from tests.support.client.layer import Phase
from tests.support.client.load import LoadClient
from tests.support.traffic import Blaster
from tests.support.tshark import Capture, complaints, count


def test_a_thousand_dials_at_500_a_second_all_open_in_time(stub: StubPair) -> None:
    client = LoadClient("c0", 1000, 500, netns=stub.client)
    result = client.run(timeout_s=30)
    assert (result.opened, result.failures, result.malformed) == (1000, {}, 0)
    assert 1.9 < result.seconds < 4
    assert {str(s.address) for s in client.subscribers[:2]} == {"10.0.0.0", "10.0.0.1"}
    print(f"{result.cpu_s / result.opened * 1e6:.0f} us of client CPU per session")
    client.terminate_all("terminate")
    assert all(s.phase == Phase.IDLE for s in client.subscribers)
    assert client.result().lost == {"terminated": 1000}
    client.close()


@pytest.mark.parametrize("vlan", [None, "7", "100.{c}"])
def test_numbered_packets_come_back_once_each(stub: StubPair, vlan: str | None) -> None:
    client = LoadClient("c0", 50, 1000, netns=stub.client, vlan=vlan)
    assert client.run(timeout_s=10).opened == 50
    traffic = client.send_traffic(2000, 1, server="192.0.2.2")
    assert traffic.sent > 1900
    assert (traffic.lost, traffic.duplicated, traffic.misdelivered) == (0, 0, 0)
    assert client.result().wrong_vlan == 0
    client.close()


def test_a_lost_packet_and_a_dead_server_are_seen(stub: StubPair) -> None:
    client = LoadClient("c0", 5, 1000, netns=stub.client)
    assert client.run(timeout_s=10).opened == 5
    spoofed = client.send_traffic(
        500, 0.2, senders=2, spoof=lambda _: ipaddress.IPv4Address("203.0.113.9")
    )
    assert (spoofed.returned, spoofed.misdelivered) == (0, spoofed.sent)
    stub.down()
    assert client.send_traffic(500, 0.2).lost > 0
    client.close()


def test_frames_of_the_client_are_well_formed_to_tshark(stub: StubPair, tmp_path: Path) -> None:
    with Capture(stub.server, "s0", tmp_path / "c.pcap") as capture:
        client = LoadClient("c0", 3, 1000, netns=stub.client, vlan="100.7")
        assert client.run(timeout_s=10).opened == 3
        assert client.send_traffic(300, 0.5).lost == 0
        client.terminate_all("terminate")
        client.close()
    for subscriber in client.subscribers:
        assert complaints(capture.path, subscriber.mac.hex(":")) == []
    assert count(capture.path, "ieee8021ad.id == 100 && vlan.id == 7 && pppoe.code == 0x09") == 3
    assert count(capture.path, "udp.dstport == 7007") > 100


def test_tshark_finds_a_planted_wrong_checksum_and_a_cut_packet(
    stub: StubPair, tmp_path: Path
) -> None:
    with Capture(stub.server, "s0", tmp_path / "c.pcap") as capture:
        client = LoadClient("c0", 1, 1000, netns=stub.client)
        assert client.run(timeout_s=10).opened == 1
        head = client.subscribers[0].head
        udp = bytes.fromhex("450000200000400040110000640000010a0000020001000200 0c 1234 61626364")
        client.port.send(head + b"\0\x22\0\x21" + udp)
        client.port.send(head + b"\0\x06\xc0\x21\x01\x01\0\x40")
        client.close()
    mac = client.subscribers[0].mac.hex(":")
    assert len(complaints(capture.path, mac)) == 2


def test_the_c_program_carries_20000_packets_a_second_of_exported_sessions(
    stub: StubPair, tmp_path: Path
) -> None:
    client = LoadClient("c0", 20, 1000, netns=stub.client, control_only=True)
    assert client.run(timeout_s=10).opened == 20
    sessions = tmp_path / "sessions"
    assert client.export(sessions) == 20
    with Blaster(stub.client, "c0", sessions, "192.0.2.2", pps=20_000, seconds=2) as blaster:
        while blaster.running():
            client.serve(0.1)
        tally = blaster.wait()
    client.close()
    assert tally.sent == pytest.approx(40_000, rel=0.01)
    assert (tally.lost, tally.duplicated, tally.misdelivered, tally.bad_checksum) == (0, 0, 0, 0)
