"""The driver af_xdp on veths: what it refuses, what it leaves, and a whole BNG on it.

+--------+   +-----------------------+   +--------+
| a    e |---| wan0  dataplane  wan1 |---| e    b |   ip_forward=1 in the middle
+--------+   | bng-wan0     bng-wan1 |   +--------+
             +-----------------------+

What both drivers have in common is in test_io_kernel.py. A veth leaves checksums and VLAN tags to
its peer, where XDP sees them undone: both ends' offloads are turned off, or the port refuses.
"""

import ctypes
import mmap
import os
import re
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns.conftest import MakeLab, interface_mac
from tests.support.control_frames import CONTROL_FRAMES, DATA_FRAMES
from tests.support.lab import PAGE, ROOT, SERVER, Lab, default_config
from tests.support.netns import inside, offloads_off, run
from tests.support.router_lab import (
    BOX_A,
    HOST_B,
    ROUTED_PORTS,
    WAN0,
    XDP_PORTS,
    RouterLab,
    until,
)
from tests.support.tshark import Capture, complaints, count

TAG = b"\x81\x00\x00\x05"
SOL_XDP, XDP_RX_RING, XDP_TX_RING = 283, 2, 3
XDP_UMEM_REG, XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING = 4, 5, 6


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RouterLab]:
    with RouterLab(f"iox{os.getpid()}", tmp_path, XDP_PORTS) as lab:
        offloads_off(lab.netns("a"), "e")
        offloads_off(lab.netns("b"), "e")
        yield lab


def _program(lab: RouterLab, port: str = "wan0") -> str:
    """Return what ip-link says of the XDP program of *port*, empty when there is none."""
    shown = lab.run("bng", "ip", "-d", "link", "show", port).stdout
    found = re.search(r"prog/xdp id \d+ name (\w+)", shown)
    return found[1] if found else ""


def test_the_program_is_there_while_the_port_is_open_and_gone_after_a_clean_end(
    lab: RouterLab,
) -> None:
    lab.start()
    assert _program(lab) == "bng_port"
    assert "event=af-xdp port=wan0 mode=native copy=yes queues=1" in lab.log.read_text()
    assert lab.stop() == 0
    assert _program(lab) == ""


def test_a_killed_process_leaves_the_program_which_the_next_one_replaces(lab: RouterLab) -> None:
    lab.start()
    lab.stop(signal.SIGKILL)
    assert _program(lab) == "bng_port"
    before = lab.kernel_counter("IpInReceives")
    assert not lab.ping("a", HOST_B)
    assert lab.kernel_counter("IpInReceives") == before, "the kernel saw frames of the port"
    lab.start()
    lab.meet()
    assert lab.ping("a", HOST_B)


def test_few_capabilities_are_enough_also_after_a_crash(lab: RouterLab) -> None:
    unit = (ROOT / "packaging/systemd/bng-dataplane.service").read_text()
    found = re.search(r"^CapabilityBoundingSet=(.+)$", unit, re.MULTILINE)
    assert found and "CAP_SYS_ADMIN" not in found[1]
    keep = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in found[1].split())
    lab.wrapper = ("setpriv", "--bounding-set", f"-all,{keep}")
    lab.start()
    lab.stop(signal.SIGKILL)
    assert _program(lab) == "bng_port"
    lab.start()
    lab.meet()
    assert lab.ping("a", HOST_B)


def test_af_packet_takes_the_program_away_that_a_crash_left(lab: RouterLab) -> None:
    lab.start()
    lab.stop(signal.SIGKILL)
    lab.ports = ROUTED_PORTS
    lab.start()
    assert _program(lab) == ""
    assert lab.ping("a", BOX_A)


def test_af_xdp_has_an_ingress_drop_where_control_passes_and_takes_it_away(lab: RouterLab) -> None:
    lab.ports = ROUTED_PORTS
    lab.start()
    lab.stop(signal.SIGKILL)
    assert "bng-wan0" in lab.run("bng", "nft", "list", "tables").stdout
    access = XDP_PORTS[0].replace("role=routed", "role=access").replace(",tap=bng-wan0", "")
    lab.ports = (access, XDP_PORTS[1])
    lab.start(addresses=False)
    assert lab.run("bng", "nft", "list", "tables").stdout.split() == ["table", "netdev", "bng-wan1"]
    lab.stop()
    assert lab.run("bng", "nft", "list", "tables").stdout == ""


@pytest.fixture(scope="module")
def passes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], int]:
    """Return what says whether the program of a routed port passes a frame to the kernel."""
    out, dataplane = tmp_path_factory.mktemp("xdp") / "xdp.so", ROOT / "dataplane"
    sources = (dataplane / "src/io/xdp_insns.c", ROOT / "tests/support/c/xdp_shim.c")
    argv = ["cc", "-g", "-shared", "-fPIC", "-Wall", "-Werror", "-o", out, *sources]
    argv += ["-I", dataplane / "include", "-I", dataplane / "src", "-lbpf"]
    subprocess.run(argv, check=True)
    library = ctypes.CDLL(str(out), use_errno=True)
    program = library.shim_load()
    assert program >= 0, program
    return lambda frame: int(library.shim_passes(program, frame, len(frame)))


