"""How tests are shared out when there are several workers (``pytest -n 2``).

There are two queues. Tests that measure, or that a busy machine would fail (packets at full rate of
which none may be lost, storms, deadlines of others), are in one that only the first worker takes
from, so no two of them ever run at the same time. All other tests are for whoever is free; the
first worker takes of them when its own are done. Modules of namespaces are never torn apart, for
they share a lab; any other test is a unit of its own. Long ones go first, so that what is left at
the end is small and both workers end together.
"""

from typing import Any

from xdist.scheduler import LoadScopeScheduling

QUIET = frozenset(
    {
        "tests/bench/test_bench.py",
        *(
            f"tests/netns/test_{name}.py"
            for name in (
                "accounting_outage",
                "bngd_killed",
                "break_full",
                "break_links",
                "break_processes",
                "coa_drill",
                "dual_stack",
                "garbage",
                "hostile",
                "load",
                "natlog_killed",
                "policed_session",
                "radius_flood",
                "radius_storm",
                "restart_drill",
                "routing_drills",
                "soak",
                "spread",
                "two_workers",
            )
        ),
    }
)
"""Modules that want the machine to themselves, as far as it can be had."""

_WHOLE = ("tests/bench/", "tests/netns/")
_ORDER = ("tests/netns/", "tests/property/", "tests/fuzz/", "tests/node/", "tests/unit/")


def scope_of(nodeid: str) -> str:
    """Return the unit of work that a test belongs to."""
    return nodeid.split("::", 1)[0] if nodeid.startswith(_WHOLE) else nodeid


def _rank(scope: str) -> int:
    return next((i for i, place in enumerate(_ORDER) if scope.startswith(place)), len(_ORDER))


class Sharing(LoadScopeScheduling):
    """Gives the tests of `QUIET` to one worker, any other test to whichever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)

    def _next_scope(self, node: Any) -> str | None:
        """Choose a worker's next unit: of the first worker's own queue, then of the one for all."""
        first = next(other for other in self.nodes if not other.shutting_down)
        if node is first:
            quiet = next((scope for scope in self.workqueue if scope in QUIET), None)
            if quiet is not None:
                return quiet
        return next((scope for scope in self.workqueue if scope not in QUIET), None)

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
