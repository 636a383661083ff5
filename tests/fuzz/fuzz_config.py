"""Fuzz bng.toml, users.toml and stored passwords: wrong input is a ConfigError, nothing else.

Input: one byte that picks the reader (and from 128 on gives users.toml something to name), then the
file. A file that is taken is used as the daemon
would; one that is refused has to be refused with lines that exist, and without our stack.
"""

import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from bng.aaa import users
from bng.aaa.acl import parse_rule
from bng.aaa.password import MAX_SCRYPT_LN, Pbkdf2, SaltedDigest, Scrypt, parse_password
from bng.config import dataplane_args, diff, parse
from bng.errors import ConfigError
from bng.tomlfile import Key, TomlFile, locate

PATH = Path("f.toml")
KNOWN = users.Known(
    pools={"main"},
    ipv6_pools={"links": 64, "nets": 56, "hosts": 128},
    nat_profiles={"cgn", "one", "off"},
    nat_addresses={
        IPv4Address("198.51.100.1"): "blocks",
        IPv4Address("198.51.100.2"): "sums",
        IPv4Address("198.51.100.3"): "whole",
    },
    nat_pools={"blocks": "port-blocks", "sums": "deterministic", "whole": "one-to-one"},
    nat_pool_of_profile={"cgn": "blocks", "one": "whole"},
    acls={"clean"},
    own_addresses={IPv4Address("192.0.2.1"), IPv6Address("2001:db8:ffff::1")},
    forward_ports=(1, 1023),
)


def test_one_input(data: bytes) -> None:
    """Run one input."""
    reader = data[0] % 3 if data else 0
    if reader == 2:
        check_password(data[1:].decode("latin-1"))
        return
    try:
        if reader == 0:
            config = parse(PATH, data[1:])
            assert diff(config, config) == []
            assert all(arg.isprintable() for arg in dataplane_args(config)[2:])
            assert all(parse_rule(str(rule)) == rule for acl in config.acl for rule in acl.rules)
        else:
            known = KNOWN if data[0] >= 128 else None
            for name, user in users.parse(PATH, data[1:], known).by_name.items():
                assert user.profile.user_name == name
    except ConfigError as error:
        check_refusal(str(error), data.count(b"\n", 1) + 1)
    check_lines(data[1:])


def check_refusal(text: str, lines: int) -> None:
    """Each line of an error names the file and, where it can, a line that exists."""
    for problem in text.split("\n"):
        found = re.match(r"f\.toml:(?:(\d+):)? .", problem)
        assert found is not None, text
        assert found[1] is None or 1 <= int(found[1]) <= lines, text


def check_lines(raw: bytes) -> None:
    """Each key that tomllib sees has a line."""
    try:
        file = TomlFile.parse(PATH, raw)
    except ConfigError:
        return
    known, lines = locate(file.text), raw.count(b"\n") + 1
    for key in keys_of(file.data, ()):
        assert 1 <= known[key] <= lines, key


def keys_of(data: object, at: Key) -> list[Key]:
    """Return *at* and all keys below it."""
    below: list[Key] = [at] if at else []
    if isinstance(data, dict):
        for name, value in data.items():
            below += keys_of(value, (*at, name))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            below += keys_of(value, (*at, index))
    return below


def check_password(text: str) -> None:
    """A stored password is refused by ValueError, or bounded in what it costs."""
    try:
        stored = parse_password(text)
    except ValueError:
        return
    if isinstance(stored, Scrypt):
        assert stored.ln <= MAX_SCRYPT_LN
    else:
        stored.matches(b"x")
    if isinstance(stored, Scrypt | Pbkdf2 | SaltedDigest):
        assert parse_password(str(stored)) == stored
