"""Tests are shared out between workers: each once, those that want quiet in one of them."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.lab import ROOT
from tests.support.sharing import QUIET, Sharing, give_way, is_patient, scope_of

LOAD, SOAK = (f"tests/netns/test_{name}.py" for name in ("load", "soak"))
TESTS = [
    *(f"tests/node/test_a.py::test_{i}" for i in range(10)),
    *(f"{LOAD}::test_{i}" for i in range(5)),
    *(f"tests/netns/test_pppd_vlan.py::test_{i}" for i in range(5)),
    *(f"{SOAK}::test_{i}" for i in range(5)),
    *(f"tests/unit/test_b.py::test_{i}" for i in range(10)),
]
MORE = [f"tests/netns/test_{name}.py::test" for name in ("acl_live", "client", "filters")]


class Worker:
    """A worker of pytest-xdist that does what it is told when the test says so.

    As the real one it keeps the last test until it knows what comes after.
    """

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.todo: list[int] = []
        self.done: list[str] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.todo += indices

    def shutdown(self) -> None:
        self.shutting_down = True

    def can_run(self) -> bool:
        return len(self.todo) > (0 if self.shutting_down else 1)


def share(tests: list[str], turns: str) -> tuple[list[str], list[str], list[str]]:
    """Share *tests* out; *turns* says, over and over, which worker is done with one next.

    Returns what the first and the second worker did, and what both did in order of time.
    """
    options = SimpleNamespace(tx=["2*popen"], loadscopereorder=True)
    config: Any = SimpleNamespace(option=options, getvalue=lambda name: getattr(options, name))
    sharing = Sharing(config)
    workers = [Worker("gw0"), Worker("gw1")]
    for worker in workers:
        sharing.add_node(worker)  # type: ignore[arg-type]
    for worker in workers:
        sharing.add_node_collection(worker, tests)  # type: ignore[arg-type]
    sharing.schedule()
    both: list[str] = []
    while any(worker.can_run() for worker in workers):
        for turn in turns:
            worker = workers[int(turn)]
            if worker.can_run():
                index = worker.todo.pop(0)
                worker.done.append(tests[index])
                both.append(tests[index])
                sharing.mark_test_complete(worker, index)  # type: ignore[arg-type]
    assert sharing.tests_finished
    return workers[0].done, workers[1].done, both


@pytest.mark.parametrize("turns", ["01", "0001", "0111111"])
@pytest.mark.parametrize("tests", [TESTS, TESTS[10:15], TESTS[:10], TESTS[:1]])
def test_each_test_is_run_once(tests: list[str], turns: str) -> None:
    first, second, _ = share(tests, turns)
    assert sorted(first + second) == sorted(tests)


@pytest.mark.parametrize("turns", ["01", "0001", "0111111", "0" + "1" * 30])
def test_the_first_worker_has_all_that_want_quiet_and_no_namespaces_are_beside_them(
    turns: str,
) -> None:
    first, second, both = share(TESTS, turns)
    quiet = [test for test in TESTS if scope_of(test) in QUIET]
    assert first[:10] == quiet
    others = [test for test in second if not is_patient(test)]
    assert all(both.index(test) > both.index(quiet[-1]) for test in others)
    assert [test for test in both if "pppd_vlan" in test] == TESTS[15:20]


def test_who_is_done_early_helps_the_other() -> None:
    first, _, _ = share(TESTS, "0001")
    assert len(first) > 20
    _, second, _ = share([*TESTS, *MORE], "0" + "1" * 30)
    assert any(map(MORE.__contains__, second))


def test_what_wants_quiet_exists() -> None:
    assert all((ROOT / module).is_file() for module in QUIET)


def test_only_patient_tests_give_way() -> None:
    if os.geteuid():
        pytest.skip("only root gets its priority back")
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        give_way("tests/unit/test_b.py::test_0")
        assert os.getpriority(os.PRIO_PROCESS, 0) == 19
        give_way(f"{SOAK}::test_0")
        assert os.getpriority(os.PRIO_PROCESS, 0) == 0
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
