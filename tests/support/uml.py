"""Dial with Debian's pppd inside User Mode Linux (scripts in ``tests/support/uml``).

A dial boots a guest whose ``vec0`` is bridged to one veth end, dials, runs a shell command behind
ppp0, hangs up. Statuses: the command's own, 99 not up in time, 100+N pppd ended with N (119
authentication refused, 116 the server hung up, 108 no PADO), 124 out of time, 125 guest broken.
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

SCRIPTS = Path(__file__).parent / "uml"
NOT_UP, AUTH_REFUSED, HUNG_UP, NO_PADO, OUT_OF_TIME = 99, 119, 116, 108, 124

UNTIL_GONE = (
    "echo IS-UP; for _ in $(seq 300); do [ -e /sys/class/net/ppp0 ] || break; sleep 0.1; done;"
    " cat $PPPD_LOG; echo IS-GONE"
)
"""A command for a guest: it waits until the session is gone, and prints pppd's log."""


@dataclass(frozen=True, slots=True)
class Result:
    """Exit status and output of a dial."""

    status: int
    output: str


class Dial:
    """A dial in the background; its output grows while it lives."""

    def __init__(self, argv: list[str], limit_s: float) -> None:
        self._limit_s = limit_s
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        self._output = b""
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=write, stderr=write, start_new_session=True
        )
        os.close(write)

    def output(self) -> str:
        """Return what the guest has printed so far."""
        try:
            while chunk := os.read(self._read, 65536):
                self._output += chunk
        except BlockingIOError:
            pass
        return self._output.decode(errors="replace")

    def wait_for(self, text: str, timeout_s: float = 40) -> None:
        """Wait until the guest printed *text*. Raises: AssertionError when it does not."""
        end = time.monotonic() + timeout_s
        while text not in self.output():
            assert self._process.poll() is None, f"the guest ended before {text!r}: {self.output()}"
            assert time.monotonic() < end, f"no {text!r} in time: {self.output()}"
            time.sleep(0.05)

    def wait(self) -> Result:
        """Wait for the end of the guest."""
        end = time.monotonic() + self._limit_s + 15
        while self._process.poll() is None:
            if time.monotonic() > end:
                self.kill()
                raise AssertionError(f"the guest does not end: {self.output()}")
            self.output()
            time.sleep(0.02)
        text = self.output()
        os.close(self._read)
        return Result(self._process.returncode, text)

    def kill(self) -> None:
        """End the guest as if its power had failed; the script cleans its bridge up."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(20)

    def __enter__(self) -> "Dial":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Options(TypedDict, total=False):
    """How to dial.

    *vlan* is ``"7"`` (802.1Q) or ``"100.7"`` (802.1ad over 802.1Q); *want* says what must be up
    first: ``4`` an IPv4 address (unless told otherwise), ``6`` IPv6CP, within *wait_s*; all has to
    be over within *limit_s*.
    """

    pppd_options: str
    vlan: str
    want: str
    wait_s: int
    limit_s: int
    mac: str
    verbose: bool


def dial_in_background(
    netns: str, ifname: str, user: str, password: str, command: str, **options: Unpack[Options]
) -> Dial:
    """Boot a guest that dials and then runs the sh line *command*; see `dial` for the rest."""
    limit_s = options.get("limit_s", 90)
    argv = [str(SCRIPTS / "uml-client.sh"), "-n", netns, "-i", ifname, "-t", str(limit_s)]
    argv += ["-W", options.get("want", "4"), "-s", str(options.get("wait_s", 20))]
    argv += ["-v", options["vlan"]] if "vlan" in options else []
    argv += ["-a", options["mac"]] if "mac" in options else []
    argv += ["-V"] if options.get("verbose") else []
    return Dial([*argv, user, password, options.get("pppd_options", ""), command], limit_s)


def dial(
    netns: str, ifname: str, user: str, password: str, command: str, **options: Unpack[Options]
) -> Result:
    """Dial from *ifname* in *netns*, run the sh line *command* behind ppp0, hang up.

    The command finds pppd's process id in ``$PPPD_PID`` and its log in ``$PPPD_LOG``.
    """
    return dial_in_background(netns, ifname, user, password, command, **options).wait()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One of several dials of a guest; each has an Ethernet address of its own."""

    user: str
    password: str
    command: str = "true"
    pppd_options: str = ""


_NEXT = "=====NEXT===== "


def dial_each(
    netns: str, ifname: str, attempts: Sequence[Attempt], *, want: str = "4", limit_s: int = 180
) -> list[Result]:
    """Boot one guest and dial from it again and again; see `dial` for the rest."""
    lines = [f"export WANT={shlex.quote(want)} WAIT=20 VLAN= VERBOSE="]
    lines.append(
        "PATH=$PATH:$umljob  # the scripts are copied there: the guest has a /tmp of its own"
    )
    for number, attempt in enumerate(attempts):
        words = (attempt.user, attempt.password, attempt.pppd_options, attempt.command)
        lines += [
            "rm -f /run/pppd.log; ip link set vec0 down",
            f"ip link set vec0 address 02:00:5e:10:00:{number:02x}",
            f"guest-dial.sh {shlex.join(words)}; echo {_NEXT}$?",
        ]
    argv = [str(SCRIPTS / "uml-run.sh"), "-n", netns, "-i", ifname, "-t", str(limit_s), "--"]
    done = Dial([*argv, "\n".join(lines)], limit_s).wait()
    results, text = [], done.output.replace("\r", "")
    for _ in attempts:
        output, found, text = text.partition(_NEXT)
        assert found, done.output
        status, _, text = text.partition("\n")
        results.append(Result(int(status), output))
    return results