def test_the_program_passes_control_frames_and_no_others(passes: Callable[[bytes], int]) -> None:
    for name, frame in CONTROL_FRAMES.items():
        assert passes(frame) == 1, name
    data = DATA_FRAMES | {"three tags": DATA_FRAMES["three tags"].replace(TAG, TAG * 2, 1)}
    for name, frame in data.items():
        assert [passes(frame[:end]) for end in range(14, len(frame) + 1)].count(1) == 0, name


def test_control_frames_have_a_queue_of_their_own(lab: RouterLab) -> None:
    lab.start()
    lab.meet()
    assert lab.ping("a", HOST_B, "-c", "5", "-i", "0.05")
    ports = lab.arena.ports
    got = int(ports[WAN0].tx[0].control_received)
    assert 0 < got < int(ports[WAN0].rx_packets)
    assert int(ports[WAN0].tx[0].control_packets) > 0
    lab.run("a", "ip", "neigh", "flush", "all")
    assert lab.ping("a", BOX_A)
    until(lambda: int(ports[WAN0].tx[0].control_received) > got, "ARP came by the ring")
    assert int(ports[WAN0].tx[0].control_lost) == 0


def test_generic_mode_forwards_too_and_replaces_a_native_program(lab: RouterLab) -> None:
    lab.start()
    lab.stop(signal.SIGKILL)
    lab.ports = tuple(f"{port},mode=generic" for port in XDP_PORTS)
    lab.start()
    assert "event=af-xdp port=wan1 mode=generic" in lab.log.read_text()
    lab.meet()
    assert lab.ping("a", HOST_B, "-c", "5", "-i", "0.05", "-s", "1472")


def test_busy_polling_forwards_too(lab: RouterLab) -> None:
    lab.ports = tuple(f"{port},busy-poll=50" for port in XDP_PORTS)
    lab.start()
    lab.meet()
    assert lab.ping("a", HOST_B, "-c", "20", "-i", "0.02")


def _refused(lab: RouterLab, pattern: str) -> None:
    assert lab.launch() not in (None, 0)
    lines = [line for line in lab.log.read_text().splitlines() if "port wan0" in line]
    assert len(lines) == 1 and re.search(pattern, lines[0]), lines
    assert _program(lab) == ""


def test_a_veth_is_refused_where_nobody_vouches_for_its_peer(lab: RouterLab) -> None:
    lab.ports = tuple(port.removesuffix(",peer-offloads=off") for port in XDP_PORTS)
    _refused(lab, r"VLAN tags and checksums.*ethtool -K PEER tx off txvlan off.*peer-offloads=off")


@pytest.mark.parametrize(
    ("option", "complaint"),
    [("mode=fast", "option mode"), ("busy-poll=0", "option busy-poll"), ("mtu=1910", "mtu")],
)
def test_a_value_that_cannot_work_is_refused_by_name(
    lab: RouterLab, option: str, complaint: str
) -> None:
    lab.ports = tuple(f"{port},{option}" for port in XDP_PORTS)
    _refused(lab, complaint)


def test_too_few_buffers_for_all_queues_are_refused(lab: RouterLab) -> None:
    lab.ports = ("--buffers=4096", *XDP_PORTS)
    _refused(lab, "needs more buffers")


def _occupy(netns: str, device: str, queue: int) -> tuple[socket.socket, Any]:
    """Bind an AF_XDP socket of our own to a queue; returns what must be kept alive."""
    area = mmap.mmap(-1, 16 * 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    with inside(netns):
        sock = socket.socket(44, socket.SOCK_RAW)  # AF_XDP
        index = socket.if_nametoindex(device)
    sock.setsockopt(SOL_XDP, XDP_UMEM_REG, struct.pack("QQIIII", address, 16 * 4096, 4096, 0, 0, 0))
    rings = (XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING)
    for ring in rings:
        sock.setsockopt(SOL_XDP, ring, struct.pack("I", 16))
    libc = ctypes.CDLL(None, use_errno=True)
    where = struct.pack("HHIII", 44, 0, index, queue, 0)
    assert libc.bind(sock.fileno(), where, len(where)) == 0, os.strerror(ctypes.get_errno())
    return sock, area


def test_a_port_whose_queue_is_taken_refuses_to_start(lab: RouterLab) -> None:
    sock, _area = _occupy(lab.netns("bng"), "wan0", 0)
    with sock:
        _refused(lab, r"queue 0 of 1 cannot be had.*busy")
    lab.start()


def test_all_queues_of_a_port_are_received_from(lab: RouterLab) -> None:
    for side, device in (("a", "e"), ("bng", "wan0")):
        lab.run(side, "ethtool", "-L", device, "rx", "2", "tx", "2")
    lab.start()
    assert "port=wan0 mode=native copy=yes queues=2" in lab.log.read_text()
    lab.meet()
    with inside(lab.netns("b")):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind((HOST_B, 9))
        receiver.settimeout(3)
    with inside(lab.netns("a")):
        senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)]
    for sender in senders:  # the flow chooses the queue
        sender.sendto(b"hello", (HOST_B, 9))
    with receiver:
        assert len({receiver.recvfrom(100)[1] for _ in senders}) == len(senders)
    for sender in senders:
        sender.close()


