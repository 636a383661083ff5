"""Every way in which bng.toml can be wrong: the error names file, line and key."""

from pathlib import Path

import pytest

from bng.config import load, parse
from bng.errors import ConfigError

BASE = """
[system]
name = "bng"
[dataplane]
workers = [0]
[[port]]
name = "access"
interface = "eth1"
role = "access"
mtu = 1500
[[port.access]]
outer = "any"
inner = "none"
[[port]]
name = "core"
interface = "eth2"
role = "routed"
addresses = ["192.0.2.2/24"]
[[route]]
prefix = "0.0.0.0/0"
via = "192.0.2.1"
[pppoe]
max_payload = 1492
[ppp]
mru = 1492
auth = ["chap"]
[session]
single_session = "replace"
[[pool]]
name = "main"
ranges = ["100.64.0.10-100.64.0.99"]
gateway = "100.64.0.1"
[nat]
port_block_size = 512
[[nat.pool]]
name = "public"
addresses = ["198.51.100.0/28"]
"""

MARK = "#!"
"""Stands in a case on the line that the error has to name."""

CLIENT = """[[radius.dynauth.client]]
name = "oss"
secret = "s"
prefix = "192.0.2.10"
"""
TWIN = '[[radius.dynauth.client]]\nname = "oss" #!\nsecret = "s"\n'

IPV6_POOL = "[[ipv6.pool]]\nname = '{}'\nprefixes = ['{}']\nlength = {}\n"

