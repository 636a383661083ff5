"""Tests are shared out between workers: each once, those that want quiet in one of them."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.sharing import Sharing, give_way, is_quiet

LOAD, SOAK = (f"tests/netns/test_{name}.py" for name in ("load", "soak"))
TESTS = [
    *(f"tests/node/test_a.py::test_{i}" for i in range(10)),
    *(f"{LOAD}::test_{i}" for i in range(5)),
    *(f"tests/netns/test_pppd_vlan.py::test_{i}" for i in range(5)),
    *(f"{SOAK}::test_{i}" for i in range(5)),
    *(f"tests/unit/test_b.py::test_{i}" for i in range(10)),
]


class Worker:
    """A worker of pytest-xdist that does what it is told when the test says so."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.todo: list[int] = []
        self.done: list[str] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.todo += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def share(tests: list[str], turns: str) -> list[Worker]:
    """Share *tests* out; *turns* says, over and over, which worker is done with one next."""
    options = SimpleNamespace(tx=["2*popen"], loadscopereorder=True)
    config: Any = SimpleNamespace(option=options, getvalue=lambda name: getattr(options, name))
    sharing = Sharing(config)
    workers = [Worker("gw0"), Worker("gw1")]
    for worker in workers:
        sharing.add_node(worker)  # type: ignore[arg-type]
    for worker in workers:
        sharing.add_node_collection(worker, tests)  # type: ignore[arg-type]
    sharing.schedule()
    while any(worker.todo for worker in workers):
        for turn in turns:
            worker = workers[int(turn)]
            if worker.todo:
                index = worker.todo.pop(0)
                worker.done.append(tests[index])
                sharing.mark_test_complete(worker, index)  # type: ignore[arg-type]
    assert sharing.tests_finished
    return workers


@pytest.mark.parametrize("turns", ["01", "0001", "0111111"])
@pytest.mark.parametrize("tests", [TESTS, TESTS[10:15], TESTS[:10], TESTS[:1]])
def test_each_test_is_run_once(tests: list[str], turns: str) -> None:
    first, second = share(tests, turns)
    assert sorted(first.done + second.done) == sorted(tests)


@pytest.mark.parametrize("turns", ["01", "0001", "0111111"])
def test_the_first_worker_has_all_that_want_quiet_module_by_module(turns: str) -> None:
    first, second = share(TESTS, turns)
    assert first.done[:15] == TESTS[10:25]
    assert not any(is_quiet(test) for test in second.done)


def test_the_first_worker_helps_with_the_others_when_its_own_are_done() -> None:
    first, _ = share(TESTS, "0001")
    assert len(first.done) > 20


def test_only_what_wants_no_quiet_gives_way() -> None:
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
