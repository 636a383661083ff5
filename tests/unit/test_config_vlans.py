"""Routed ports in VLANs of other ports: what bng.toml may say, and what the dataplane is told."""

from itertools import pairwise
from pathlib import Path

import pytest

from bng.config import Config, RoutedVlan, dataplane_args, parse
from bng.errors import ConfigError
from tests.unit.test_config_errors import BASE

ACCESS_1_TO_99 = ('outer = "any"', 'outer = "1-99"')


def vlan(outer: str = "300", parent: str = "core", name: str = "peer", **more: str) -> str:
    """Return a ``[[port]]`` in a VLAN; *more* are further keys, as TOML."""
    keys = {"addresses": '["198.18.0.2/30"]', **more}
    return (
        f'[[port]]\nname = "{name}"\nrole = "routed"\nparent = "{parent}"\nouter = "{outer}"\n'
        + "".join(f"{key} = {value}\n" for key, value in keys.items() if value)
    )


def config(*ports: str, changes: tuple[tuple[str, str], ...] = ()) -> Config:
    text = BASE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return parse(Path("bng.toml"), (text + "".join(ports)).encode())


def refusal(*ports: str, changes: tuple[tuple[str, str], ...] = ()) -> str:
    """Return what is wrong, without the line."""
    with pytest.raises(ConfigError) as caught:
        config(*ports, changes=changes)
    return str(caught.value).split(": ", 1)[1]


def ports_of(found: Config) -> list[str]:
    args = dataplane_args(found)
    return [value for key, value in pairwise(args) if key == "--port"]


def test_a_vlan_has_a_tap_and_addresses_of_its_own_and_the_parents_device() -> None:
    found = config(vlan(inner='"7"', tpid='"0x88a8"', mtu="1400"))
    port = found.routed_ports[1]
    assert isinstance(port, RoutedVlan)
    assert (port.outer, port.inner, port.tap_name) == (300, 7, "bng-peer")
    told = "name=peer,role=routed,parent=core,outer=300,tpid=0x88a8,inner=7,mtu=1400,tap=bng-peer"
    assert ports_of(found)[-1] == told


def test_parents_are_told_before_their_vlans_wherever_they_stand_in_the_file() -> None:
    first = BASE.replace("[[port]]", vlan() + "[[port]]", 1)
    names = [told.split(",")[0] for told in ports_of(parse(Path("bng.toml"), first.encode()))]
    assert names == ["name=access", "name=core", "name=peer"]


@pytest.mark.parametrize(("outer", "told"), [("200", "outer=200,tpid=0x8100,"), ("none", "")])
def test_an_access_port_may_be_the_parent_one_armed(outer: str, told: str) -> None:
    found = config(vlan(outer, "access"), changes=(ACCESS_1_TO_99,))
    want = f"name=peer,role=routed,parent=access,{told}mtu=1500,tap=bng-peer"
    assert ports_of(found)[-1] == want


def test_a_routed_port_needs_no_address_when_all_its_traffic_is_in_vlans() -> None:
    found = config(vlan(), changes=(('["192.0.2.2/24"]', "[]"), ("192.0.2.1", "198.18.0.1")))
    assert found.routed_ports[0].addresses == ()


NO_ADDRESS = (
    ('["192.0.2.2/24"]', "[]"),
    ('[[route]]\nprefix = "0.0.0.0/0"\nvia = "192.0.2.1"\n', ""),
)


@pytest.mark.parametrize(
    ("ports", "changes", "message"),
    [
        ([vlan(parent="cor")], (), "port[2].parent: there is no port cor with an interface"),
        (
            [vlan(), vlan("7", "peer", "deep", addresses='["198.18.1.2/30"]')],
            (),
            "port[3].parent: there is no port peer with an interface",
        ),
        ([vlan(interface='"eth3"')], (), "port[2].interface: unknown key"),
        ([vlan(worker="0")], (), "port[2].worker: unknown key"),
        ([vlan("4095")], (), 'port[2].outer: must be "none" or "100" (1 to 4094)'),
        ([vlan("0")], (), 'port[2].outer: must be "none" or "100" (1 to 4094)'),
        ([vlan("1-9")], (), 'port[2].outer: must be "none" or "100" (1 to 4094)'),
        ([vlan(inner="7")], (), 'port[2].inner: must be "none" or "100" (1 to 4094)'),
        (
            [vlan(tpid='"0x8200"')],
            (),
            "port[2].tpid: must be '0x8100', '0x88a8' or '0x9100'",
        ),
        ([vlan(addresses="")], (), "port[2].addresses: must have at least 1 entries"),
        ([vlan(mtu="1508")], (), "port[2].mtu: 1508, and port[1].mtu is 1500"),
        (
            [vlan("none", "access", inner='"7"')],
            (ACCESS_1_TO_99,),
            "port[2].inner: there is no inner tag without an outer one",
        ),
        ([vlan("none")], (), "port[2].outer: untagged is in use by port[1], itself untagged"),
        (
            [vlan(), vlan(name="again", tpid='"0x88a8"', addresses='["198.18.1.2/30"]')],
            (),
            "port[3].outer: VLAN 300 of core is in use by port[2].outer",
        ),
        (
            [vlan("99", "access")],
            (ACCESS_1_TO_99,),
            "port[2].outer: VLAN 99 is in use by port[0].access[0]",
        ),
        (
            [vlan("none", "access")],
            (),
            "port[2].outer: untagged is in use by port[0].access[0]",
        ),
        (
            [vlan("200", "access", inner='"7"')],
            (
                ('inner = "none"\n', 'inner = "none"\n[[port.access]]\nouter = "200"\n'),
                ('outer = "200"\n', 'outer = "200"\ninner = "any"\n'),
                ACCESS_1_TO_99,
            ),
            "port[2].outer: VLAN 200.7 is in use by port[0].access[1]",
        ),
        (
            [vlan(name="core2", parent="access", addresses='["192.0.2.130/25"]')],
            (ACCESS_1_TO_99,),
            "port[2].addresses[0]: overlaps 192.0.2.0/24 of port core",
        ),
        (
            [],
            NO_ADDRESS,
            "port[1].addresses: none, and no port has this one as its parent",
        ),
        ([vlan(tap='"bng-core"')], (), "port[2].tap: bng-core is in use already"),
    ],
)
def test_what_cannot_be_is_refused(
    ports: list[str], changes: tuple[tuple[str, str], ...], message: str
) -> None:
    assert refusal(*ports, changes=changes) == message


def test_a_driver_has_no_option_of_a_name_that_says_which_vlan() -> None:
    option = (("mtu = 1500", 'options = { parent = "core" }'),)
    assert refusal(changes=option) == "port[0].options.parent: must be a driver's key"