CASES = [
    # unknown, missing and mistyped keys
    ('name = "bng"', 'nam = "bng" #!', "system.nam: unknown key"),
    ('[system]\nname = "bng"', "[sytem] #!", "sytem: unknown key"),
    ('gateway = "100.64.0.1"\n', "", "pool[0].gateway: missing key", "[[pool]]"),
    ('role = "access"\n', "", 'port[0]: role must be "access" or "routed"', "[[port]]"),
    (
        '"routed"',
        '"router"',
        'port[1]: role must be "access" or "routed"',
        '[[port]]\nname = "core',
    ),
    ("mtu = 1500", 'mtu = "1500" #!', "port[0].mtu: must be an integer"),
    ("mtu = 1500", "mtu = 1500.0 #!", "port[0].mtu: must be an integer"),
    ("mtu = 1500", "mtu = true #!", "port[0].mtu: must be an integer"),
    ("mtu = 1500", "mtu = 575 #!", "port[0].mtu: must be at least 576, not 575"),
    ("mtu = 1500", "mtu = 1921 #!", "port[0].mtu: must be at most 1920, not 1921"),
    ("mtu = 1500", "addresses = [] #!", "port[0].addresses: unknown key"),
    ("mtu = 1500", "p_bit = 8 #!", "port[0].p_bit: must be at most 7, not 8"),
    ('addresses = ["192', 'p_bit = 6 #!\naddresses = ["192', "port[1].p_bit: unknown key"),
    ('name = "bng"', "name = 5 #!", "system.name: must be 1 to 64 printable ASCII characters"),
    ('name = "bng"', 'name = "" #!', "system.name: must be 1 to 64 printable ASCII characters"),
    (
        'name = "bng"',
        'run_dir = "run" #!',
        "system.run_dir: must be an absolute path of at most 90 bytes",
    ),
    (
        'name = "bng"',
        'socket_mode = "0888" #!',
        'system.socket_mode: must be an octal mode in quotes: "0660"',
    ),
    (
        'name = "bng"',
        "socket_mode = 432 #!",
        'system.socket_mode: must be an octal mode in quotes: "0660"',
    ),
    (
        'name = "bng"',
        'log_level = "loud" #!',
        "system.log_level: must be 'debug', 'info', 'warning' or 'error'",
    ),
    ('name = "bng"', "[system.name] #!", "system.name: must be 1 to 64 printable ASCII characters"),
    ('[system]\nname = "bng"', "system = 1 #!", "system: must be a table"),
    ("workers = [0]", "workers = 0 #!", "dataplane.workers: must be an array"),
    ("workers = [0]", "workers = [] #!", "dataplane.workers: must have at least 1 entries"),
    ("workers = [0]", "workers = [\n1,\n1, #!\n]", "dataplane.workers[1]: 1 is in use already"),
    ('"replace"', '"both" #!', "session.single_session: must be 'replace', 'deny' or 'allow'"),
    ("mru = 1492", "restart_s = nan #!", "ppp.restart_s: must be a finite number"),
    ("mru = 1492", "restart_s = true #!", "ppp.restart_s: must be a number"),
    ('auth = ["chap"]', 'auth = ["chap", "chap"] #!', "ppp.auth[1]: chap is in use already"),
    (
        'auth = ["chap"]',
        'auth = ["eap"] #!',
        "ppp.auth[0]: must be 'chap', 'mschap-v2', 'mschap-v1' or 'pap'",
    ),
    *(
        (
            "workers = [0]",
            f"workers = [{wrong}] #!",
            'dataplane.workers[0]: must be a CPU number, 0 to 1023, or "any"',
        )
        for wrong in ("-1", "1024", "true", '"0"')
    ),
    # ports
    (
        "mtu = 1500",
        "worker = 1 #!",
        "port[0].worker: there are not that many workers, counted from 0",
    ),
    ("mtu = 1500", "worker = 16 #!", "port[0].worker: must be less than 16, not 16"),
    (
        "mtu = 1500",
        'options = { key = "a,role=x" } #!',
        "port[0].options.key: must be a string without space, comma, =",
    ),
    ("mtu = 1500", 'options = { mtu = "9" } #!', "port[0].options.mtu: must be a driver's key"),
    ('"core"', '"access" #!', "port[1].name: access is in use already"),
    ('"eth2"', '"eth1" #!', "port[1].interface: eth1 is in use already"),
    ('"eth2"', '"eth2"\ntap = "eth1" #!', "port[1].tap: eth1 is in use already"),
    ('"eth2"', '"bng-core"', "port[1].tap: bng-core is in use already", '[[port]]\nname = "core"'),
    (
        '"eth2"',
        '"a,role=x" #!',
        "port[1].interface: must be a device name: up to 15 characters, none of space / : , =",
    ),
    ('"core"', '"Core" #!', "port[1].name: must be a port name: up to 11 of a-z 0-9 -"),
    (
        'outer = "any"\ninner = "none"',
        'outer = "none"\ninner = "5" #!',
        "port[0].access[0].inner: there is no inner tag without an outer one",
    ),
    *(
        (
            'outer = "any"',
            f"outer = {wrong} #!",
            'port[0].access[0].outer: must be "none", "any", "100" or "100-199" (1 to 4094)',
        )
        for wrong in ('"0"', '"4095"', '"20-10"', '"1-2-3"', '"all"', "100", '""', "[]")
    ),
    *(
        (
            '"192.0.2.2/24"',
            f"{wrong} #!\n",
            "port[1].addresses[0]: must be an address with prefix length: "
            "192.0.2.1/24, 2001:db8::1/64",
        )
        for wrong in ('"192.0.2.2"', '"192.0.2.2/33"', '"2001:db8::1"', '"fe80::1%eth2/64"', "5")
    ),
    *(
        (
            '"192.0.2.2/24"]',
            f'"192.0.2.2/24", "{wrong}/64"] #!',
            f"port[1].addresses[1]: {wrong} is not a unicast address",
        )
        for wrong in ("fe80::1", "ff02::1", "::1", "::", "::ffff:102:304")
    ),
    (
        '"192.0.2.2/24"]',
        '"192.0.2.2/24", "2001:db8::1/64"] #!\nmtu = 1000',
        "port[1].addresses[1]: IPv6 needs an mtu of 1280",
    ),
    (
        '"192.0.2.2/24"]\n[[route]]',
        '"192.0.2.2/24", "2001:db8:1::1/48"]\n[[port]]\nname = "b"\ninterface = "eth3"\n'
        'role = "routed"\naddresses = ["2001:db8:1:5::1/64"] #!\n[[route]]',
        "port[2].addresses[0]: overlaps 2001:db8:1::/48 of port core",
    ),
    (
        'via = "192.0.2.1"',
        'via = "2001:db8::1" #!',
        "route[0].via: 2001:db8::1 is not of the family of 0.0.0.0/0",
    ),
    (
        'prefix = "0.0.0.0/0"\nvia = "192.0.2.1"',
        'prefix = "::/0"\nvia = "2001:db8::1" #!',
        "route[0].via: 2001:db8::1 is in no network of a routed port",
    ),
    (
        '["192.0.2.2/24"]',
        '["224.0.0.1/24"] #!\n',
        "port[1].addresses[0]: 224.0.0.1 is not a unicast address",
        None,
        "route[0].via: 192.0.2.1 is in no network of a routed port",
    ),
    (
        "[[route]]",
        '[[port]]\nname = "b"\ninterface = "eth3"\nrole = "routed"\n'
        'addresses = ["192.0.2.130/25"] #!\n[[route]]',
        "port[2].addresses[0]: overlaps 192.0.2.0/24 of port core",
    ),
    (
        'via = "192.0.2.1"',
        'via = "203.0.113.1" #!',
        "route[0].via: 203.0.113.1 is in no network of a routed port",
    ),
    (
        'via = "192.0.2.1"',
        'via = "192.0.2.2" #!',
        "route[0].via: 192.0.2.2 is an address of this box",
    ),
    (
        "[pppoe]",
        '[[route]]\nprefix = "0.0.0.0/0" #!\nvia = "192.0.2.1"\n[pppoe]',
        "route[1].prefix: 0.0.0.0/0 is in use already",
    ),
    (
        '"0.0.0.0/0"',
        '"10.0.0.1/8" #!',
        "route[0].prefix: must be a prefix, host bits zero: 192.0.2.0/24, 2001:db8::/32",
    ),
    # IPv6
    (
        "[nat]",
        "[ipv6]\nlink_pool = 'x' #!\n[nat]",
        "ipv6.link_pool: there is no [[ipv6.pool]] named x",
    ),
    (
        "[nat]",
        "[ipv6]\ndelegated_pool = 'x' #!\n" + IPV6_POOL.format("x", "2001:db8::/64", 128) + "[nat]",
        "ipv6.delegated_pool: x has length 128, and it has to be 64 or less: it is delegated",
    ),
    (
        "[nat]",
        IPV6_POOL.format("x", "2001:db8::/64", 56).replace("/64']", "/64'] #!") + "[nat]",
        "ipv6.pool[0].prefixes[0]: 2001:db8::/64 has no prefixes of length 56",
    ),
    (
        "[nat]",
        IPV6_POOL.format("x", "2001:db8::/48", 72).replace("72", "72 #!") + "[nat]",
        "ipv6.pool[0].length: 72: a prefix has at most 64 bits, an address 128",
    ),
    (
        "[nat]",
        IPV6_POOL.format("x", "2001::/16", 64).replace("/16']", "/16'] #!") + "[nat]",
        "ipv6.pool[0].prefixes[0]: 2001::/16 has more than 2^32 prefixes /64",
    ),
    (
        "[nat]",
        IPV6_POOL.format("x", "ff02::/48", 64).replace("/48']", "/48'] #!") + "[nat]",
        "ipv6.pool[0].prefixes[0]: ff02::/48 is not unicast",
    ),
    (
        "[nat]",
        IPV6_POOL.format("x", "2001:db8::/48", 64)
        + IPV6_POOL.format("x", "2001:db8:1::/48", 64).replace("'x'", "'x' #!")
        + "[nat]",
        "ipv6.pool[1].name: x is in use already",
    ),
    (
        "[nat]",
        IPV6_POOL.format("x", "2001:db8::/48", 64) + "next = 'x' #!\n[nat]",
        "ipv6.pool[0].next: the chain of pools comes back to this one",
    ),
    (
        "[nat]",
        IPV6_POOL.format("x", "2001:db8::/48", 64) + "next = 'y' #!\n[nat]",
        "ipv6.pool[0].next: there is no [[ipv6.pool]] named y",
    ),
    (
        "[nat]",
        IPV6_POOL.format("x", "2001:db8::/48", 64) + "exclude = ['2001:db9::/48'] #!\n[nat]",
        "ipv6.pool[0].exclude[0]: 2001:db9::/48 is not inside one of the prefixes",
    ),
    (
        "[nat]",
        "[ipv6.ra]\nmin_interval_s = 500 #!\n[nat]",
        "ipv6.ra.min_interval_s: must be at most 0.75 times max_interval_s",
    ),
    (
        "[nat]",
        "[ipv6.ra]\nlifetime_s = 500 #!\n[nat]",
        "ipv6.ra.lifetime_s: must be 0, or at least max_interval_s",
    ),
    (
        "[nat]",
        "[ipv6.ra]\npreferred_s = 9000 #!\n[nat]",
        "ipv6.ra.preferred_s: must be at most valid_s",
    ),
    (
        "[nat]",
        "[ipv6.server]\npreferred_s = 9000 #!\n[nat]",
        "ipv6.server.preferred_s: must be at most valid_s",
    ),
    (
        "[nat]",
        "[ipv6.server]\nt1_s = 3000 #!\n[nat]",
        "ipv6.server.t1_s: t1_s must be at most t2_s",
    ),
    (
        "[nat]",
        "[ipv6.server]\nt2_s = 4000 #!\n[nat]",
        "ipv6.server.t2_s: must be at most preferred_s",
    ),
    (
        "[nat]",
        "[ipv6.server]\nhint_lengths = [60] #!\n[nat]",
        "ipv6.server.hint_lengths[0]: no [[ipv6.pool]] has length 60",
    ),
    (
        "[nat]",
        "[ipv6.profile.x]\nra = { preferred_s = 9000 } #!\n[nat]",
        "ipv6.profile.x.ra.preferred_s: must be at most valid_s",
    ),
    (
        "[nat]",
        "[ipv6.profile.x.server]\nhint_lengths = [60] #!\n[nat]",
        "ipv6.profile.x.server.hint_lengths[0]: no [[ipv6.pool]] has length 60",
    ),
    (
        "[nat]",
        "[ipv6.profile.x]\ndhcpv6 = 'off' #!\n[nat]",
        "ipv6.profile.x.dhcpv6: unknown key",
    ),
    ("[nat]", "[ipv6]\nprofile.x = 1 #!\n[nat]", "ipv6.profile.x: must be a table"),
    ("[nat]", "[ipv6]\nprofile = 1 #!\n[nat]", "ipv6.profile: must be a table"),
    (
        "[nat]",
        "[ipv6]\ndhcpv6 = 'external'\n[ipv6.external]\nservers = []\n[nat]",
        'ipv6.external.servers: dhcpv6 = "external" needs a server',
        "servers = []",
    ),
    (
        "[nat]",
        "[ipv6]\ndomains = ['a..b'] #!\n[nat]",
        "ipv6.domains[0]: must be a domain name: up to 253 ASCII characters",
    ),
    # PPPoE and PPP
    (
        "max_payload = 1492",
        "max_payload = 1500 #!",
        "pppoe.max_payload: no access port has an mtu of 1508",
    ),
    ("mru = 1492", "mru = 1500 #!", "ppp.mru: must be at most 1492, not 1500"),
    ("mtu = 1500", "mtu = 1400 #!", "port[0].mtu: must be at least 1500 for ppp.mru 1492"),
    (
        "max_payload = 1492",
        "holdoff_max_s = 1 #!",
        "pppoe.holdoff_max_s: must be at least holdoff_initial_s",
    ),
    (
        "max_payload = 1492",
        "accept_any_service = false\naccept_empty_service = false\nservice_names = [] #!",
        "pppoe.service_names: no service is offered: name one, or accept any or the empty one",
    ),
    (
        "mtu = 1500",
        f"service_names = {['x' * 60] * 9} #!",
        "port[0].service_names: more than fits into 512 bytes of a PADO",
    ),
    # pools
    (
        'single_session = "replace"',
        'default_pool = "x" #!',
        "session.default_pool: there is no pool x",
    ),
    ('name = "main"', 'name = "main"\nnext = "x" #!', "pool[0].next: there is no pool x"),
    (
        'name = "main"',
        'name = "main"\nnext = "main" #!',
        "pool[0].next: the chain of pools comes back to this one",
    ),
    (
        "[nat]",
        '[[pool]]\nname = "main" #!\nranges = ["100.64.9.0/24"]\ngateway = "100.64.0.1"\n[nat]',
        "pool[1].name: main is in use already",
    ),
    (
        "[nat]",
        '[[pool]]\nname = "b"\nranges = ["100.64.0.99"] #!\ngateway = "100.64.0.1"\n[nat]',
        "pool[1].ranges[0]: overlaps 100.64.0.10-100.64.0.99 of pool main",
    ),
    (
        '"100.64.0.10-100.64.0.99"',
        '"100.64.0.10-100.64.0.9" #!\n',
        "pool[0].ranges[0]: must be an address, a prefix with host bits zero, "
        "or FIRST-LAST (both included)",
    ),
    (
        '"100.64.0.10-',
        '"100.0.0.0-',
        "pool[0].ranges: more than 4194304 addresses",
        "ranges =",
        "pool[0].gateway: pool main gives 100.64.0.1 to subscribers: exclude it there",
    ),
    (
        '["100.64.0.10-100.64.0.99"]',
        '["239.0.0.0/24"] #!',
        "pool[0].ranges[0]: 239.0.0.0-239.0.0.255 is not unicast",
    ),
    (
        'gateway = "100.64.0.1"',
        'gateway = "127.0.0.1" #!',
        "pool[0].gateway: 127.0.0.1 is not a unicast address",
    ),
    (
        'gateway = "100.64.0.1"',
        'gateway = "100.64.0.10" #!',
        "pool[0].gateway: pool main gives 100.64.0.10 to subscribers: exclude it there",
    ),
    (
        'gateway = "100.64.0.1"',
        'gateway = "100.64.0.1"\nexclude = ["100.64.0.90-100.64.0.100"] #!',
        "pool[0].exclude[0]: 100.64.0.90-100.64.0.100 is not inside one of the ranges",
    ),
    (
        '["192.0.2.2/24"]',
        '["192.0.2.2/24", "100.64.0.50/24"] #!',
        "port[1].addresses[1]: pool main gives 100.64.0.50 to subscribers: exclude it there",
    ),
    # NAT
    ("= 512", "= 500 #!", "nat.port_block_size: must be a power of two"),
    ("= 512", "= 8192 #!", "nat.port_block_size: must be at most 4096, not 8192"),
    (
        "[[nat.pool]]",
        "[nat.profile.none] #!\ntranslate = true\n[[nat.pool]]",
        "nat.profile.none: none is built in: never translate",
    ),
    (
        "[[nat.pool]]",
        '[nat.profile."a b"] #!\ntranslate = true\n[[nat.pool]]',
        'nat.profile."a b": must be a name: up to 63 of A-Z a-z 0-9 _ . -',
    ),
    (
        "= 512",
        "= 512\nmax_addresses = 15 #!",
        "nat.max_addresses: 15, and the pools have 16",
    ),
    (
        "[[nat.pool]]",
        '[nat.profile.a]\ntranslate = true\npool = "x" #!\n[[nat.pool]]',
        "nat.profile.a.pool: there is no [[nat.pool]] named x",
    ),
    (
        "[[nat.pool]]",
        '[nat.profile.a]\ntranslate = false\npool = "public" #!\n[[nat.pool]]',
        "nat.profile.a.pool: translate = false takes no pool",
    ),
    (
        '"198.51.100.0/28"]',
        '"198.51.100.0/28"]\nmode = "deterministic" #!',
        "nat.pool[0].mode: deterministic needs inside: whom it serves",
    ),
    (
        '"198.51.100.0/28"]',
        '"198.51.100.0/28"]\ninside = ["100.64.0.0/24"] #!',
        "nat.pool[0].inside: is for pools with mode deterministic, not port-blocks",
    ),
    (
        '"198.51.100.0/28"]',
        '"198.51.100.0/28"]\nports_per_subscriber = 1024 #!',
        "nat.pool[0].ports_per_subscriber: is for pools with mode deterministic, not port-blocks",
    ),
    *(
        (
            '"198.51.100.0/28"]',
            '"198.51.100.0/28"]\nmode = "deterministic"\ninside = ["10.0.0.0/24"]\n'
            f"ports_per_subscriber = {ports} #!",
            "nat.pool[0].ports_per_subscriber: must be a power of two, and at least "
            "port_block_size, 512",
        )
        for ports in (1000, 256)
    ),
    (
        '"198.51.100.0/28"]',
        '"198.51.100.0/28"]\nmode = "deterministic"\ninside = ["100.64.0.0/20"] #!',
        "nat.pool[0].inside: 4096 subscribers with 512 ports each: "
        "the addresses have room for 2016",
    ),
    (
        '"198.51.100.0/28"]',
        '"198.51.100.0/28"]\nmode = "deterministic"\n'
        'inside = ["100.64.0.0/24",\n"100.64.0.128/25"] #!',
        "nat.pool[0].inside[1]: overlaps 100.64.0.0-100.64.0.255 of pool public",
    ),
    (
        '"198.51.100.0/28"]',
        '"198.51.100.0/28"]\n[[nat.pool]]\nname = "public" #!\naddresses = ["203.0.113.0/32"]',
        "nat.pool[1].name: public is in use already",
    ),
    (
        '["198.51.100.0/28"]',
        '["198.51.100.0/28",\n"198.51.100.8/32"] #!',
        "nat.pool[0].addresses[1]: overlaps 198.51.100.0-198.51.100.15 of NAT pool public",
    ),
    (
        '["198.51.100.0/28"]',
        '["192.0.2.0/28"] #!',
        "nat.pool[0].addresses[0]: holds 192.0.2.2, an address of this box",
    ),
    (
        '["198.51.100.0/28"]',
        '["100.64.0.96/28"] #!',
        "nat.pool[0].addresses[0]: overlaps 100.64.0.10-100.64.0.99 of pool main",
    ),
    (
        '["198.51.100.0/28"]',
        '["240.0.0.0/28"] #!',
        "nat.pool[0].addresses[0]: 240.0.0.0-240.0.0.15 is not unicast",
    ),
    (
        '["198.51.100.0/28"]',
        '["10.0.0.0/21"]',
        "nat.pool: more than 1024 public addresses",
        "[[nat.pool]]",
    ),
    (
        "= 512",
        "= 512\nremotes_per_worker = 1000 #!",
        "nat.remotes_per_worker: must be a power of two",
    ),
    ("= 512", '= 512\nlog = "/var/log/nat.log" #!', "nat.log: must be a table"),
    (
        "= 512",
        '= 512\n[nat.log.syslog]\nserver = "syslog.example:514" #!',
        "nat.log.syslog.server: must be an address with UDP port: 192.0.2.9:4739, "
        "[2001:db8::9]:4739, or the path of a unix socket: /dev/log",
    ),
    (
        "= 512",
        '= 512\n[nat.log.syslog]\nfacility = "kern" #!',
        "nat.log.syslog.facility: must be 'user', 'daemon', 'auth', 'authpriv', 'local0', "
        "'local1', 'local2', 'local3', 'local4', 'local5', 'local6' or 'local7'",
    ),
    (
        "= 512",
        '= 512\n[nat.log.ipfix]\ncollector = "2001:db8::9:4739" #!',
        "nat.log.ipfix.collector: must be an address with UDP port: 192.0.2.9:4739, "
        "[2001:db8::9]:4739",
    ),
    ("= 512", "= 512\nlog_buffer_mib = 3 #!", "nat.log_buffer_mib: must be a power of two"),
    (
        "= 512",
        "= 512\nprotocol_flows_per_worker = 100 #!",
        "nat.protocol_flows_per_worker: must be a power of two",
    ),
    (
        "= 512",
        "= 512\nprotocol_timeout_s = 59 #!",
        "nat.protocol_timeout_s: must be at least 60, not 59",
    ),
    ("= 512", "= 512\nudp_timeout_s = 119 #!", "nat.udp_timeout_s: must be at least 120, not 119"),
    (
        "= 512",
        "= 512\ntcp_established_timeout_s = 7439 #!",
        "nat.tcp_established_timeout_s: must be at least 7440, not 7439",
    ),
    # who may change sessions
    *(
        (
            "[nat]",
            f"[radius.dynauth]\n{listen}\n{CLIENT}{client}\n[nat]",
            f"radius.dynauth.{message}",
        )
        for listen, client, message in (
            ("port = 0 #!", "", "port: must be at least 1, not 0"),
            ("listen = [] #!", "", "listen: must have at least 1 entries"),
            ('listen = ["here"] #!', "", "listen[0]: must be an IPv4 or IPv6 address"),
            (
                'listen = ["::1",\n"192.0.2.1",\n"::1" #!\n]',
                "",
                "listen[2]: ::1 is there already",
            ),
        )
    ),
    *(
        ("[nat]", f"{CLIENT}{client}\n[nat]", f"radius.dynauth.client{message}")
        for client, message in (
            ('orders = ["pod"] #!', "[0].orders[0]: must be 'coa' or 'disconnect'"),
            ("window_s = -1 #!", "[0].window_s: must be at least 0, not -1"),
            (
                "event_timestamp = true\nwindow_s = 0 #!",
                "[0].window_s: 0 looks at no Event-Timestamp, event_timestamp demands one",
            ),
            (
                TWIN + 'prefix = "192.0.2.11"',
                "[1].name: oss is in use already",
            ),
            (
                TWIN.replace("oss", "b").replace("#!", "") + 'prefix = "192.0.2.10/32" #!',
                "[1].prefix: 192.0.2.10/32 is another client's, too",
            ),
            (
                TWIN.replace("oss", "b").replace("#!", "") + 'prefix = "192.0.2.10/24" #!',
                "[1].prefix: must be an address or a prefix, host bits zero",
            ),
        )
    ),
    (
        "[nat]",
        f'[radius.dynauth]\nlisten = ["::1"]\n{CLIENT}\n[nat]',
        "radius.dynauth.client[0].prefix: 192.0.2.10/32: radius.dynauth.listen has no IPv4 address",
        'prefix = "192.0.2.10"',
    ),
]


