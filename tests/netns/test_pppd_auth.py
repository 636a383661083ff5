"""Debian's pppd authenticates with each method, and is refused with a wrong password.

guest: pppd, kernel PPPoE                      PREFIX-bng
+------------------------+    +------+    +---------------------+
| ppp0   vec0 (tap) -----|----| sub0 |----| acc0  bng-dataplane |
+------------------------+    +------+    |       bngd          |
  User Mode Linux             PREFIX-sub  +---------------------+
"""

import pytest

from tests.support import uml
from tests.support.lab import Lab

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


@pytest.mark.parametrize("method", ["pap", "chap", "mschap-v2"])
def test_pppd_opens_a_session_with_the_method_it_accepts(lab: Lab, method: str) -> None:
    done = uml.dial(
        lab.sub,
        "sub0",
        "alice",
        "wonder",
        "ping -c 2 -i 0.2 192.0.2.2 && cat $PPPD_LOG",
        pppd_options=_REFUSE[method],
    )
    assert done.status == 0, done.output
    assert "2 received, 0% packet loss" in done.output
    agreed = done.output.split("sent [LCP ConfAck")[-1].splitlines()[0]
    assert _ASKED[method] in agreed, done.output
    assert _ACCEPTED[method] in done.output, done.output


@pytest.mark.parametrize("method", ["pap", "chap", "mschap-v2"])
def test_a_wrong_password_ends_pppd_with_authentication_failed(lab: Lab, method: str) -> None:
    done = uml.dial(lab.sub, "sub0", "alice", "wrong", "true", pppd_options=_REFUSE[method])
    assert done.status == uml.AUTH_REFUSED, done.output
    assert lab.sessions() == []


def test_an_unknown_user_gets_the_same_refusal(lab: Lab) -> None:
    done = uml.dial(lab.sub, "sub0", "nobody", "wonder", "true")
    assert done.status == uml.AUTH_REFUSED, done.output
    assert lab.sessions() == []
