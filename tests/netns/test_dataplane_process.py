"""The process bng-dataplane by itself: start, stop, attach, wake-ups. No frame is sent.

test process ---- unix socket, arena ---- bng-dataplane, ports in memory (a namespace of its own)
"""

import os
import re
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dataplane import program
from dataplane.binding import COMMAND, INJECT, AttachError, CommandType, Dataplane, lib

_TIMEOUT_S = 20.0
_HOLDER = """
import sys, time
from dataplane.binding import Dataplane
dp = Dataplane.attach(sys.argv[1])
print("attached", flush=True)
time.sleep(60)
"""


class Process:
    """A bng-dataplane with two workers and one access port in memory."""

    def __init__(self, directory: Path, *args: str) -> None:
        self.socket = str(directory / "dataplane.sock")
        self._log = directory / "dataplane.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--net", str(program()), f"--socket={self.socket}", *args],
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + _TIMEOUT_S
        while text not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, f"no {text!r} in: {self.log}"
            time.sleep(0.01)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_TIMEOUT_S)

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    running = Process(
        tmp_path,
        "--hugepages=off",
        "--sessions=64",
        "--workers=-,-",
        "--port=name=acc0,driver=gen,role=access",
    )
    running.wait_for("event=ready")
    yield running
    if running.process.poll() is None:
        running.process.kill()
        running.process.wait()


def nop(cookie: int) -> bytes:
    return COMMAND.pack(CommandType.NOP, 0, 0, 0, 0, cookie, b"")


def wait_for_completion(dp: Dataplane, group: int) -> int:
    """Return the cookie of the next completion, sleeping as bngd does."""
    end = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < end:
        if done := dp.completions(group):
            dp.awake()
            return done[0].cookie
        if dp.sleep():
            select.select([dp.event_fd], [], [], _TIMEOUT_S)
            os.read(dp.event_fd, 8)
    raise AssertionError("no completion")


def test_sigterm_ends_it_cleanly(process: Process) -> None:
    assert Path(process.socket).exists()
    assert process.stop() == 0
    assert "event=stopped" in process.log
    assert not Path(process.socket).exists()


def test_a_second_bngd_is_refused_and_told_who_holds_the_lease(process: Process) -> None:
    first = Dataplane.attach(process.socket)
    with pytest.raises(AttachError, match=rf"\(pid {os.getpid()}\) holds the lease"):
        Dataplane.attach(process.socket)
    assert first.header.lease_pid == os.getpid()
    first.close()
    Dataplane.attach(process.socket).close()


def test_a_killed_bngd_loses_the_lease(process: Process) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, process.socket], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"attached\n"
        with pytest.raises(AttachError, match=rf"pid {holder.pid}"):
            Dataplane.attach(process.socket)
        holder.kill()
        holder.wait()
    after = Dataplane.attach(process.socket)
    assert after.header.lease_pid == os.getpid()
    after.close()


def test_ring_positions_are_resumed_by_the_next_bngd(process: Process) -> None:
    first = Dataplane.attach(process.socket)
    for cookie in (1, 2, 3):
        first.command(0, nop(cookie))
    first.flush()
    assert wait_for_completion(first, 0) == 1
    first.command(0, nop(4))
    first.flush()
    first.close()
    time.sleep(0.1)
    second = Dataplane.attach(process.socket)
    second.command(0, nop(5))
    second.flush()
    cookies: list[int] = []
    end = time.monotonic() + _TIMEOUT_S
    while (not cookies or cookies[-1] != 5) and time.monotonic() < end:
        cookies += [c.cookie for c in second.completions(0)]
    # What the first took in its last batch is gone with it; nothing comes twice or out of order.
    assert cookies == list(range(cookies[0], 6))
    assert 2 <= cookies[0] <= 4
    second.close()


@pytest.mark.parametrize("group", [0, 1, 2])
def test_every_group_answers_a_command(process: Process, group: int) -> None:
    dp = Dataplane.attach(process.socket)
    dp.command(group, nop(77))
    dp.flush()
    assert wait_for_completion(dp, group) == 77
    dp.close()


