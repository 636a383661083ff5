"""Dial one subscriber and put its session behind a TUN device, as pppd's ppp0 would be."""

import json
import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from types import FrameType

from tests.support.client.dialer import Dialer
from tests.support.client.ipv6 import Ipv6Host
from tests.support.client.layer import Phase, Profile
from tests.support.client.raw import PacketPort
from tests.support.client.subscriber import Subscriber
from tests.support.client.tun import Tun


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleOptions:
    """What the command line says."""

    interface: str
    user: str
    password: str
    tun: str
    tags: bytes
    persist: bool
    profile: Profile
    mac: bytes | None = None
    leave: str = "terminate"


class SingleClient:
    """One subscriber until SIGTERM; each event is one JSON line on standard output."""

    def __init__(self, options: SingleOptions) -> None:
        self._options = options
        self._port = PacketPort(options.interface, frames=1024)
        self._dialer = Dialer(self._port, self._from_session)
        self._tun = Tun(options.tun)
        self._redial_at: float | None = None
        self._asked_to_stop = self._done = False
        self._failure = ""
        self._subscriber = Subscriber(
            0,
            options.mac or b"\x02" + os.urandom(5),
            options.user,
            options.password,
            profile=options.profile,
            send=self._port.send,
            report=self._event,
            tags=options.tags,
        )
        self._dialer.add(self._subscriber)

    def run(self) -> int:
        """Relay until the session is over; the exit status is 1 when a dial failed."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        poll = select.poll()
        poll.register(self._port, select.POLLIN)
        poll.register(self._tun.fd, select.POLLIN)
        subscriber = self._subscriber
        self._dial()
        while not self._done:
            poll.poll(50)
            self._dialer.step(0)
            self._to_session()
            if self._asked_to_stop and subscriber.phase not in {Phase.IDLE, Phase.CLOSING}:
                subscriber.terminate(self._options.leave, time.monotonic())
                self._dialer.arm(subscriber)
            elif self._asked_to_stop and subscriber.phase == Phase.IDLE:
                self._done = True
            elif self._redial_at is not None and time.monotonic() >= self._redial_at:
                self._dial()
        self._tun.close()
        self._port.close()
        return 1 if self._failure else 0

    def _dial(self) -> None:
        self._redial_at = None
        self._failure = ""
        self._subscriber.start(time.monotonic())
        self._dialer.arm(self._subscriber)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._asked_to_stop = True

    def _event(self, subscriber: Subscriber, name: str, detail: str) -> None:
        line: dict[str, str | int | float] = {"event": name}
        host = subscriber.v6
        if name == "ipv6" and host is not None and host.address is not None:
            line |= {"address": str(host.address), "delegated": str(host.delegated)}
            self._configure_ipv6(host)
        elif name == "up":
            line |= {
                "address": detail,
                "session_id": subscriber.session_id,
                "ac_name": subscriber.ac_name,
                "ac_mac": subscriber.ac_mac.hex(":"),
                "mac": subscriber.mac.hex(":"),
                "auth": subscriber.auth,
                "seconds": round(subscriber.opened_at - subscriber.started_at, 4),
            }
            mtu = self._options.profile.mru
            self._tun.configure(subscriber.address, mtu, subscriber.interface_id)
            if host is not None:
                self._configure_ipv6(host)
        else:
            line["why"] = detail
        if name == "failed":
            self._failure = detail
        if name == "down":
            self._tun.down()
            if self._options.persist and not self._asked_to_stop:
                self._redial_at = time.monotonic() + 1.0
            else:
                self._done = True
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    def _configure_ipv6(self, host: Ipv6Host) -> None:
        """Set what is known of IPv6; that of IPv4, which starts afresh, may come later."""
        if host.complete and host.address is not None:
            self._tun.configure_ipv6(host.address, host.delegated)

    def _from_session(self, subscriber: Subscriber, packet: bytes) -> None:
        if subscriber.phase == Phase.UP:
            self._tun.write(packet)

    def _to_session(self) -> None:
        for _ in range(256):
            packet = self._tun.read()
            if packet is None:
                return
            if self._subscriber.phase == Phase.UP:
                protocol = b"\x00\x21" if packet[0] >> 4 == 4 else b"\x00\x57"
                self._subscriber.send_ppp(protocol + packet)