def refusal(text: str) -> list[str]:
    """Return the lines of the error that *text* draws."""
    with pytest.raises(ConfigError) as caught:
        parse(Path("conf/bng.toml"), text.encode())
    return str(caught.value).split("\n")


def line_of(text: str, place: str) -> int:
    return text[: text.index(place)].count("\n") + 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]!r}"[:60])
def test_a_wrong_key_is_refused_with_its_file_line_and_name(case: tuple[str, ...]) -> None:
    old, new, message, *rest = case
    assert BASE.count(old) >= 1
    text = BASE.replace(old, new, 1)
    place = rest[0] if rest and rest[0] else MARK
    first, *consequences = refusal(text)
    assert first == f"conf/bng.toml:{line_of(text, place)}: {message}"
    assert [line.split(": ", 1)[1] for line in consequences] == rest[1:]


def test_the_text_that_all_cases_start_from_is_right() -> None:
    assert parse(Path("bng.toml"), BASE.encode()).system.name == "bng"


def test_all_errors_are_reported_in_the_order_of_the_file() -> None:
    text = BASE.replace("512", "500").replace('"replace"', "3").replace("mtu = 1500", "mtv = 1")
    assert [line.split(": ")[1] for line in refusal(text)] == [
        "port[0].mtv",
        "session.single_session",
    ]


