"""Wrong ground to start on: each ends in one line that names what is wrong, and no traceback.

PREFIX-sub            PREFIX-bng               PREFIX-inet
+-----------+    +---------------------+    +---------------+
|      sub0 |----| acc0           wan0 |----| inet0         |
+-----------+    +---------------------+    +---------------+
"""

import copy
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.netns.conftest import MakeLab
from tests.support.lab import ROOT, Lab, program
from tests.support.netns import command, run
from tests.support.toml import dump


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Build a lab that runs nothing."""
    lab = Lab(f"brk{os.getpid()}", tmp_path_factory.mktemp("built"))
    try:
        lab.build()
        yield lab
    finally:
        lab.down()


def start(
    lab: Lab, name: str, config: dict[str, Any] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of the processes with *config*, or the lab's own; it must end by itself."""
    path = lab.directory / "wrong.toml"
    path.write_text(dump(config or lab.config))
    argv = command(lab.bng, [program(name), "--config", str(path)])
    return subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False, cwd=ROOT)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check that it failed, said all *words* in one line, and did not fall over."""
    assert done.returncode not in (0, None)
    assert done.returncode > 0, f"ended by signal {-done.returncode}"
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert any(all(word in line for word in words) for line in lines), done.stderr
    assert len(lines) <= 2, done.stderr


def changed(lab: Lab, path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    config: Any = copy.deepcopy(lab.config)
    table = config
    for key in path[:-1]:
        table = table[key]
    table[path[-1]] = value
    result: dict[str, Any] = config
    return result


# --- the dataplane ---

_HUGE = {"workers": [0], "max_sessions": 1_000_000, "hugepages": "on"}
"""2.4 GiB of them: what no machine for tests has set aside."""


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("port", 0, "interface"), "nosuch0", ("acc0", "nosuch0", "No such device")),
        (("port", 1, "tap"), "acc0", ("wrong.toml", "tap", "acc0")),
        (("port", 1, "interface"), "acc0", ("wrong.toml", "port[1].interface", "acc0")),
        (("port", 0, "worker"), 1, ("wrong.toml", "port[0].worker")),
        (("port", 0, "mtu"), 9000, ("wrong.toml", "port[0].mtu")),
        (("dataplane",), _HUGE, ("arena-failed", "hugepages", "error=")),
        (("dataplane", "arena_dir"), "/nosuch", ("arena-failed", "/nosuch", "No such file")),
        (("dataplane", "socket"), "/tmp/" + "x" * 100, ("wrong.toml", "dataplane.socket")),
        (("system", "run_dir"), "/etc/passwd", ("socket", "/etc/passwd", "Not a directory")),
        (("port", 0, "options"), {"speed": "10"}, ("port acc0", "speed")),
    ],
)
def test_the_dataplane_names_what_keeps_it_from_starting(
    built: Lab, path: tuple[str | int, ...], value: object, words: tuple[str, ...]
) -> None:
    refused(start(built, "bng-dataplane", changed(built, path, value)), *words)
    assert run(built.bng, "nft", "list", "tables").stdout == "", "an ingress drop was left behind"


def test_an_interface_with_addresses_is_left_to_the_kernel(built: Lab) -> None:
    run(built.bng, "ip", "addr", "add", "10.9.9.9/24", "dev", "wan0")
    try:
        refused(start(built, "bng-dataplane"), "wan0", "has IP addresses")
    finally:
        run(built.bng, "ip", "addr", "flush", "dev", "wan0")
    assert run(built.bng, "nft", "list", "tables").stdout == ""


def test_a_tap_whose_name_is_another_devices_is_refused(built: Lab) -> None:
    run(built.bng, "ip", "link", "add", "other0", "type", "veth", "peer", "name", "other1")
    try:
        config = changed(built, ("port", 1, "tap"), "other0")
        refused(start(built, "bng-dataplane", config), "TAP other0")
    finally:
        run(built.bng, "ip", "link", "del", "other0")


def test_a_device_that_is_no_ethernet_is_refused(built: Lab) -> None:
    run(built.bng, "ip", "tuntap", "add", "tun0", "mode", "tun")
    try:
        config = changed(built, ("port", 0, "interface"), "tun0")
        refused(start(built, "bng-dataplane", config), "port acc0", "tun0", "no Ethernet device")
    finally:
        run(built.bng, "ip", "link", "del", "tun0")


# --- bngd ---


def test_bngd_without_a_dataplane_names_the_socket(built: Lab) -> None:
    refused(start(built, "bngd"), "dataplane.sock")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("text", ("users.toml:1", "users")),
        ("missing", ("users.toml", "No such file")),
        ("directory", ("users.toml", "directory")),
        ("bytes", ("users.toml", "UTF-8")),
    ],
)
def test_bngd_names_a_broken_user_file(built: Lab, spoil: str, words: tuple[str, ...]) -> None:
    users = built.directory / "users.toml"
    users.unlink()
    match spoil:
        case "text":
            users.write_text("[users.alice]\n")
        case "directory":
            users.mkdir()
        case "bytes":
            users.write_bytes(b'[user.alice]\npassword = "\xff"\n')
    try:
        refused(start(built, "bngd"), *words)
    finally:
        if spoil == "directory":
            users.rmdir()
        built.write_config()


# --- both run ---


def test_second_processes_are_refused_and_harm_nothing(make_lab: MakeLab) -> None:
    lab = make_lab()
    rules = run(lab.bng, "nft", "list", "ruleset").stdout
    assert rules.count("policy drop") == 2
    refused(start(lab, "bngd"), "another bngd", str(lab.process("bngd").pid))
    refused(start(lab, "bng-dataplane"), "acc0", "another bng-dataplane")
    elsewhere = changed(lab, ("system", "run_dir"), str(lab.directory / "run2"))
    elsewhere["port"][1]["tap"] = "second"
    refused(start(lab, "bng-dataplane", elsewhere), "acc0", "another bng-dataplane")
    assert run(lab.bng, "nft", "list", "ruleset").stdout == rules
    with lab.subscriber():
        assert run(lab.sub, "ping", "-c", "2", "-i", "0.2", "-I", "ppp0", "192.0.2.2").stdout


def test_a_wrong_place_for_state_or_sockets_names_it(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.stop("bngd")
    sick = lab.directory / "journal"
    sick.write_bytes(b"this is no database, but long enough to look at" * 100)
    refused(
        start(lab, "bngd", changed(lab, ("journal",), {"path": str(sick)})), "journal", str(sick)
    )
    config = changed(lab, ("nat", "log"), {"path": "/proc/nat.log"})
    refused(start(lab, "bngd", config), "NAT log /proc/nat.log")
    socket = lab.directory / "run" / "bngd.sock"
    socket.mkdir()
    refused(start(lab, "bngd"), "management socket", str(socket))
    socket.rmdir()
    lab.start_bngd()


def test_an_unreadable_or_broken_file_at_reload_changes_nothing(make_lab: MakeLab) -> None:
    lab = make_lab()
    users, toml = lab.directory / "users.toml", lab.directory / "bng.toml"
    good_users, good_toml = users.read_text(), toml.read_text()
    for path, text, words in (
        (users, good_users + '[user.x]\npasswrod = "y"\n', "users.toml"),
        (users, "no toml at all", "users.toml:1"),
        (toml, good_toml + "[sesion]\n", "sesion"),
        (toml, good_toml.replace('100.64.0.1"', '100.64.0.300"'), "gateway"),
    ):
        path.write_text(text)
        done = lab.ctl("reload", check=False)
        assert done.returncode == 1
        assert words in done.stderr, done
        users.write_text(good_users)
        toml.write_text(good_toml)
    users.unlink()
    assert "users.toml: No such file" in lab.ctl("reload", check=False).stderr
    with lab.subscriber():
        assert lab.sessions()[0]["user"] == "alice"
    users.write_text(good_users)
    lab.ctl("reload")


def test_reload_says_which_process_a_change_of_ports_needs(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.config["port"][0]["mtu"] = 1508
    lab.config["ppp"]["restart_s"] = 2.0
    lab.write_config()
    answer = lab.ctl_json("reload")
    assert answer["applied"] == ["ppp.restart_s"]
    assert answer["not_applied"] == [{"key": "port[acc0].mtu", "needs": "restart dataplane"}]
