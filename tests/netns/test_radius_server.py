"""The RADIUS client against FreeRADIUS: every way to authenticate, accounting, failover, TLS.

Everything is on loopback; the servers are Debian's.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from bng.aaa import attributes, requests
from bng.aaa.model import AccessRequest
from bng.aaa.reading import Offered
from bng.aaa.requests import AccountStatus
from bng.ethernet import AccessLine, Mac, VlanTag
from bng.ppp import chap, mschap
from bng.ppp.credentials import (
    ChapCredentials,
    Credentials,
    MsChap1Credentials,
    MsChap2Credentials,
    PapCredentials,
)
from radius.accounting import Accounting
from radius.client import Answered, Client, Failed, Failure
from radius.dictionary import Dictionary
from radius.link import Link
from radius.packet import Code, Request
from radius.settings import Group, Server, Tls, Transport
from radius.spool import Record, Spool
from tests.support.freeradius import SECRET, FreeRadius, certificates

DICTIONARY = Dictionary()
NAS = requests.Nas(identifier="lab", ports={3: "acc0"})
WHO = AccessRequest(
    acct_session_id="6563a1b200000001",
    request_id=1,
    credentials=PapCredentials(user_name="alice", password=b""),
    line=AccessLine(3, (VlanTag(0x88A8, 100), VlanTag(0x8100, 7))),
    mac=Mac.parse("02:00:5e:00:00:01"),
    service_name="internet",
    circuit_id=b"olt1/1/7",
    line_attributes=(("Actual-Data-Rate-Downstream", 100_000_000),),
)
USERS = """
alice Cleartext-Password := "secret"
\tService-Type = Framed-User, Framed-Protocol = PPP, Framed-IP-Address = 100.64.7.7,
\tFramed-Route += "198.51.100.0/24 0.0.0.0 1", Class = 0x0102, Session-Timeout = 3600,
\tFilter-Id = "20000/5000", Reply-Message = "hello", Acct-Interim-Interval = 300