def test_more_than_twenty_errors_are_summed_up() -> None:
    lines = refusal("".join(f"key{n} = 1\n" for n in range(30)) + BASE)
    assert len(lines) == 21
    assert lines[0] == "conf/bng.toml:1: key0: unknown key"
    assert lines[20] == "conf/bng.toml: 10 more errors"


def test_a_file_without_an_access_port_is_refused() -> None:
    text = BASE[: BASE.index("[[port]]")] + BASE[BASE.index('[[port]]\nname = "core"') :]
    line = line_of(text, "[[port]]")
    assert refusal(text) == [f'conf/bng.toml:{line}: port: no port has role = "access"']


def test_routed_ports_count_twice_towards_the_limit_of_ports() -> None:
    text = BASE + "".join(
        f'[[port]]\nname = "r{n}"\ninterface = "r{n}"\nrole = "routed"\n'
        f'addresses = ["10.0.{n}.1/24"]\n'
        for n in range(31)
    )
    message = "port: more than 64 ports, where a routed port counts twice"
    assert refusal(text) == [f"conf/bng.toml:{line_of(text, '[[port]]')}: {message}"]


def test_workers_without_a_public_address_of_their_own_are_refused() -> None:
    text = BASE.replace("workers = [0]", "workers = [0, 1]")
    text = text.replace('["198.51.100.0/28"]', '["198.51.100.7/32"]')
    message = "nat.pool: 1 public addresses for 2 workers: one each at least"
    assert refusal(text) == [f"conf/bng.toml:{line_of(text, '[[nat.pool]]')}: {message}"]


