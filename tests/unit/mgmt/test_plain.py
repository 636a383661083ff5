"""What the attribute model holds, as JSON and in words."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from bng.aaa.model import FramedRoute, PortForward, RatePolicy
from bng.mgmt.plain import plain, words


@pytest.mark.parametrize(
    ("value", "as_json", "in_words"),
    [
        (None, None, "None"),
        (True, True, "yes"),
        (600, 600, "600"),
        (IPv4Address("192.0.2.1"), "192.0.2.1", "192.0.2.1"),
        ((IPv4Address("192.0.2.1"),) * 2, ["192.0.2.1"] * 2, "192.0.2.1, 192.0.2.1"),
        (PortForward(6, 80, 8080), "tcp 80 8080", "tcp 80 8080"),
        ([b"gold", b"\xff", b""], ["gold", "0xff", "0x"], "gold, 0xff, 0x"),
        (
            RatePolicy(cir_bps=1000, cbs_bytes=9000, pir_bps=2000, pbs_bytes=9000),
            {"cir_bps": 1000, "cbs_bytes": 9000, "pir_bps": 2000, "pbs_bytes": 9000},
            "cir_bps 1000 cbs_bytes 9000 pir_bps 2000 pbs_bytes 9000",
        ),
        (
            (FramedRoute(prefix=IPv4Network("10.0.0.0/8"), gateway=IPv4Address("192.0.2.1")),),
            [{"prefix": "10.0.0.0/8", "gateway": "192.0.2.1", "metric": 1}],
            "prefix 10.0.0.0/8 gateway 192.0.2.1 metric 1",
        ),
    ],
)
def test_values_of_the_attribute_model(value: object, as_json: object, in_words: str) -> None:
    assert plain(value) == as_json
    assert words(value) == in_words
