"""``show fib``: the numbers of the mirror."""

from tests.support.managed_box import Managed


def test_show_fib_says_how_full_it_is(dialled: Managed) -> None:
    dialled.memory.run(0.3)
    fib = dialled.ask("show fib")["data"]
    header = dialled.memory.dataplane.header
    assert fib["pages"]["total"] == header.max_fib4_pages
    assert 0 < fib["pages"]["free"] < fib["pages"]["total"]
    assert fib["routes"]["installed"] > len(list(dialled.box.manager.table))
    assert fib["routes"]["waiting_for_room"] == fib["routes"]["unsupported"] == 0
    assert fib["kernel"] == dict.fromkeys(fib["kernel"], 0), "no kernel is embedded"