def test_a_syntax_error_names_the_line() -> None:
    assert refusal("[system]\nname = \n") == ["conf/bng.toml:2: Invalid value (column 8)"]


def test_a_syntax_error_at_the_end_names_the_last_line() -> None:
    assert refusal("[system]\nname = [") == ["conf/bng.toml:2: Invalid value"]


def test_a_table_that_is_there_twice_is_refused() -> None:
    assert refusal("[system]\n[system]\n")[0].startswith("conf/bng.toml:2: Cannot declare")


def test_bytes_that_are_not_utf8_name_the_line() -> None:
    with pytest.raises(ConfigError, match=r"^bng.toml:2: not UTF-8$"):
        parse(Path("bng.toml"), b"[system]\nname = '\xff'")


def test_nesting_without_end_is_refused() -> None:
    assert refusal("a = " + "[" * 100_000) == [
        "conf/bng.toml: arrays or tables are nested too deep"
    ]


def test_a_number_without_end_is_refused() -> None:
    assert "digits" in refusal("a = " + "9" * 5_000)[0]


def test_a_prefix_needs_its_length() -> None:
    message = "route[0].prefix: must be a prefix, host bits zero: 192.0.2.0/24, 2001:db8::/32"
    text = BASE.replace('"0.0.0.0/0"', '"0.0.0.0"')
    assert refusal(text) == [f"conf/bng.toml:{line_of(text, 'prefix =')}: {message}"]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: No such file or directory$"):
        load(tmp_path / "none.toml")
