"""bng.toml and users.toml as they are shipped, reload, and what the dataplane is told."""

import re
import sys
import tomllib
import types
import typing
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from pydantic import BaseModel

from bng import dataplane_launch
from bng.aaa import users
from bng.aaa.local import LocalBackend
from bng.aaa.model import AccessAccept, AccessRequest, SubscriberProfile
from bng.config import AccessPort, Change, Config, Needs, dataplane_args, diff, load, parse
from bng.config.reload import NEEDS, needs_of
from bng.ethernet import AccessLine, Mac
from bng.ppp.credentials import PapCredentials
from tests.unit.test_config_errors import BASE

CONF = Path(__file__).parents[2] / "conf"


def config(*changes: tuple[str, str]) -> Config:
    """Return the small configuration of the error tests with *changes* made."""
    text = BASE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return parse(Path("/etc/bng/bng.toml"), text.encode())


def model_keys(model: type[BaseModel], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield every key that *model* knows, tables and arrays of tables opened."""
    for name, field in model.model_fields.items():
        below = [table for table in tables_in(field.annotation) if table is not model]
        if not below:
            yield (*at, name)
        for table in below:
            yield from model_keys(table, (*at, name))


def tables_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in typing.get_args(annotation):
        yield from tables_in(argument)


ALL_KEYS = sorted({".".join(key) for key in model_keys(Config)})


# ---- the shipped files


def test_the_walk_over_the_model_sees_every_kind_of_key() -> None:
    assert {
        "system.name",
        "port.role",
        "port.p_bit",
        "port.addresses",
        "port.access.outer",
        "nat.pool.addresses",
        "nat.profile.translate",
    } <= set(ALL_KEYS)


def test_the_shipped_configuration_loads() -> None:
    shipped = load(CONF / "bng.toml")
    assert [port.interface for port in shipped.access_ports] == ["eth1"]
    assert [port.name for port in shipped.routed_ports] == ["core", "peering"]
    assert shipped.aaa.users == CONF / "users.toml"


@pytest.mark.parametrize("key", ALL_KEYS)
def test_the_shipped_configuration_shows_every_key(key: str) -> None:
    *table, name = key.split(".")
    if table[:2] == ["nat", "profile"]:
        table.append("always")
    if table[:2] == ["ipv6", "profile"]:  # keys of [ipv6], said again
        table.remove("profile")
    text = (CONF / "bng.toml").read_text()
    section = r"\[+" + re.escape(".".join(table)) + r"\]+"
    parts = re.split(r"^(\[+[\w.]+\]+)", text, flags=re.MULTILINE)
    bodies = [
        body
        for head, body in zip(parts[1::2], parts[2::2], strict=True)
        if re.fullmatch(section, head)
    ]
    assert any(re.search(rf"^(?:# )?{name} = .*#", body, re.MULTILINE) for body in bodies), key


def test_what_the_shipped_configuration_calls_a_default_is_one() -> None:
    """Keys whose comment does not say otherwise are given with their default."""
    shipped, bare = load(CONF / "bng.toml"), config()
    for section in ("system", "dataplane", "pppoe", "ppp", "journal"):
        defaults = type(getattr(bare, section))()
        assert getattr(shipped, section) == defaults, section
    assert shipped.session.model_copy(update={"default_pool": None}) == type(shipped.session)()
    untouched: dict[str, object] = {"pool": (), "profile": {}}
    assert shipped.nat.model_copy(update=untouched) == type(shipped.nat)()


def test_commented_out_keys_of_the_shipped_configuration_are_right_too() -> None:
    text = re.sub(r"^# (\w+ = )", r"\1", (CONF / "bng.toml").read_text(), flags=re.MULTILINE)
    found = parse(CONF / "bng.toml", text.encode())
    assert found.system.socket_group == "bng"
    assert found.access_ports[0].max_sessions == 10_000


def shipped_users() -> users.Users:
    shipped = load(CONF / "bng.toml")
    return users.load(shipped.aaa.users, shipped.known_to_users())


def test_the_shipped_users_load_against_the_shipped_configuration() -> None:
    assert shipped_users().by_name["alice@example.net"].profile.ipv4_pool == "cgnat"


def test_the_shipped_users_show_every_attribute() -> None:
    profiles = [user.profile for user in shipped_users().by_name.values()]
    nothing = SubscriberProfile(user_name="")
    text = (CONF / "users.toml").read_text()
    for name in SubscriberProfile.__slots__:
        said = any(getattr(profile, name) != getattr(nothing, name) for profile in profiles)
        assert said or re.search(rf"^{name} = ", text, re.MULTILINE), name


@pytest.mark.parametrize("name", ["bob", "carol", "dave", "erin"])
def test_the_shipped_hashed_passwords_are_what_the_comment_says(name: str) -> None:
    request = AccessRequest(
        acct_session_id="1",
        request_id=1,
        credentials=PapCredentials(user_name=name, password=b"secret"),
        line=AccessLine(0),
        mac=Mac(bytes(6)),
    )
    assert isinstance(LocalBackend(shipped_users()).start(request, 0.0), AccessAccept)


# ---- defaults that depend on other keys


def test_paths_that_are_not_given_follow_the_directories() -> None:
    found = config(('name = "bng"', 'run_dir = "/r"\nstate_dir = "/s"'))
    assert str(found.dataplane_socket) == "/r/dataplane.sock"
    assert str(found.system.management_socket) == "/r/bngd.sock"
    assert str(found.journal_path) == "/s/journal.sqlite"


def test_the_users_file_is_relative_to_the_configuration() -> None:
    assert str(config().aaa.users) == "/etc/bng/users.toml"
    moved = config(("[nat]", '[aaa]\nusers = "/srv/u.toml"\n[nat]'))
    assert str(moved.aaa.users) == "/srv/u.toml"


def test_the_default_pool_is_the_first_one_unless_named() -> None:
    second = '[[pool]]\nname = "b"\nranges = ["100.64.9.0/24"]\ngateway = "100.64.0.1"\n[nat]'
    assert config(("[nat]", second)).default_pool == "main"
    named = config(("[nat]", second), ("[session]", '[session]\ndefault_pool = "b"'))
    assert named.default_pool == "b"


def test_own_addresses_are_those_of_ports_gateways_and_nat() -> None:
    own = config().own_addresses
    assert {IPv4Address("192.0.2.2"), IPv4Address("100.64.0.1")} < own
    assert len(own) == 2 + 16


def test_every_nat_address_of_a_prefix_is_used() -> None:
    found = config(('"198.51.100.0/28"', '"198.51.100.0/31", "203.0.113.7/32"'))
    assert [str(a) for a in found.nat.addresses] == ["198.51.100.0", "198.51.100.1", "203.0.113.7"]


# ---- reload


@pytest.mark.parametrize("key", ALL_KEYS)
def test_every_key_is_in_the_table_of_what_it_needs(key: str) -> None:
    assert needs_of(tuple(key.split("."))) in Needs


@pytest.mark.parametrize("prefix", NEEDS)
def test_the_table_of_needs_names_keys_that_exist(prefix: str) -> None:
    assert any(key == prefix or key.startswith(f"{prefix}.") for key in ALL_KEYS)


def test_a_key_that_is_in_no_table_is_noticed() -> None:
    with pytest.raises(KeyError):
        needs_of(("aaa", "nothing"))


def test_the_same_file_has_no_changes() -> None:
    assert diff(config(), config()) == []


POOL_B = '[[pool]]\nname = "b"\nranges = ["100.64.9.0/24"]\ngateway = "100.64.0.1"\n'


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ('["chap"]', '["pap"]', [Change("ppp.auth", Needs.LIVE)]),
        ('outer = "any"', 'outer = "7"', [Change("port[access].access", Needs.LIVE)]),
        ("mtu = 1500", "mtu = 1508", [Change("port[access].mtu", Needs.RESTART_DATAPLANE)]),
        ("mtu = 1500", "pado_delay_ms = 9", [Change("port[access].pado_delay_ms", Needs.LIVE)]),
        ('"192.0.2.2/24"', '"192.0.2.3/24"', [Change("port[core].addresses", Needs.RESTART_BNGD)]),
        ('name = "core"', 'name = "up"', [
            Change("port[core]", Needs.RESTART_DATAPLANE),
            Change("port[up]", Needs.RESTART_DATAPLANE),
        ]),
        ("[[pool]]", POOL_B + "[[pool]]", [Change("pool[b]", Needs.LIVE)]),
        ("0.99", "0.98", [Change("pool[main].ranges", Needs.LIVE)]),
        ("= 512", "= 256", [Change("nat.port_block_size", Needs.RESTART_DATAPLANE)]),
        ("[[nat.pool]]", "[nat.profile.x]\ntranslate = true\n[[nat.pool]]", [
            Change("nat.profile[x]", Needs.LIVE),
        ]),
        ("[[nat.pool]]", "[ipv6.profile.x]\nra = { mtu = 1400 }\n[[nat.pool]]", [
            Change("ipv6.profile[x]", Needs.LIVE),
        ]),
        ('"0.0.0.0/0"', '"10.0.0.0/8"', [Change("route", Needs.RESTART_BNGD)]),
        ('name = "bng"', 'log_level = "debug"', [Change("system.log_level", Needs.RESTART_BNGD)]),
        ("[0]", "[0, 1]", [Change("dataplane.workers", Needs.RESTART_DATAPLANE)]),
    ],
)  # fmt: skip
def test_a_change_is_named_with_what_it_needs(old: str, new: str, changes: list[Change]) -> None:
    assert diff(config(), config((old, new))) == changes


def test_an_ipv6_profile_says_what_differs_and_follows_the_rest() -> None:
    profile = """
        [ipv6.profile.x]
        ra = { mtu = 1400 }
        server.aftr_name = "aftr.example.net"
        [[nat.pool]]"""
    one, two = (
        config(("[[nat.pool]]", f"[ipv6]\ndns = ['2001:db8::{n}']\nra.hop_limit = {n}{profile}"))
        for n in (1, 2)
    )
    told = two.ipv6.of(two.ipv6.profile["x"])
    assert (told.dns, told.ra.hop_limit, told.ra.mtu) == (two.ipv6.dns, 2, 1400)
    assert told.server.aftr_name == "aftr.example.net"
    assert (two.ipv6.ra.mtu, two.ipv6.server.aftr_name) == (None, None)
    keys = ("ipv6.dns", "ipv6.ra.hop_limit", "ipv6.profile[x].dns", "ipv6.profile[x].ra.hop_limit")
    assert {change.key for change in diff(one, two)} == set(keys)


def test_files_of_one_name_in_two_places_are_two() -> None:
    a, b = (
        config(("[[pool]]", f'[radius]\ndictionaries = ["acme", "{folder}/acme"]\n[[pool]]'))
        for folder in ("a", "b")
    )
    assert diff(a, b) == [Change("radius.dictionaries", Needs.RESTART_BNGD)]


def test_a_change_reads_as_key_and_need() -> None:
    assert str(Change("pool[b]", Needs.LIVE)) == "pool[b]: live"


def test_a_port_that_changes_its_role_needs_the_dataplane_restarted() -> None:
    old = config()
    port = old.access_ports[0]
    twin = old.routed_ports[0].model_copy(update={"name": port.name})
    new = old.model_copy(update={"port": (twin, *old.port[1:])})
    assert diff(old, new) == [Change("port[access]", Needs.RESTART_DATAPLANE)]


def test_the_order_of_named_tables_does_not_matter() -> None:
    before, after = config(("[[pool]]", POOL_B + "[[pool]]")), config(("[nat]", POOL_B + "[nat]"))
    assert before.pool != after.pool
    assert diff(before, after) == []


# ---- the dataplane's command line


def test_the_dataplane_is_told_what_the_configuration_says() -> None:
    found = config(
        ("[0]", '[2, "any"]'),
        ('["198.51.100.0/28"]', '["198.51.100.0/31"]'),
        ('outer = "any"', 'outer = "10-19"\ninner = "7"\n[[port.access]]\nouter = "none"'),
    )
    assert " ".join(dataplane_args(found)) == (
        "--socket /run/bng/dataplane.sock --arena-dir /dev/shm --workers 2,- --sessions 20000 "
        "--fib4-pages 67720 --fib4-session-pages 376 "
        "--fib6-nodes 353524 --fib6-session-nodes 41024 "
        "--hugepages auto --buffers 16384 "
        "--port name=access,if=eth1,driver=af_packet,role=access,mtu=1500,worker=0,pbit=6 "
        "--port name=core,if=eth2,driver=af_packet,role=routed,mtu=1500,worker=0,tap=bng-core "
        "--access port=access,outer=10-19,inner=7-7 "
        "--access port=access,outer=none,inner=none "
        "--nat-address 198.51.100.0 --nat-address 198.51.100.1 "
        "--nat-max-addresses 6 --nat-block-size 512 --nat-blocks 4 --nat-port-min 1024 "
        "--nat-filtering endpoint-independent --nat-forward-ports 1-1023 --nat-forwards 4096 "
        "--nat-remotes 65536 --nat-session-remotes 4096 "
        "--nat-session-mappings 0 --nat-mappings-per-s 0 --nat-quarantine 120 "
        "--nat-quarantine-percent 50 --nat-log-mib 4 --nat-protocol-flows 4096 "
        "--nat-session-protocol-flows 64 "
        "--nat-timeout udp=300,tcp=7440,tcp-trans=240,tcp-closing=240,icmp=60,protocol=300"
    )


@pytest.mark.parametrize(
    ("routes", "sessions", "pages", "for_sessions"),
    [(1_000, 1, 1_074, 64), (57_344, 6_400, 58_081, 164), (10_000_000, 1, 157_408, 64)],
)
def test_the_fib_has_room_for_routes_and_sessions(
    routes: int, sessions: int, pages: int, for_sessions: int
) -> None:
    sizes = f"[dataplane]\nroutes = {routes}\nmax_sessions = {sessions}\n"
    args = dataplane_args(config(("[dataplane]\n", sizes)))
    assert args[args.index("--fib4-pages") + 1] == str(pages)
    assert args[args.index("--fib4-session-pages") + 1] == str(for_sessions)


@pytest.mark.parametrize(
    ("routes", "sessions", "nodes", "for_sessions"),
    [(1_000, 1, 2_276, 1_026), (250_000, 20_000, 353_524, 41_024)],
)
def test_the_ipv6_fib_has_room_for_routes_and_sessions(
    routes: int, sessions: int, nodes: int, for_sessions: int
) -> None:
    sizes = f"[dataplane]\nroutes6 = {routes}\nmax_sessions = {sessions}\n"
    args = dataplane_args(config(("[dataplane]\n", sizes)))
    assert args[args.index("--fib6-nodes") + 1] == str(nodes)
    assert args[args.index("--fib6-session-nodes") + 1] == str(for_sessions)


def test_without_a_nat_pool_the_dataplane_hears_nothing_of_nat() -> None:
    text = BASE[: BASE.index("[[nat.pool]]")]
    args = dataplane_args(parse(Path("bng.toml"), text.encode()))
    assert not [arg for arg in args if "nat" in arg]


def test_places_for_datagrams_are_addresses_with_ports_or_paths() -> None:
    found = config(
        (
            "[[nat.pool]]",
            '[nat.log.syslog]\nserver = "/dev/log"\n'
            '[nat.log.ipfix]\ncollector = "[2001:db8::9]:4739"\n[[nat.pool]]',
        )
    )
    assert found.nat.log.syslog.server == (Path("/dev/log"), 0)
    assert found.nat.log.ipfix.collector == (IPv6Address("2001:db8::9"), 4739)
    other = config(("[[nat.pool]]", '[nat.log.syslog]\nserver = "192.0.2.9:514"\n[[nat.pool]]'))
    assert other.nat.log.syslog.server == (IPv4Address("192.0.2.9"), 514)


def test_any_vlan_is_written_as_a_word() -> None:
    assert "port=access,outer=any,inner=none" in dataplane_args(config())


def test_options_of_a_driver_are_passed_on() -> None:
    found = config(("mtu = 1500", 'options = { file = "/tmp/in.pcap", loop = "1" }'))
    port = dataplane_args(found)[dataplane_args(found).index("--port") + 1]
    assert port.endswith(",worker=0,pbit=6,file=/tmp/in.pcap,loop=1")


def test_several_workers_can_be_left_unpinned() -> None:
    assert config(("[0]", '["any", 3, "any"]')).dataplane.workers == (None, 3, None)


def launch(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[str]:
    """Return the command that the launcher executes."""
    executed: list[list[str]] = []
    monkeypatch.setattr(sys, "argv", ["bng-dataplane", *arguments])
    monkeypatch.setattr("os.execv", lambda _path, command: executed.append(command))
    dataplane_launch.main()
    return executed[0]


def test_the_launcher_becomes_the_binary_with_the_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BNG_DATAPLANE_BIN", "/opt/bng-dataplane")
    command = launch(monkeypatch, "--config", str(CONF / "bng.toml"))
    assert command == ["/opt/bng-dataplane", *dataplane_args(load(CONF / "bng.toml"))]
    assert launch(monkeypatch, "--check", "--config", str(CONF / "bng.toml"))[-1] == "--check"


def test_the_binary_is_looked_for_wherever_its_package_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BNG_DATAPLANE_BIN", raising=False)
    installed = tmp_path / "bng-dataplane"
    installed.touch()
    monkeypatch.setattr("dataplane.__path__", [str(tmp_path / "source"), str(tmp_path)])
    assert dataplane_launch.binary() == installed


def test_the_launcher_says_on_stderr_what_is_wrong_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bng.toml"
    path.write_text("[sytem]\n" + BASE)
    with pytest.raises(SystemExit) as caught:
        launch(monkeypatch, "--config", str(path))
    assert caught.value.code == 78
    assert capsys.readouterr().err == f"{path}:1: sytem: unknown key\n"


def test_the_launcher_says_when_there_is_no_binary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "bng-dataplane"
    monkeypatch.setenv("BNG_DATAPLANE_BIN", str(missing))
    monkeypatch.setattr(sys, "argv", ["bng-dataplane", "--config", str(CONF / "bng.toml")])
    with pytest.raises(SystemExit) as caught:
        dataplane_launch.main()
    assert caught.value.code == 69
    assert capsys.readouterr().err == f"{missing}: No such file or directory\n"


def test_values_are_frozen() -> None:
    found = config()
    with pytest.raises(ValueError, match="frozen"):
        found.system.name = "other"
    assert isinstance(found.port[0], AccessPort)


def test_the_shipped_files_are_toml_without_our_reader() -> None:
    for name in ("bng.toml", "users.toml"):
        assert tomllib.loads((CONF / name).read_text())
