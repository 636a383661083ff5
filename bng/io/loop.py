"""The event loop's side of the core: one reader, one `call_at`."""

import asyncio
import os
import time
from collections.abc import Callable

from bng.io.punt import Dispatcher
from dataplane.binding import Punt

GATHER_S = 0.001
"""After a packet, look again this much later before going to sleep: under load every look finds
many, and nobody has to wake bngd for each."""
RETRY_S = 0.002
"""When a command ring was full: how soon to try again."""
LATENESS_S = 0.0005
"""Timers this close are run at once."""


class CoreLoop:
    """Runs a `Dispatcher`; *on_lost* is called once when the dataplane is gone."""

    def __init__(self, dispatcher: Dispatcher, on_lost: Callable[[], None]) -> None:
        self.dispatcher = dispatcher
        self._dataplane = dispatcher.dataplane
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._scheduled = False
        self._settling = False
        self._stopped = False

    def now(self) -> float:
        """Return the time by which the core runs: CLOCK_MONOTONIC, as punts are stamped."""
        return time.monotonic()

    def start(self, fresh: list[Punt]) -> None:
        """Begin to wait for records; *fresh* are punts from before the attach."""
        self.dispatcher.punted(fresh, self.now())
        self._loop.add_reader(self._dataplane.event_fd, self._wake)
        self._loop.add_reader(self._dataplane.fileno(), self._lease_lost)
        self.settle()
        self._schedule()

    def stop(self) -> None:
        """Wait for nothing any more, and touch the dataplane no more."""
        self._stopped = True
        self._loop.remove_reader(self._dataplane.event_fd)
        self._loop.remove_reader(self._dataplane.fileno())
        if self._timer is not None:
            self._timer.cancel()

    def settle(self) -> None:
        """Carry out what the core decided and set the timer. After every event."""
        if self._stopped:
            return
        flushed = self.dispatcher.settle()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.dispatcher.next_deadline()
        if not flushed:
            retry = self.now() + RETRY_S
            due = retry if due is None else min(due, retry)
        if due is not None:
            self._timer = self._loop.call_at(due, self._expire)

    def settle_soon(self) -> None:
        """Settle once when all events that are there now have been taken."""
        if not self._settling:
            self._settling = True
            self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        self._settling = False
        self.settle()

    def _expire(self) -> None:
        try:
            self.dispatcher.tick(self.now() + LATENESS_S)
        finally:  # a defect, which the event loop reports, must not stop every other timer
            self.settle()

    def _wake(self) -> None:
        os.eventfd_read(self._dataplane.event_fd)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._process)

    def _process(self) -> None:
        """Take one batch from every ring; wait when there was none, else come back."""
        self._scheduled = False
        if self._stopped:
            return
        self._dataplane.awake()
        packets = self.dispatcher.process(self.now())
        self.settle()
        if packets:
            self._scheduled = True
            self._loop.call_later(GATHER_S, self._process)
        elif not self._dataplane.sleep():
            self._schedule()

    def _lease_lost(self) -> None:
        self._loop.remove_reader(self._dataplane.fileno())
        self._on_lost()
