"""How tests are shared out when there are several workers (``pytest -n 2``).

There are two queues. Tests in namespaces and benchmarks want the machine to themselves: packets at
full rate of which none may be lost, storms, deadlines of other people's programs. Only the first
worker takes them, one module at a time, for the tests of a module share a lab. All other tests are
for whoever is free, each a unit of its own, at the lowest priority: they only need their turn.
Long ones go first, so that what is left at the end is small and all workers end together.
"""

import os
from typing import Any

from xdist.scheduler import LoadScopeScheduling

_QUIET = ("tests/netns/", "tests/bench/")
_ORDER = (*_QUIET, "tests/property/", "tests/fuzz/", "tests/node/", "tests/unit/")
_LOWEST_PRIORITY = 19


def is_quiet(nodeid: str) -> bool:
    """Say whether a test wants the machine to itself, as far as it can be had."""
    return nodeid.startswith(_QUIET)


def scope_of(nodeid: str) -> str:
    """Return the unit of work that a test belongs to."""
    return nodeid.split("::", 1)[0] if is_quiet(nodeid) else nodeid


def give_way(nodeid: str) -> None:
    """Let all others go first while a test runs that needs no quiet."""
    os.setpriority(os.PRIO_PROCESS, 0, 0 if is_quiet(nodeid) else _LOWEST_PRIORITY)


def _rank(scope: str) -> int:
    return next((i for i, place in enumerate(_ORDER) if scope.startswith(place)), len(_ORDER))


class Sharing(LoadScopeScheduling):
    """Gives tests that want quiet to one worker, any other test to whichever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)

    def _next_scope(self, node: Any) -> str | None:
        """Choose a worker's next unit: of the first worker's own queue, then of the one for all."""
        first = next(other for other in self.nodes if not other.shutting_down)
        if node is first:
            quiet = next((scope for scope in self.workqueue if is_quiet(scope)), None)
            if quiet is not None:
                return quiet
        return next((scope for scope in self.workqueue if not is_quiet(scope)), None)

    def _assign_work_unit(self, node: Any) -> None:
        if not any(self.assigned_work.values()):  # the very first: what is long goes first
            for scope in sorted(self.workqueue, key=_rank):
                self.workqueue.move_to_end(scope)
        scope = self._next_scope(node)
        if scope is None:
            node.shutdown()
            return
        self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: Any) -> None:
        if not node.shutting_down and self.workqueue and self._next_scope(node) is None:
            node.shutdown()
        else:
            super()._reschedule(node)
