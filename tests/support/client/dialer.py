"""The loop that drives subscribers over one raw port: frames in, timers, nothing else."""

import heapq
import math
import struct
import time
from collections.abc import Callable, Iterable

from tests.support.client.raw import PacketPort
from tests.support.client.subscriber import Subscriber
from tests.support.client.wire import ETH_DISCOVERY, ETH_SESSION, P_IPV6

_PPPOE = struct.Struct("!BBHH")
_VID_MASK = 0xFFFF0FFFFFFF0FFF


def _same_tags(seen: bytes, own: bytes) -> bool:
    """Compare VLAN tags by TPID and VLAN id; the priority may differ."""
    mask = _VID_MASK & (1 << 8 * len(own)) - 1
    return int.from_bytes(seen, "big") & mask == int.from_bytes(own, "big") & mask


class Dialer:
    """Subscribers by Ethernet address on one port.

    *on_data* gets (subscriber, IP packet) for each packet of a session that is up.
    """

    def __init__(self, port: PacketPort, on_data: Callable[[Subscriber, bytes], None]) -> None:
        self.port = port
        self.on_data = on_data
        self.now = time.monotonic()
        self.wrong_vlan = self.malformed = 0
        self._by_mac: dict[bytes, Subscriber] = {}
        self._heap: list[tuple[float, bytes]] = []

    def add(self, subscriber: Subscriber) -> None:
        """Take over one subscriber."""
        self._by_mac[subscriber.mac] = subscriber

    def subscribers(self) -> Iterable[Subscriber]:
        """Return all that were added."""
        return self._by_mac.values()

    def arm(self, subscriber: Subscriber) -> None:
        """Look at the subscriber's deadline; call it after everything that may change it."""
        deadline = subscriber.due
        if deadline is not None and deadline < subscriber.armed:
            subscriber.armed = deadline
            heapq.heappush(self._heap, (deadline, subscriber.mac))

    def step(self, timeout_s: float) -> None:
        """Take what has come, else sleep at most *timeout_s*; then run the timers."""
        self.now = time.monotonic()
        if not self.port.receive(self._handle, 128) and timeout_s > 0:
            if self._heap:
                timeout_s = min(timeout_s, self._heap[0][0] - self.now)
            self.port.wait(timeout_s)
        self.now = now = time.monotonic()
        heap = self._heap
        while heap and heap[0][0] <= now:
            due_at, mac = heapq.heappop(heap)
            subscriber = self._by_mac[mac]
            if subscriber.armed != due_at:
                continue
            subscriber.armed = math.inf
            due = subscriber.due
            if due is not None and due <= now:
                subscriber.tick(now)
            self.arm(subscriber)

    def _handle(self, frame: bytes) -> None:
        subscriber = self._by_mac.get(frame[:6])
        if subscriber is None:
            return
        tags = subscriber.tags
        at = 12 + len(tags)
        kind = frame[at : at + 2]
        if tags and not _same_tags(frame[12:at], tags):
            self.wrong_vlan += 1
            return
        try:
            _, code, session_id, length = _PPPOE.unpack_from(frame, at + 2)
            packet = frame[at + 8 : at + 8 + length]
            if len(packet) != length:
                raise ValueError("shorter than its PPPoE length")
            if kind == ETH_SESSION:
                if packet[:2] in (b"\0\x21", b"\0\x57"):
                    if session_id == subscriber.session_id:
                        self._data(subscriber, packet[1], packet[2:])
                    return
                subscriber.on_session(session_id, packet, self.now)
            elif kind == ETH_DISCOVERY:
                subscriber.on_discovery(frame[6:12], code, session_id, packet, self.now)
            else:
                self.wrong_vlan += 1
                return
        except (ValueError, IndexError, struct.error):
            self.malformed += 1
        self.arm(subscriber)

    def _data(self, subscriber: Subscriber, protocol: int, packet: bytes) -> None:
        if protocol == P_IPV6 and subscriber.on_ipv6(packet, self.now):
            self.arm(subscriber)
        else:
            self.on_data(subscriber, packet)
