"""The pcap driver: a capture goes in at a port, what leaves is a capture again."""

import struct
from pathlib import Path

import pytest
from scapy.layers.l2 import Ether
from scapy.layers.ppp import PPPoE, PPPoED
from scapy.utils import rdpcap

from .harness import CLIENT_MAC, dataplane

PCAP_MAC = "02:00:5e:00:01:00"  # of port 0
CLIENT = CLIENT_MAC.hex(":")
PADI = bytes(Ether(src=CLIENT, dst="ff:ff:ff:ff:ff:ff") / PPPoED(code=9) / b"\x01\x01\x00\x00")
UNKNOWN_SESSION = bytes(Ether(src=CLIENT, dst=PCAP_MAC) / PPPoE(sessionid=77) / b"\x00\x21data")


def capture(path: Path, frames: list[bytes], order: str = "<", magic: int = 0xA1B2C3D4) -> Path:
    """Write a classic pcap file of link type Ethernet."""
    data = struct.pack(f"{order}IHHIIII", magic, 2, 4, 0, 0, 65535, 1)
    for frame in frames:
        data += struct.pack(f"{order}IIII", 1, 2, len(frame), len(frame)) + frame
    path.write_bytes(data)
    return path


def args(*keys: str) -> tuple[str, ...]:
    return (
        "--hugepages=off",
        "--sessions=16",
        "--buffers=1024",
        "--port=" + ",".join(("name=acc0", "driver=pcap", "role=access", *keys)),
        "--access=port=acc0,outer=none,inner=none",
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D])
def test_frames_of_a_capture_are_received_in_order(tmp_path: Path, order: str, magic: int) -> None:
    frames = [PADI + bytes([i]) for i in range(20)]
    with dataplane(*args(f"in={capture(tmp_path / 'in', frames, order, magic)}")) as dp:
        dp.run()
        assert [p.data for p in dp.punts()] == [f[14:] for f in frames]
        assert dp.port(0).rx_packets == 20
        assert dp.port(0).rx_bytes == sum(map(len, frames))


def test_what_is_sent_is_a_capture_that_scapy_reads(tmp_path: Path) -> None:
    source = capture(tmp_path / "in", [UNKNOWN_SESSION])
    with dataplane(*args(f"in={source}", f"out={tmp_path / 'out'}")) as dp:
        dp.run()
        (padt,) = rdpcap(str(tmp_path / "out"))
    assert (padt.dst, padt[PPPoED].code, padt[PPPoED].sessionid) == (CLIENT, 0xA7, 77)


def test_a_capture_cut_short_gives_what_is_whole(tmp_path: Path) -> None:
    source = capture(tmp_path / "in", [PADI, PADI])
    source.write_bytes(source.read_bytes()[:-1])
    with dataplane(*args(f"in={source}")) as dp:
        dp.run()
        assert len(dp.punts()) == 1
        assert dp.port(0).rx_errors == 1


def test_a_frame_longer_than_a_buffer_is_passed_over(tmp_path: Path) -> None:
    source = capture(tmp_path / "in", [PADI, bytes(2049), PADI])
    with dataplane(*args(f"in={source}")) as dp:
        dp.run()
        assert len(dp.punts()) == 2
        assert dp.port(0).rx_errors == 1


@pytest.mark.parametrize("content", [b"", b"x" * 24, struct.pack("<IHHIIII", 0xA1B2C3D4, *[0] * 6)])
def test_what_is_no_ethernet_capture_stops_the_start(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "in").write_bytes(content)
    with pytest.raises(RuntimeError, match="no dataplane"), dataplane(*args(f"in={tmp_path}/in")):
        pass
    assert "event=port-failed port=acc0 driver=pcap" in capfd.readouterr().err
