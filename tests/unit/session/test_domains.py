"""Id tables keep their place in the arena, whichever bngd uses them."""

from collections.abc import Iterator

import pytest

from bng.access.domains import Domains, DomainsFullError
from bng.pppoe.cookie import KEY_BYTES
from bng.pppoe.discovery import Discovery
from tests.support.client.layer import Phase
from tests.support.memory_box import MemoryBox, memory_box


@pytest.fixture
def box() -> Iterator[MemoryBox]:
    with memory_box() as one:
        yield one


def test_the_same_vlan_and_page_get_the_same_place() -> None:
    domains = Domains(8, 8)
    assert domains.place(0, 100, 1) == domains.place(0, 100, 255)
    assert domains.place(0, 100, 256)[0] == domains.place(0, 100, 1)[0]
    assert domains.place(0, 100, 256)[1] != domains.place(0, 100, 1)[1]
    assert domains.place(0, 101, 1)[0] != domains.place(0, 100, 1)[0]


def test_no_more_places_are_given_than_there_are() -> None:
    domains = Domains(1, 2)
    domains.place(0, 0, 1)
    domains.place(0, 0, 256)
    with pytest.raises(DomainsFullError):
        domains.place(0, 0, 512)
    with pytest.raises(DomainsFullError):
        domains.place(0, 1, 1)


def test_what_the_arena_has_is_found_again_after_a_restart(box: MemoryBox) -> None:
    clients = [box.subscriber(n, vlan=f"{100 + n}.7") for n in range(3)]
    box.dial(*clients)
    assert all(c.phase is Phase.UP for c in clients)
    again = Domains(64, 64)
    tables = list(box.dataplane.id_tables())
    assert sorted(vid for _, vid, _, _ in tables) == [100, 101, 102]
    for table in reversed(tables):
        again.adopt(*table)
    for session in box.manager.table:
        line = session.line
        session_id = int(box.dataplane.session_cold[session.index].session_id)
        before = box.access._domains.place(line.port, line.outer_vid, session_id)
        assert again.place(line.port, line.outer_vid, session_id) == before
    taken = {domain for _, _, domain, _ in tables}
    assert again.place(0, 999, 1)[0] not in taken


def test_a_cookie_is_good_for_the_next_bngd_of_the_same_dataplane(box: MemoryBox) -> None:
    secret = box.dataplane.secret()
    assert len(secret) == KEY_BYTES
    assert any(secret)
    jars = [Discovery({}, box.entropy, box.now, cookie_key=secret)._jar for _ in range(2)]
    cookie = jars[0].bake(7, 30.0, box.now)
    assert jars[1].accepts(cookie, 7, 30.0, box.now)
    other = Discovery({}, box.entropy, box.now)._jar
    assert not other.accepts(cookie, 7, 30.0, box.now)