DEFAULT Auth-Type := Reject
\tReply-Message = "no such line"
"""


@pytest.fixture
def radius(tmp_path: Path) -> Iterator[FreeRadius]:
    with FreeRadius(tmp_path / "radius", USERS) as server:
        yield server


def server_of(radius: FreeRadius, name: str = "a", **options: object) -> Server:
    fields: dict[str, object] = {
        "name": name,
        "address": ip_address(radius.address),
        "port": radius.auth_port,
        "secret": SECRET.encode(),
    }
    return Server(**{**fields, **options})  # type: ignore[arg-type]


def client_of(*servers: Server, **group: object) -> Client:
    return Client(
        Group(servers=servers, **group),  # type: ignore[arg-type]
        DICTIONARY,
        entropy=os.urandom,
        jitter=lambda: random.uniform(-1, 1),
        wall=time.time,
        probe=Request(code=Code.STATUS_SERVER, attributes=tuple(requests.identity(NAS))),
    )


def ask(
    core: Client, *asked: Request, timeout_s: float = 10, linger_s: float = 0
) -> list[Answered | Failed]:
    """Run *core* until every request has ended, and *linger_s* more; returns the ends in order."""

    async def body() -> list[Answered | Failed]:
        ends: dict[object, Answered | Failed] = {}
        done = asyncio.Event()

        def on_end(end: Answered | Failed) -> None:
            ends[end.token] = end
            if len(ends) == len(asked):
                done.set()

        link = Link(core, on_end, time.monotonic)
        running = asyncio.create_task(link.run())
        for token, request in enumerate(asked):
            core.submit(request, token, time.monotonic())
            link.settle()
        async with asyncio.timeout(timeout_s):
            await done.wait()
        await asyncio.sleep(linger_s)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return [ends[token] for token in range(len(asked))]

    return asyncio.run(body())


def access(credentials: Credentials) -> Request:
    pairs, password = requests.access(NAS, WHO, credentials)
    return Request(code=Code.ACCESS_REQUEST, attributes=tuple(pairs), password=password)


def pap(password: str) -> Credentials:
    return PapCredentials(user_name="alice", password=password.encode())


def chap_md5(password: str) -> Credentials:
    challenge = bytes(range(16))
    return ChapCredentials(
        user_name="alice",
        identifier=9,
        challenge=challenge,
        response=chap.chap_response(9, password.encode(), challenge),
    )


def mschap_v1(password: str) -> Credentials:
    challenge = bytes(range(8))
    proof = mschap.challenge_response(challenge, mschap.nt_hash(password))
    return MsChap1Credentials(
        user_name="alice", identifier=9, challenge=challenge, response=bytes(24) + proof + b"\1"
    )


def mschap_v2(password: str) -> Credentials:
    challenge, peer = bytes(range(16)), bytes(range(16, 32))
    proof = mschap.challenge_response(
        mschap.challenge_hash(peer, challenge, "alice"), mschap.nt_hash(password)
    )
    return MsChap2Credentials(
        user_name="alice",
        identifier=9,
        challenge=challenge,
        response=peer + bytes(8) + proof + b"\0",
    )


@pytest.mark.parametrize("method", [pap, chap_md5, mschap_v1, mschap_v2])
def test_every_method_is_accepted_and_refused_by_a_real_server(
    radius: FreeRadius, method: Callable[[str], Credentials]
) -> None:
    core = client_of(server_of(radius))
    good, bad = ask(core, access(method("secret")), access(method("wrong")))
    assert isinstance(good, Answered)
    assert isinstance(bad, Answered)
    assert (good.reply.code, bad.reply.code) == (Code.ACCESS_ACCEPT, Code.ACCESS_REJECT)
    pairs = [
        (DICTIONARY.name(key), DICTIONARY.decode(key, data)) for key, data in good.reply.attributes
    ]
    reading = attributes.read(pairs, Offered())
    made = attributes.profile(reading, "alice")
    assert (reading.refusal, reading.warnings) == (None, [])
    assert str(made.ipv4_address) == "100.64.7.7"
    assert [str(route.prefix) for route in made.routes] == ["198.51.100.0/24"]
    assert made.rate_down is not None
    assert (made.rate_down.cir_bps, made.session_timeout_s) == (20_000_000, 3600)
    success = good.reply.first("MS-CHAP2-Success")
    assert (success is not None) == (method is mschap_v2)
    if isinstance(success, bytes):
        assert (success[0], success[1:3]) == (9, b"S=")


def test_an_unknown_user_is_told_why(radius: FreeRadius) -> None:
    stranger = PapCredentials(user_name="bob", password=b"secret")
    (end,) = ask(client_of(server_of(radius)), access(stranger))
    assert isinstance(end, Answered)
    assert (end.reply.code, end.reply.first("Reply-Message")) == (
        Code.ACCESS_REJECT,
        "no such line",
    )


def test_a_wrong_secret_is_no_answer_and_is_counted(radius: FreeRadius) -> None:
    core = client_of(server_of(radius, secret=b"other"), timeout_s=0.3, tries=2)
    (end,) = ask(core, access(pap("secret")))
    assert end == Failed(0, Failure.NO_SERVER)
    state = core.servers[0]
    assert (state.counters["timeouts"], state.alive(time.monotonic())) == (1, False)


def test_a_stopped_server_costs_one_failover_and_is_found_again(
    radius: FreeRadius, tmp_path: Path
) -> None:
    with FreeRadius(tmp_path / "second", USERS) as second:
        core = client_of(
            server_of(radius, "first"),
            server_of(second, "second", priority=1),
            timeout_s=0.3,
            tries=2,
            probe_s=0.3,
        )
        radius.stop()
        started = time.monotonic()
        (end,) = ask(core, access(pap("secret")))
        assert isinstance(end, Answered)
        assert end.server == "second"
        assert 0.8 < time.monotonic() - started < 3  # 0.3 + 0.6 s, and an answer
        (end,) = ask(core, access(pap("secret")))
        assert isinstance(end, Answered)
        assert (end.server, core.servers[0].counters["requests"]) == ("second", 1)
        radius.start()
        deadline = time.monotonic() + 10
        while not core.servers[0].alive(time.monotonic()):  # a probe finds it
            assert time.monotonic() < deadline
            ask(core, access(pap("secret")), linger_s=0.5)
        (end,) = ask(core, access(pap("secret")))
        assert isinstance(end, Answered)
        assert end.server == "first"


def test_many_requests_at_once_are_all_answered(radius: FreeRadius) -> None:
    core = client_of(server_of(radius), timeout_s=3)
    ends = ask(core, *[access(pap("secret"))] * 1500, timeout_s=30)
    assert all(isinstance(end, Answered) for end in ends)
    assert core.servers[0].counters["accepts"] == 1500
    assert core.servers[0].counters["bad_replies"] == 0


def test_over_tls_a_real_server_answers(tmp_path: Path) -> None:
    """RFC 6614; the secret is "radsec"."""
    certs = certificates(tmp_path / "certs")
    with FreeRadius(tmp_path / "radius", USERS, certs=certs) as radius:
        tls = Tls(
            ca=f"{certs}/ca.pem", certificate=f"{certs}/client.pem", key=f"{certs}/client.key"
        )
        core = client_of(
            server_of(
                radius, port=radius.tls_port, secret=b"radsec", transport=Transport.TLS, tls=tls
            )
        )
        ends = ask(core, *[access(pap("secret"))] * 20, access(chap_md5("wrong")))
        codes = [end.reply.code for end in ends if isinstance(end, Answered)]
        assert codes == [Code.ACCESS_ACCEPT] * 20 + [Code.ACCESS_REJECT]


def test_a_server_whose_certificate_is_of_another_ca_is_not_talked_to(tmp_path: Path) -> None:
    certs, others = certificates(tmp_path / "certs"), certificates(tmp_path / "others")
    with FreeRadius(tmp_path / "radius", USERS, certs=certs) as radius:
        tls = Tls(
            ca=f"{others}/ca.pem", certificate=f"{certs}/client.pem", key=f"{certs}/client.key"
        )
        core = client_of(
            server_of(
                radius, port=radius.tls_port, secret=b"radsec", transport=Transport.TLS, tls=tls
            )
        )
        (end,) = ask(core, access(pap("secret")))
        assert end == Failed(0, Failure.NO_SERVER)


def record(session: str, status: AccountStatus) -> Record:
    pairs = [("Acct-Status-Type", status), ("Acct-Session-Id", session), *requests.identity(NAS)]
    carried = requests.Usage(in_bytes=(5 << 32) + 7, in_packets=3, out_bytes=9, out_packets=1)
    at = time.time() - 100
    if status == AccountStatus.STOP:
        pairs += requests.usage(carried, 60)
    return Record(session, at, (*pairs, ("Event-Timestamp", int(at))))


def test_accounting_survives_an_outage_without_a_record_lost_or_doubled(
    radius: FreeRadius, tmp_path: Path
) -> None:
    """The server is dead when the first half is written, and the client dies, too."""
    path = tmp_path / "spool"

    async def run(*records: Record, until_empty: bool) -> None:
        core = client_of(
            server_of(radius, port=radius.acct_port), timeout_s=0.2, tries=2, dead_s=0.5
        )
        spool = Spool(path, ["main"])
        accounting = Accounting(spool, {"main": core}, time.monotonic)
        running = asyncio.create_task(accounting.run())
        for item in records:
            accounting.put(item)
        async with asyncio.timeout(30):
            await asyncio.sleep(1)
            while until_empty and spool.depth["main"]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await spool.flush()
        spool.close()

    sessions = [f"s{number:03}" for number in range(200)]
    radius.stop()
    asyncio.run(run(*(record(name, AccountStatus.START) for name in sessions), until_empty=False))
    assert radius.detail() == []
    radius.start()
    asyncio.run(run(*(record(name, AccountStatus.STOP) for name in sessions), until_empty=True))
    seen = [(entry["Acct-Session-Id"], entry["Acct-Status-Type"]) for entry in radius.detail()]
    assert len(seen) == len(set(seen)) == 400
    for name in sessions:
        assert [status for session, status in seen if session == name] == ["Start", "Stop"]
    stop = next(entry for entry in radius.detail() if entry["Acct-Status-Type"] == "Stop")
    assert (stop["Acct-Input-Gigawords"], stop["Acct-Input-Octets"]) == ("5", "7")
    assert 100 <= int(stop["Acct-Delay-Time"]) < 140
