import pytest

from bng.pppoe.ids import IDS, SessionIds


@pytest.mark.parametrize("seed", [0, 1, 40_000, IDS - 1])
def test_a_domain_gives_out_all_65534_ids_once_and_never_0_or_0xffff(seed: int) -> None:
    ids = SessionIds(seed)
    given = [ids.allocate(1, 0.0) for _ in range(IDS)]
    assert sorted(id_ for id_ in given if id_ is not None) == list(range(1, 0xFFFF))
    assert ids.allocate(1, 0.0) is None


def test_domains_do_not_share_ids() -> None:
    ids = SessionIds(0)
    assert ids.allocate(1, 0.0) == ids.allocate(2, 0.0)


def test_freed_ids_come_back_first_in_first_out_after_their_rest() -> None:
    ids = SessionIds(0)
    a, b, c = (ids.allocate(1, 0.0) for _ in range(3))
    assert a and b and c
    ids.release(1, b, 60.0)
    ids.release(1, a, 61.0)
    assert ids.allocate(1, 59.9) not in {a, b, c}
    assert ids.next_deadline() == 60.0
    assert ids.allocate(1, 61.0) == b
    assert ids.allocate(1, 61.0) == a


def test_a_domain_where_every_id_is_at_rest_gives_none_until_one_has_rested() -> None:
    ids = SessionIds(0)
    for _ in range(IDS):
        id_ = ids.allocate(1, 0.0)
        assert id_ is not None
        ids.release(1, id_, 60.0)
    assert ids.allocate(1, 59.9) is None
    assert ids.allocate(1, 60.0) is not None


def test_an_occupied_id_is_not_given_out_while_it_is_in_use_or_at_rest() -> None:
    ids = SessionIds(0)
    ids.occupy(1, 2)
    assert ids.allocate(1, 0.0) == 1
    ids.release(1, 2, 60.0)
    assert ids.allocate(1, 0.0) == 3
    assert ids.allocate(1, 60.0) == 2
    assert ids.allocate(1, 60.0) == 4


@pytest.mark.parametrize("session_id", [0, 0xFFFF, -1, 1, 9])
def test_what_is_no_id_or_given_out_already_cannot_be_occupied(session_id: int) -> None:
    ids = SessionIds(0)
    assert ids.allocate(1, 0.0) == 1
    ids.occupy(1, 9)
    with pytest.raises(ValueError, match="session id"):
        ids.occupy(1, session_id)


def test_a_domain_without_ids_in_use_or_at_rest_takes_no_memory() -> None:
    ids = SessionIds(0)
    first, second = ids.allocate(1, 0.0), ids.allocate(1, 0.0)
    assert first and second
    ids.release(1, first, 60.0)
    ids.release(1, second, 61.0)
    ids.expire(60.0)
    assert (len(ids), ids.resting()) == (1, 1)
    ids.expire(61.0)
    assert (len(ids), ids.resting(), ids.next_deadline()) == (0, 0, None)
