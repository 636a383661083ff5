"""Debian's pppd authenticates with each method, by the user file and by FreeRADIUS, or is refused.

guest: pppd, kernel PPPoE                      PREFIX-bng              PREFIX-inet
+------------------------+    +------+    +---------------------+    +-----------------------------+
| ppp0   vec0 (tap) -----|----| sub0 |----| acc0           wan0 |----| inet0                       |
+------------------------+    +------+    | bng-dataplane, bngd |    | FreeRADIUS, conf/freeradius |
  User Mode Linux             PREFIX-sub  +---------------------+    +-----------------------------+
"""

from collections.abc import Iterator

import pytest

from tests.netns.conftest import running_lab
from tests.support import uml
from tests.support.freeradius import SampleSite
from tests.support.lab import Lab
from tests.support.radius_lab import SAMPLE_OPTIONS

_USERS = {"alice": {"password": "alice-secret", "reply_message": "Welcome, alice"}}
"""As the samples of conf/freeradius have her."""
_REFUSE = {
    "pap": "refuse-chap refuse-mschap refuse-mschap-v2 refuse-eap",
    "chap": "refuse-pap refuse-mschap refuse-mschap-v2 refuse-eap",
    "mschap-v2": "refuse-pap refuse-chap refuse-mschap refuse-eap",
}
_ASKED = {"pap": "<auth pap>", "chap": "<auth chap MD5>", "mschap-v2": "<auth chap MS-v2>"}
_ACCEPTED = {
    "pap": "PAP authentication succeeded",
    "chap": "CHAP authentication succeeded",
    "mschap-v2": "CHAP authentication succeeded",
}


@pytest.fixture(scope="module", params=["user file", "FreeRADIUS"])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Run a lab where either decides who alice is."""
    directory = tmp_path_factory.mktemp("lab")
    if request.param == "user file":
        with running_lab(directory, users=_USERS) as lab:
            yield lab
        return
    with (
        running_lab(directory, **SAMPLE_OPTIONS) as lab,
        SampleSite(tmp_path_factory.mktemp("site") / "raddb", lab.inet),
    ):
        yield lab


@pytest.fixture(scope="module")
def dials(lab: Lab) -> dict[str, uml.Result]:
    """Dial in every way, one after the other from one guest; return what came of it, by way."""
    use_it = "ping -c 2 -i 0.2 192.0.2.2 && cat $PPPD_LOG"
    ways = {
        name: uml.Attempt("alice", "alice-secret", use_it, refuse)
        for name, refuse in _REFUSE.items()
    }
    ways |= {
        f"{name}, wrong": uml.Attempt("alice", "wrong", pppd_options=refuse)
        for name, refuse in _REFUSE.items()
    }
    ways["nobody"] = uml.Attempt("nobody", "alice-secret")
    return dict(zip(ways, uml.dial_each(lab.sub, "sub0", list(ways.values())), strict=True))


@pytest.mark.parametrize("method", _REFUSE)
def test_pppd_opens_a_session_with_the_method_it_accepts(
    dials: dict[str, uml.Result], method: str
) -> None:
    done = dials[method]
    assert done.status == 0, done.output
    assert "2 received, 0% packet loss" in done.output
    agreed = done.output.split("sent [LCP ConfAck")[-1].splitlines()[0]
    assert _ASKED[method] in agreed, done.output
    assert _ACCEPTED[method] in done.output, done.output
    assert "Welcome, alice" in done.output, done.output  # Reply-Message


@pytest.mark.parametrize("method", _REFUSE)
def test_a_wrong_password_ends_pppd_with_authentication_failed(
    dials: dict[str, uml.Result], method: str
) -> None:
    done = dials[f"{method}, wrong"]
    assert done.status == uml.AUTH_REFUSED, done.output


def test_an_unknown_user_gets_the_same_refusal(dials: dict[str, uml.Result]) -> None:
    done = dials["nobody"]
    assert done.status == uml.AUTH_REFUSED, done.output


def test_nobody_is_left(lab: Lab, dials: dict[str, uml.Result]) -> None:
    assert len(dials) == 7
    lab.wait_for_sessions(0)