def latency_s(dp: Dataplane, *, kick: bool) -> float:
    time.sleep(0.005)  # asleep again: it spins for 50 us only
    start = time.monotonic()
    if kick:
        dp.command(0, nop(1))
        dp.flush()
    else:
        record = nop(1)

        assert lib.binding_push(dp._binding, 0, 0, record, len(record), 1) == 1
    wait_for_completion(dp, 0)
    return time.monotonic() - start


def test_a_command_wakes_a_sleeping_worker(process: Process) -> None:
    dp = Dataplane.attach(process.socket)
    woken = statistics.median(latency_s(dp, kick=True) for _ in range(51))
    left_alone = statistics.median(latency_s(dp, kick=False) for _ in range(51))
    print(f"command to completion: woken {woken * 1e6:.0f} us, left {left_alone * 1e6:.0f} us")
    assert woken < left_alone / 2
    dp.close()


def test_no_wake_up_is_lost_in_a_thousand(process: Process) -> None:
    dp = Dataplane.attach(process.socket)
    for cookie in range(1000):
        dp.command(cookie % 3, nop(cookie))
        dp.flush()
        assert wait_for_completion(dp, cookie % 3) == cookie
    dp.close()


def test_idle_workers_sleep_and_their_epochs_go_on(process: Process) -> None:
    dp = Dataplane.attach(process.socket)
    epochs = [dp.workers[w].epoch for w in range(2)]
    before = process.cpu_s()
    time.sleep(2)
    assert (process.cpu_s() - before) / 2 <= 0.03
    for worker in range(2):
        assert dp.workers[worker].epoch > epochs[worker]
    dp.close()


def test_a_worker_whose_answers_nobody_takes_sleeps_and_goes_on_later(process: Process) -> None:
    dp = Dataplane.attach(process.socket)
    pushed = 0
    while pushed < 25_000:  # a completion ring has room for 21,845
        record = nop(pushed)
        taken = lib.binding_push(dp._binding, 0, 0, record, len(record), 1)
        pushed += int(taken)
        if not taken:
            lib.binding_kick(dp._binding, 0)
            time.sleep(0.01)
    lib.binding_kick(dp._binding, 0)
    time.sleep(0.5)
    before = process.cpu_s()
    time.sleep(2)
    assert (process.cpu_s() - before) / 2 <= 0.1
    answered = [done.cookie for done in dp.completions(0)]
    assert len(answered) < pushed
    end = time.monotonic() + _TIMEOUT_S
    while len(answered) < pushed and time.monotonic() < end:
        answered += [done.cookie for done in dp.completions(0)]
    assert answered == list(range(pushed))
    dp.close()