def test_somebody_elses_program_is_not_replaced(lab: RouterLab) -> None:
    source = lab.log.parent / "pass.c"
    source.write_text(
        '__attribute__((section("xdp"), used)) int other(void *c) { (void)c; return 2; }\n'
    )
    compiled = source.with_suffix(".o")
    run(None, "clang", "-O2", "-target", "bpf", "-c", str(source), "-o", str(compiled))
    lab.run("bng", "ip", "link", "set", "wan0", "xdp", "obj", str(compiled), "sec", "xdp")
    assert lab.launch() not in (None, 0)
    assert re.search(r"port wan0: wan0 XDP program: .*busy", lab.log.read_text())
    assert _program(lab) == "other"


def test_frames_longer_than_a_buffer_are_counted_and_do_no_harm(lab: RouterLab) -> None:
    lab.ports = tuple(f"{port},mode=generic" for port in XDP_PORTS)
    lab.start()
    lab.meet()
    for side, device in (("a", "e"), ("bng", "wan0")):
        lab.ip(side, f"link set {device} mtu 4000")
    assert not lab.ping("a", HOST_B, "-c", "1", "-s", "3000", "-M", "dont")
    until(lambda: int(lab.arena.ports[WAN0].rx_errors) == 1, "the long frame is counted")
    assert lab.ping("a", HOST_B)


def test_an_idle_worker_sleeps(lab: RouterLab) -> None:
    lab.start()
    lab.meet()
    assert lab.process is not None
    path = Path(f"/proc/{lab.process.pid}/stat")

    def ticks() -> int:
        words = path.read_text().rsplit(")", 1)[1].split()
        return int(words[11]) + int(words[12])

    before = ticks()
    time.sleep(2)
    spent_s = (ticks() - before) / os.sysconf("SC_CLK_TCK")
    assert spent_s <= 0.06, f"{spent_s / 2:.1%} of a core"


def test_what_a_busy_device_does_not_take_at_once_is_offered_again(
    lab: RouterLab, tmp_path: Path
) -> None:
    busy = tmp_path / "busy_device.so"
    source = ROOT / "tests" / "support" / "c" / "busy_device.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(busy), str(source)], check=True)
    lab.wrapper = ("env", f"LD_PRELOAD={busy}")
    lab.options = ("--workers=-,-",)  # two: who receives from a device sends to the other
    lab.ports = (lab.ports[0], f"{lab.ports[1]},worker=1")
    lab.start()
    lab.meet()
    assert lab.ping("a", HOST_B)


def _on_xdp(directory: Path) -> list[dict[str, Any]]:
    ports: list[dict[str, Any]] = default_config(directory)["port"]
    return [port | {"driver": "af_xdp", "options": {"peer-offloads": "off"}} for port in ports]


@pytest.fixture
def bng(make_lab: MakeLab, tmp_path: Path) -> Lab:
    lab = make_lab(config={"port": _on_xdp(tmp_path)})
    offloads_off(lab.sub, "sub0")
    offloads_off(lab.inet, "inet0")
    return lab


def test_a_subscriber_dials_pings_and_fetches_a_page(bng: Lab, tmp_path: Path) -> None:
    with (
        bng.subscriber(),
        Capture(bng.inet, "inet0", tmp_path / "inet.pcap") as outside,
        Capture(bng.sub, "sub0", tmp_path / "sub.pcap") as access,
    ):
        ping = run(bng.sub, "ping", "-c", "3", "-i", "0.2", "-W", "2", SERVER).stdout
        assert "3 received" in ping
        page = run(bng.sub, "curl", "-fsS", "-m", "5", f"http://{SERVER}/").stdout
        assert page == PAGE
    assert count(outside.path, "icmp.type == 8") == 3
    assert complaints(outside.path, interface_mac(bng.bng, "wan0")) == []
    assert complaints(access.path, interface_mac(bng.bng, "acc0")) == []


@pytest.mark.parametrize(
    ("vlan", "tagged"),
    [("7", "!ieee8021ad && vlan.id == 7"), ("100.7", "ieee8021ad.id == 100 && vlan.id == 7")],
)
def test_a_subscriber_in_vlan_tags_is_answered_in_the_same_ones(
    bng: Lab, tmp_path: Path, vlan: str, tagged: str
) -> None:
    with (
        Capture(bng.sub, "sub0", tmp_path / "sub.pcap") as access,
        bng.subscriber("alice", "wonder", "--vlan", vlan),
    ):
        page = run(bng.sub, "curl", "-fsS", "-m", "5", f"http://{SERVER}/").stdout
        assert page == PAGE
    mac = interface_mac(bng.bng, "acc0")
    assert count(access.path, f"eth.src == {mac} && {tagged}") > 5
    assert count(access.path, f"eth.src == {mac} && !({tagged})") == 0
