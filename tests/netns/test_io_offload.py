"""Unfinished checksums, GSO blocks and stripped VLAN tags of a veth become whole frames.

+--------+   +-----------------------+   +--------+
| a    e |---| wan0  dataplane  wan1 |---| e    b |   offloads as veth has them
+--------+   | bng-wan0     bng-wan1 |   +--------+
             +-----------------------+
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane.binding import Punt
from tests.support.netns import inside
from tests.support.router_lab import BOX_A, HOST_B, WAN0, RouterLab, until
from tests.support.tshark import Capture, complaints, count

LONGEST_FRAME = 1514
SOL_UDP, UDP_SEGMENT = 17, 103
PACED = ("--bytes", "4M", "--bitrate", "40M")  # in blocks all the same, and captures stay small


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RouterLab]:
    with RouterLab(f"ioo{os.getpid()}", tmp_path) as lab:
        lab.start()
        lab.meet()
        yield lab


def iperf(lab: RouterLab, server_side: str, address: str, *words: str) -> None:
    server = ("iperf3", "--server", "--forceflush")
    with lab.background(server_side, *server, ready="listening"):
        lab.run("a", "iperf3", "--client", address, *PACED, *words)


def test_tcp_blocks_of_a_veth_host_arrive_as_frames_with_right_checksums(
    lab: RouterLab, tmp_path: Path
) -> None:
    with (
        Capture(lab.netns("a"), "e", tmp_path / "a.pcap") as sent,
        Capture(lab.netns("b"), "e", tmp_path / "b.pcap") as received,
    ):
        iperf(lab, "b", HOST_B)
    too_long = f"frame.len > {LONGEST_FRAME}"
    assert count(sent.path, too_long) > 10, "the host sent no blocks: the test shows nothing"
    ours = lab.mac("bng", "wan1")
    assert count(received.path, f"eth.src == {ours} && tcp.len > 0") > 1000
    assert count(received.path, f"eth.src == {ours} && {too_long}") == 0
    assert complaints(received.path, ours) == []
    assert int(lab.arena.ports[WAN0].rx_errors) == 0


def test_tcp_the_other_way_round_is_whole_too(lab: RouterLab, tmp_path: Path) -> None:
    with Capture(lab.netns("a"), "e", tmp_path / "a.pcap") as received:
        iperf(lab, "b", HOST_B, "--reverse")
    ours = lab.mac("bng", "wan0")
    assert count(received.path, f"eth.src == {ours} && tcp.len > 0") > 1000
    assert complaints(received.path, ours) == []


def test_tcp_to_the_box_itself_goes_both_ways(lab: RouterLab, tmp_path: Path) -> None:
    with Capture(lab.netns("a"), "e", tmp_path / "a.pcap") as received:
        iperf(lab, "bng", BOX_A)
        iperf(lab, "bng", BOX_A, "--reverse")
    ours = lab.mac("bng", "wan0")
    assert count(received.path, f"eth.src == {ours} && tcp.len > 0") > 1000
    assert complaints(received.path, ours) == []


def test_tcp_over_ipv6_is_cut_up_too(lab: RouterLab, tmp_path: Path) -> None:
    lab.ip("bng", "addr add fd00:9::1/64 dev bng-wan0 nodad")
    lab.ip("a", "addr add fd00:9::2/64 dev e nodad")
    with Capture(lab.netns("bng"), "bng-wan0", tmp_path / "tap.pcap") as received:
        iperf(lab, "bng", "fd00:9::1")
    theirs = lab.mac("a", "e")
    assert count(received.path, f"eth.src == {theirs} && ipv6 && tcp.len > 0") > 1000
    assert count(received.path, f"frame.len > {LONGEST_FRAME}") == 0
    assert complaints(received.path, theirs) == []


def test_a_block_of_udp_datagrams_arrives_one_by_one(lab: RouterLab, tmp_path: Path) -> None:
    block = bytes(range(256)) * 16  # 4 of 1000 bytes and one of 96
    with inside(lab.netns("b")):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with inside(lab.netns("a")):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver, sender, Capture(lab.netns("b"), "e", tmp_path / "b.pcap") as seen:
        receiver.bind((HOST_B, 4000))
        receiver.settimeout(5)
        sender.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
        sender.sendto(block, (HOST_B, 4000))
        got = [receiver.recv(5000) for _ in range(5)]
    assert [len(datagram) for datagram in got] == [1000, 1000, 1000, 1000, 96]
    assert b"".join(got) == block
    assert complaints(seen.path, lab.mac("bng", "wan1")) == []


PADI = bytes.fromhex("1109000000080101000001030000")
TAGS = {
    "8021q": (0x8100, 5, 0, 0),
    "8021ad-8021q": (0x88A8, 5, 0x8100, 6),
    "9100-8021q": (0x9100, 5, 0x8100, 6),
    "8021q-8021q": (0x8100, 5, 0x8100, 6),
    "untagged": (0, 0, 0, 0),
}


@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
def test_the_tags_of_a_frame_are_those_that_were_sent(
    tmp_path: Path, tags: tuple[int, int, int, int]
) -> None:
    ports = (
        "--port=name=wan0,if=wan0,driver=af_packet,role=access,mtu=1508",
        *("--access=port=wan0,outer=none,inner=none", "--access=port=wan0,outer=any,inner=none"),
        "--access=port=wan0,outer=any,inner=any",
    )
    with RouterLab(f"iot{os.getpid()}", tmp_path, ports) as lab:
        lab.start(addresses=False)
        outer_tpid, outer_vid, inner_tpid, inner_vid = tags
        frame = b"\xff" * 6 + bytes.fromhex("02000000a001")
        for tpid, vid in ((outer_tpid, outer_vid), (inner_tpid, inner_vid)):
            frame += tpid.to_bytes(2, "big") + vid.to_bytes(2, "big") if tpid else b""
        frame += b"\x88\x63" + PADI
        with inside(lab.netns("a")):
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            with sender:
                sender.bind(("e", 0))
                punts: list[Punt] = []
                lab.arena.discard_stale_punts(0)
                sender.send(frame)
        until(lambda: punts or punts.__iadd__(lab.arena.punts(0)), "the PADI is punted")
        assert len(punts) == 1
        got = punts[0]
        assert (got.outer_tpid, got.outer_vid, got.inner_tpid, got.inner_vid) == tags
        assert got.source.hex() == "02000000a001"
        assert got.data == PADI