def test_frames_sent_into_a_port_in_memory_are_gone(process: Process) -> None:
    dp = Dataplane.attach(process.socket)

    def resident() -> int:
        status = Path(f"/proc/{process.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]

    before = resident()
    record = INJECT.pack(1, 0, 0, 0, 0, 0, 0, 0, 0, bytes(6), 0, 0) + bytes(1400)
    for _ in range(20_000):
        for worker in range(2):
            while not lib.binding_push(dp._binding, worker, 3, record, len(record), 1):
                lib.binding_kick(dp._binding, worker)
                time.sleep(0.001)
            lib.binding_kick(dp._binding, worker)
    end = time.monotonic() + _TIMEOUT_S
    while sum(tx.packets for tx in dp.ports[0].tx) < 40_000 and time.monotonic() < end:
        time.sleep(0.01)
    assert [tx.packets for tx in dp.ports[0].tx][:2] == [20_000, 20_000]
    assert resident() - before < 20_000  # KiB, of 56 MB sent
    dp.close()


def test_access_ranges_are_replaced_while_workers_run(process: Process) -> None:
    dp = Dataplane.attach(process.socket)
    ranges = b"".join(i.to_bytes(2, "little") * 2 + bytes(4) for i in range(1, 4))
    head = COMMAND.pack(CommandType.ACCESS_SET, 0, 0, 0, 0, 9, bytes([0] * 4 + [3, 0, 0, 0]))
    dp.command(2, head + ranges)
    dp.flush()
    assert wait_for_completion(dp, 2) == 9
    assert dp.ports[0].n_access_ranges == 3
    dp.close()


def test_too_little_memory_is_an_error_at_start(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    script = f"mount -t tmpfs -o size=1m none {small} && exec {program()} "
    script += f"--hugepages=off --arena-dir={small} --socket={tmp_path}/s"
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", script],
        capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.search(r"event=arena-failed bytes=\d{8,} .*No space left", done.stderr)


def test_check_prints_the_sizes_and_allocates_nothing() -> None:
    done = subprocess.run(
        [program(), "--check", "--sessions=1000000"], capture_output=True, text=True, check=True
    )
    lines = dict(re.findall(r"^section=(\S+) .*bytes=(\d+)$", done.stdout, re.MULTILINE))
    total = int(re.search(r"^total=(\d+)", done.stdout, re.MULTILINE)[1])  # type: ignore[index]
    assert int(lines["session-in"]) == 64_000_000
    assert sum(map(int, lines.values())) <= total <= sum(map(int, lines.values())) + 4096 * 30


def test_every_outer_vid_of_every_access_port_has_room_for_a_domain() -> None:
    ports = [f"--port=name=acc{i},driver=gen,role=access" for i in range(3)]
    done = subprocess.run(
        [program(), "--check", *ports], capture_output=True, text=True, check=True
    )
    assert re.search(r"^section=domain count=12288 ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--port=name=a,role=access,mtu=9x"], "--port mtu 9x: not a number in 68..1920"),
        (["--port=name=a"], "--port a: needs name= and role="),
        (["--port=name=a,role=core"], "--port role core: neither access nor routed"),
        (["--port=name=a,role=access", "--port=name=a,role=access"], "--port a: name taken"),
        (["--port=name=a,role=access,tap=b"], "--port tap b: only a routed port has a TAP"),
        (["--port=name=a,role=access,worker=1"], "--port a: worker= names no worker"),
        (["--access=port=x,outer=any"], "--access port x: no such port before it"),
        (
            ["--port=name=a,role=access", "--access=port=a,outer=9-8"],
            "--access outer 9-8: VIDs are 1..4094, lowest first",
        ),
        *(
            (["--port=name=a,role=access", f"--access=port=a,outer={value}"], text)
            for value, text in (
                ("4294967297", "--access outer 4294967297: not a number in 1..4094"),
                ("7-4294967304", "--access outer 4294967304: not a number in 1..4094"),
                ("18446744073709551617", "--access outer 18446744073709551617: not LO-HI"),
                ("-7", "--access outer : not a number in 1..4094"),
                ("7-", "--access outer : not a number in 1..4094"),
                (" 7", "--access outer  7: not a number in 1..4094"),
                ("+7", "--access outer +7: not a number in 1..4094"),
                ("4095", "--access outer 4095: not a number in 1..4094"),
            )
        ),
        (["--nat-address=203.0.113"], "--nat-address 203.0.113: not an IPv4 address"),
        (["--nat-block-size=100"], "--nat-block-size 100: not a power of two"),
        (
            ["--nat-timeout=dns=5"],
            "--nat-timeout dns: not udp, tcp, tcp-trans, tcp-closing, icmp or protocol",
        ),
        (["--nat-timeout=udp=119"], "--nat-timeout udp 119: not a number in 120..86400"),
        (["--nat-timeout=tcp=7439"], "--nat-timeout tcp 7439: not a number in 7440..86400"),
        (
            ["--nat-timeout=tcp-trans=239"],
            "--nat-timeout tcp-trans 239: not a number in 240..86400",
        ),
        (["--nat-timeout=icmp=59"], "--nat-timeout icmp 59: not a number in 60..86400"),
        (
            ["--nat-block-size=4096", "--nat-port-min=61441"],
            "--nat-port-min 61441: leaves no block of 4096 ports",
        ),
        (["--workers=0,x"], "--workers x: not a number"),
        (["--hugepages=maybe"], "--hugepages maybe: not auto, on or off"),
        (["--sessions=-1"], "--sessions -1: not a number"),
        (["stray"], "stray: no such argument"),
        (["--no-such"], "unrecognized option"),
    ],
)
def test_wrong_usage_names_the_option_and_its_value(args: list[str], text: str) -> None:
    done = subprocess.run([program(), *args], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert text in done.stderr
