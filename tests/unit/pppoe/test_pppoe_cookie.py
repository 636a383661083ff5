from bng.pppoe.cookie import COOKIE_BYTES, KEY_BYTES, CookieJar

KEY = bytes(range(KEY_BYTES))


def test_a_cookie_is_taken_for_at_least_one_lifetime_and_less_than_two() -> None:
    for baked_at in (0.0, 5.0, 9.999, 1e9 + 3):
        jar = CookieJar(KEY)
        cookie = jar.bake(7, 10.0, baked_at)
        assert len(cookie) == COOKIE_BYTES
        assert jar.accepts(cookie, 7, 10.0, baked_at)
        assert jar.accepts(cookie, 7, 10.0, baked_at + 10.0)
        assert not jar.accepts(cookie, 7, 10.0, baked_at + 20.0)


def test_a_cookie_from_the_future_is_refused() -> None:
    jar = CookieJar(KEY)
    assert not jar.accepts(jar.bake(7, 10.0, 10.0), 7, 10.0, 9.0)


def test_a_cookie_is_bound_to_its_client_and_its_key() -> None:
    jar = CookieJar(KEY)
    cookie = jar.bake(7, 10.0, 0.0)
    assert not jar.accepts(cookie, 8, 10.0, 0.0)
    assert not CookieJar(bytes(KEY_BYTES)).accepts(cookie, 7, 10.0, 0.0)
    assert not jar.accepts(cookie[:-1], 7, 10.0, 0.0)
    assert not jar.accepts(cookie + b"\0", 7, 10.0, 0.0)
    for bit in range(8 * COOKIE_BYTES):
        forged = (int.from_bytes(cookie) ^ 1 << bit).to_bytes(COOKIE_BYTES)
        assert not jar.accepts(forged, 7, 10.0, 0.0)
