"""How tests are shared out when there are several workers (``pytest -n 2``).

Tests that measure, or that a busy machine would fail (packets at full rate of which none may be
lost, storms, deadlines of others), go to the first worker, one by one. As long as there are any,
the others run only what needs no more than its turn: all that is not in namespaces, at the lowest
priority. Then come the other tests in namespaces, for whoever is free. Modules of namespaces are
never torn apart, for they share a lab; any other test is a unit of its own.
"""

import os
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
                "neighbours",
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
_ORDER = ("tests/property/", "tests/fuzz/", "tests/node/", "tests/unit/")
"""What is long goes first, so that what is left at the end is small."""

_LOWEST_PRIORITY = 19


def is_patient(nodeid: str) -> bool:
    """Say whether a test is as good on a busy machine."""
    return not nodeid.startswith(_WHOLE)


def scope_of(nodeid: str) -> str:
    """Return the unit of work that a test belongs to."""
    return nodeid if is_patient(nodeid) else nodeid.split("::", 1)[0]


def give_way(nodeid: str) -> None:
    """Let all others go first while a patient test runs."""
    os.setpriority(os.PRIO_PROCESS, 0, _LOWEST_PRIORITY if is_patient(nodeid) else 0)


def _rank(scope: str) -> int:
    """Return where a unit has its place in the queue: quiet ones, then others of namespaces."""
    if not is_patient(scope):
        return -2 if scope in QUIET else -1
    return next((i for i, place in enumerate(_ORDER) if scope.startswith(place)), len(_ORDER))


class Sharing(LoadScopeScheduling):
    """Gives the tests of `QUIET` to one worker, and has no namespaces beside them."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)

    def _next_scope(self, node: Any) -> str | None:
        """Choose a worker's next unit: for the first any; for others None as long as they wait."""
        first = next(other for other in self.nodes if not other.shutting_down)
        patient = (scope for scope in self.workqueue if is_patient(scope))
        if node is first:
            return next(iter(self.workqueue))
        return next(patient, None if self._wants_quiet() else next(iter(self.workqueue)))

    def _wants_quiet(self) -> bool:
        """Say whether a test of `QUIET` is still to come, or under way."""
        under_way = {
            scope
            for units in self.assigned_work.values()
            for scope, tests in units.items()
            if not all(tests.values())
        }
        return not QUIET.isdisjoint(self.workqueue) or not QUIET.isdisjoint(under_way)

    def _assign_work_unit(self, node: Any) -> None:
        if not any(self.assigned_work.values()):  # the very first
            for scope in sorted(self.workqueue, key=_rank):
                self.workqueue.move_to_end(scope)
        scope = self._next_scope(node)
        if scope is not None:
            self.workqueue.move_to_end(scope, last=False)
            super()._assign_work_unit(node)

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Note it; who had to wait may have something to do now."""
        super().mark_test_complete(node, item_index, duration)
        for other in self.nodes:
            self._reschedule(other)
