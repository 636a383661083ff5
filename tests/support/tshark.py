"""Captures in a namespace, and tshark as a judge who has not read our code."""

import re
import signal
import subprocess
import time
from pathlib import Path

from tests.support.netns import command

_CHECKS = ("ip", "tcp", "udp")
_BAD = (
    "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0"
    " || udp.checksum.status == 0 || icmp.checksum.status == 0 || icmpv6.checksum.status == 0"
)

_NONE_DROPPED = re.compile(r"received/dropped on .*: \d+/0 \(pcap:0/dumpcap:0/flushed:0/")


class Capture:
    """Records all frames on one interface into a file, from entry to exit of the block.

    dumpcap and not tcpdump: it flushes what it has several times a second without asking libpcap
    for immediate mode, whose ring has a slot of the longest GSO block for each frame: 64 MiB of it
    are full with 250 frames.
    """

    def __init__(self, netns: str, interface: str, path: Path, *filter_words: str) -> None:
        self.path = path
        argv = ["dumpcap", "-q", "-P", "-B", "64", "-i", interface, "-w", str(path)]
        argv += ["-f", " ".join(filter_words)]
        self._process = subprocess.Popen(
            command(netns, argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stderr is not None
        lines = [self._process.stderr.readline() for _ in ("Capturing on", "File")]
        assert lines[1].startswith("File: "), f"dumpcap did not start: {lines}"

    def __enter__(self) -> "Capture":
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep(0.5)  # what is on its way to dumpcap still counts
        self._process.send_signal(signal.SIGINT)
        try:
            _, messages = self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        assert _NONE_DROPPED.search(messages), messages


def fields(path: Path, display_filter: str, *names: str) -> list[list[str]]:
    """Return the *names*d fields of each packet that *display_filter* takes."""
    argv = ["tshark", "-n", "-r", str(path), "-Y", display_filter, "-T", "fields"]
    argv += [word for name in names for word in ("-e", name)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def count(path: Path, display_filter: str) -> int:
    """Count the packets that *display_filter* takes."""
    return len(fields(path, display_filter, "frame.number"))


def complaints(path: Path, source: str) -> list[str]:
    """List the packets with the Ethernet source *source* that tshark calls malformed or wrong.

    Checksums of IPv4, TCP, UDP, ICMP and ICMPv6 are verified. Capture on the receiving side of a
    veth: a host's own frames may leave with unfinished checksums, ours must not.
    """
    argv = ["tshark", "-n", "-r", str(path), "-Y", f"eth.src == {source} && ({_BAD})"]
    for protocol in _CHECKS:
        argv += ["-o", f"{protocol}.check_checksum:TRUE"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
