"""Command line of the test client.

python -m tests.support.client --interface sub0 --user alice --password wonder --tun ppp0
python -m tests.support.client load --interface acc1 --count 1000 --rate 500
python -m tests.support.client hostile --interface acc1 --pps 10000 --seconds 10
"""

import argparse
import dataclasses
import json
import sys

from tests.support.client import wire
from tests.support.client.ipv6 import Wants
from tests.support.client.layer import Profile
from tests.support.client.load import LoadClient
from tests.support.client.single import SingleClient, SingleOptions


def _auth(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(wire.AUTH_VALUES):
        raise argparse.ArgumentTypeError(f"no such method: {', '.join(sorted(unknown))}")
    return names


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--interface", required=True)
    parser.add_argument("--auth", type=_auth, default=("chap", "mschapv2", "pap"))
    parser.add_argument("--vlan", help="7 or 100.7; for load also {s} and {c}")
    parser.add_argument("--no-ipv6", action="store_true")
    parser.add_argument("--delegate", type=int, help="ask for a prefix of that length by DHCPv6")
    parser.add_argument("--mru", type=int, default=1492)
    parser.add_argument("--echo", type=float, default=0.0, help="seconds between our LCP echoes")
    parser.add_argument("--service", default="")
    parser.add_argument("--line", type=bytes.fromhex, default=b"", help="TR-101 sub-options, hex")
    parser.add_argument("--leave", choices=("terminate", "padt", "silence"), default="terminate")


def _profile(args: argparse.Namespace) -> Profile:
    return Profile(
        auth=args.auth,
        service=args.service.encode(),
        mru=args.mru,
        max_payload=args.mru if args.mru > 1492 else 0,
        ipv6=not args.no_ipv6,
        wants=None if args.delegate is None else Wants(delegate=args.delegate),
        echo_s=args.echo,
        line=args.line,
    )


def _single(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.support.client")
    _common(parser)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--tun", default="ppp0")
    parser.add_argument("--mac")
    parser.add_argument("--persist", action="store_true", help="dial again when the session ends")
    args = parser.parse_args(argv)
    options = SingleOptions(
        interface=args.interface,
        user=args.user,
        password=args.password,
        tun=args.tun,
        tags=wire.vlan_bytes(args.vlan),
        persist=args.persist,
        profile=_profile(args),
        mac=bytes.fromhex(args.mac.replace(":", "")) if args.mac else None,
        leave=args.leave,
    )
    return SingleClient(options).run()


def _load(argv: list[str], *, hostile: bool) -> int:
    parser = argparse.ArgumentParser(prog="tests.support.client load|hostile")
    _common(parser)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--user-format", default="user{:05d}")
    parser.add_argument("--password", default="secret")
    parser.add_argument("--redial", type=float, help="seconds before a failed one dials again")
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--pps", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--server", default="192.0.2.2")
    args = parser.parse_args(argv)
    client = LoadClient(
        args.interface,
        args.count,
        args.rate,
        user_format=args.user_format,
        password=args.password,
        first=args.first,
        vlan=args.vlan,
        redial_s=args.redial,
        profile=_profile(args),
    )
    result = client.run(timeout_s=args.timeout)
    print(json.dumps({"event": "dialled", **dataclasses.asdict(result)}), flush=True)
    if hostile:
        sent = client.hostile_configure_requests(args.pps or 10_000, args.seconds)
        print(json.dumps({"event": "hostile", "sent": sent}), flush=True)
    elif args.pps:
        traffic = client.send_traffic(args.pps, args.seconds, server=args.server)
        line = {"event": "traffic", "lost": traffic.lost, **dataclasses.asdict(traffic)}
        print(json.dumps(line), flush=True)
    client.terminate_all(args.leave)
    client.close()
    return 0 if result.opened == args.count else 1


def main() -> int:
    """Choose the front end."""
    if sys.argv[1:2] in (["load"], ["hostile"]):
        return _load(sys.argv[2:], hostile=sys.argv[1] == "hostile")
    return _single(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
