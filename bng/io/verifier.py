"""Password checks that take long, in threads: the event loop serves packets meanwhile.

scrypt and PBKDF2 take milliseconds to seconds of CPU by design, and release the interpreter lock
while they compute. What is quick is answered at once.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from bng.aaa.local import LocalBackend
from bng.aaa.model import AccessAnswer, AccessReject, AccessRequest, Pending, RejectReason
from bng.aaa.users import Users

THREADS = 2
MAX_WAITING = 256
"""Checks that wait or run. One that comes on top is refused: its client would have given up."""


class Verifier:
    """A `bng.aaa.model.Backend` in front of the local one.

    *answered* is called in the event loop with each answer that came late.
    """

    def __init__(
        self, users: Users, answered: Callable[[AccessRequest, AccessAnswer], None]
    ) -> None:
        self._local = LocalBackend(users)
        self._answered = answered
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="verifier")
        self._stopped = False
        self._checks: dict[tuple[int, int], Future[AccessAnswer]] = {}
        self.waiting = 0
        self.counters = Counter(in_threads=0, refused_busy=0, cancelled=0)

    def replace(self, users: Users) -> None:
        """Take a new user file for what is asked from now on."""
        self._local = LocalBackend(users)

    def start(self, request: AccessRequest, now: float) -> AccessAnswer | Pending:
        """Answer *request* at once when that is quick, later when it is not."""
        if not self._local.is_slow(request):
            return self._local.start(request, now)
        if self.waiting >= MAX_WAITING or self._stopped:
            self.counters["refused_busy"] += 1
            return AccessReject(RejectReason.BUSY)
        self.waiting += 1
        self.counters["in_threads"] += 1
        check = self._checks[request.key] = self._pool.submit(self._local.start, request, now)
        asyncio.wrap_future(check).add_done_callback(partial(self._done, request))
        return Pending(request.acct_session_id, request.request_id)

    def cancel(self, key: tuple[int, int]) -> None:
        """Leave the check for the session *key* undone, unless it has begun."""
        check = self._checks.pop(key, None)
        if check is not None and check.cancel():
            self.counters["cancelled"] += 1

    def stop(self) -> None:
        """Answer nothing any more; what has not begun never will."""
        self._stopped = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, request: AccessRequest, check: asyncio.Future[AccessAnswer]) -> None:
        self.waiting -= 1
        if (last := self._checks.get(request.key)) is not None and last.done():
            del self._checks[request.key]
        if not self._stopped and not check.cancelled():
            self._answered(request, check.result())
