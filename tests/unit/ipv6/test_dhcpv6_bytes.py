"""RFC 8415 §18.3, whole: each message type, each status code, and the bytes that answer it.

What is asked and what has to be answered are both built by scapy; the answer is compared byte by
byte, order of options included. That no type and no code is missing is a test of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from ipaddress import IPv6Address
from operator import truediv
from typing import Any
from uuid import UUID

import pytest
from scapy.layers import dhcp6
from scapy.packet import Packet

from bng.ipv6.messages import MessageType, StatusCode
from bng.ipv6.options import ClientOptions
from tests.unit.ipv6.dhcp_client import ADDRESSES, CONFIG, PREFIXES, Bed, na, pd

PLAIN = replace(CONFIG, options=ClientOptions(), preference=None)
STRICT = replace(PLAIN, recreate=False)
NOTHING = replace(PLAIN, max_addresses=0, max_prefixes=0)
CLIENT = dhcp6.DHCP6OptClientId(duid=dhcp6.DUID_LL(lladdr="02:00:5e:00:00:01"))
SERVER = dhcp6.DHCP6OptServerId(duid=dhcp6.DUID_UUID(uuid=UUID(bytes=bytes(range(16)))))
A, SECOND_A = (str(network.network_address) for network in ADDRESSES)
P, SECOND_P = str(PREFIXES[0]), str(PREFIXES[1])
FOREIGN = "2001:db8:ff00::/56"
UNICAST = {"source": IPv6Address("2001:db8:0:1::a"), "to": IPv6Address("2001:db8::1")}
RAPID = dhcp6.DHCP6OptRapidCommit()


def code(number: StatusCode, text: str) -> Packet:
    return dhcp6.DHCP6OptStatusCode(statuscode=int(number), statusmsg=text.encode())


NO_ADDRS = code(StatusCode.NO_ADDRS_AVAIL, "no address available")
NO_PREFIX = code(StatusCode.NO_PREFIX_AVAIL, "no prefix available")
NO_BINDING = code(StatusCode.NO_BINDING, "no binding")
NOT_ON_LINK = code(StatusCode.NOT_ON_LINK, "not on this link")


def address(text: str = A, preferred: int = 1000, valid: int = 2000) -> Packet:
    return dhcp6.DHCP6OptIAAddress(addr=text, preflft=preferred, validlft=valid)


def prefix(text: str = P, preferred: int = 1000, valid: int = 2000) -> Packet:
    network, bits = text.split("/")
    return dhcp6.DHCP6OptIAPrefix(prefix=network, plen=int(bits), preflft=preferred, validlft=valid)


def got_na(*parts: Packet, t1: int = 500, t2: int = 800) -> Packet:
    return dhcp6.DHCP6OptIA_NA(iaid=1, T1=t1, T2=t2, ianaopts=list(parts))


def got_pd(*parts: Packet, t1: int = 500, t2: int = 800) -> Packet:
    return dhcp6.DHCP6OptIA_PD(iaid=1, T1=t1, T2=t2, iapdopt=list(parts))


def no_na(*parts: Packet) -> Packet:
    return got_na(*parts, t1=0, t2=0)


def no_pd(*parts: Packet) -> Packet:
    return got_pd(*parts, t1=0, t2=0)


def nobody(_: Bed) -> None:
    """The client has nothing."""


def bound(bed: Bed) -> None:
    """The client has an address and a prefix."""
    bed.send(dhcp6.DHCP6_Request(), SERVER, na(), pd())


def to_renumber(bed: Bed) -> None:
    """It has them, and they are no longer to be had."""
    bound(bed)
    bed.shelf.gone |= {ADDRESSES[0], PREFIXES[0]}
    bed.wait(600.0)


def failing(bed: Bed) -> None:
    """The dataplane installs nothing."""
    bed.ok = False


@dataclass(frozen=True, slots=True)
class Row:
    """A message, in which state, and its answer; *answer* None: none, which *counter* counts."""

    name: str
    kind: MessageType
    asked: tuple[Packet, ...]
    answer: tuple[Packet, ...] | None
    code: StatusCode | None = None
    before: Callable[[Bed], None] = nobody
    config: Any = PLAIN
    where: dict[str, Any] | None = None
    counter: str = "reply_sent"


M, S, REPLY = MessageType, StatusCode, dhcp6.DHCP6_Reply()
DONE = code(S.SUCCESS, "done")
MULTICAST = code(S.USE_MULTICAST, "send to ff02::1:2")
ROWS = [
    # Solicit (§18.3.1) and the Advertise that answers it (§18.3.9)
    Row("an offer", M.SOLICIT, (na(), pd()),
        (dhcp6.DHCP6_Advertise(), got_na(address()), got_pd(prefix())), counter="advertise_sent"),
    Row("at once", M.SOLICIT, (RAPID, na(), pd()),
        (REPLY, RAPID, got_na(address()), got_pd(prefix()))),
    Row("preference", M.SOLICIT, (pd(),),
        (dhcp6.DHCP6_Advertise(), dhcp6.DHCP6OptPref(prefval=255), got_pd(prefix())),
        config=replace(PLAIN, preference=255), counter="advertise_sent"),
    Row("no address left", M.SOLICIT, (na(),), (dhcp6.DHCP6_Advertise(), no_na(NO_ADDRS)),
        S.NO_ADDRS_AVAIL, config=NOTHING, counter="advertise_sent"),
    Row("no prefix left", M.SOLICIT, (pd(),), (dhcp6.DHCP6_Advertise(), no_pd(NO_PREFIX)),
        S.NO_PREFIX_AVAIL, config=NOTHING, counter="advertise_sent"),
    Row("with a server's id", M.SOLICIT, (SERVER, na()), None, counter="server_id_unexpected"),
    # Request (§18.3.2)
    Row("given", M.REQUEST, (SERVER, na(), pd()), (REPLY, got_na(address()), got_pd(prefix()))),
    Row("again", M.REQUEST, (SERVER, na(), pd()), (REPLY, got_na(address()), got_pd(prefix())),
        before=bound),
    Row("of another link", M.REQUEST, (SERVER, na(1, "2001:db8:9::1")), (REPLY, no_na(NOT_ON_LINK)),
        S.NOT_ON_LINK),
    Row("none left", M.REQUEST, (SERVER, na(), pd()), (REPLY, no_na(NO_ADDRS), no_pd(NO_PREFIX)),
        S.NO_ADDRS_AVAIL, config=NOTHING),
    Row("not installed", M.REQUEST, (SERVER, na(), pd()), (REPLY, code(S.UNSPEC_FAIL, "not now")),
        S.UNSPEC_FAIL, before=failing),
    Row("sent unicast", M.REQUEST, (SERVER, na()), (REPLY, MULTICAST), S.USE_MULTICAST,
        where=UNICAST),
    # Confirm (§18.3.3)
    Row("the same link", M.CONFIRM, (na(1, A),), (REPLY, code(S.SUCCESS, "all on this link")),
        S.SUCCESS, before=bound),
    Row("another link", M.CONFIRM, (na(1, A, "2001:db8:9::1"),), (REPLY, NOT_ON_LINK),
        S.NOT_ON_LINK),
    Row("nothing to confirm", M.CONFIRM, (na(),), None, counter="no_addresses_to_confirm"),
    # Renew (§18.3.4)
    Row("longer", M.RENEW, (SERVER, na(1, A), pd(1, P)),
        (REPLY, got_na(address()), got_pd(prefix())), before=bound),
    Row("not bound", M.RENEW, (SERVER, na(1, A), pd(1, P)),
        (REPLY, no_na(NO_BINDING), no_pd(NO_BINDING)), S.NO_BINDING, config=STRICT),
    Row("one that he should not have", M.RENEW, (SERVER, pd(1, P, FOREIGN)),
        (REPLY, got_pd(prefix(), prefix(FOREIGN, 0, 0))), before=bound),
    Row("renumbered", M.RENEW, (SERVER, na(1, A), pd(1, P)),
        (REPLY, got_na(address(SECOND_A), address(A, 0, 1400)),
         got_pd(prefix(SECOND_P), prefix(P, 0, 1400))), before=to_renumber),
    Row("sent unicast", M.RENEW, (SERVER, na(1, A)), (REPLY, MULTICAST), S.USE_MULTICAST,
        before=bound, where=UNICAST),
    # Rebind (§18.3.5)
    Row("longer", M.REBIND, (na(1, A), pd(1, P)), (REPLY, got_na(address()), got_pd(prefix())),
        before=bound),
    Row("not bound", M.REBIND, (na(1, A), pd(1, P)),
        (REPLY, no_na(address(A, 0, 0), NO_BINDING), no_pd(prefix(P, 0, 0), NO_BINDING)),
        S.NO_BINDING, config=STRICT),
    Row("renumbered", M.REBIND, (pd(1, P),),
        (REPLY, got_pd(prefix(SECOND_P), prefix(P, 0, 1400))), before=to_renumber),
    Row("sent unicast", M.REBIND, (na(1, A),), None, where=UNICAST, counter="sent_unicast"),
    # Information-request (§18.3.6)
    Row("options alone", M.INFORMATION_REQUEST, (dhcp6.DHCP6OptOptReq(reqopts=[23]),),
        (REPLY, dhcp6.DHCP6OptDNSServers(dnsservers=["2001:db8::53"])), config=replace(
            PLAIN, options=ClientOptions(dns=(IPv6Address("2001:db8::53"),)))),
    Row("with an IA", M.INFORMATION_REQUEST, (na(),), None, counter="ia_unexpected"),
    # Release (§18.3.7), Decline (§18.3.8)
    Row("given back", M.RELEASE, (SERVER, na(1, A), pd(1, P)), (REPLY, DONE), S.SUCCESS,
        before=bound),
    Row("not bound", M.RELEASE, (SERVER, pd(1, P)), (REPLY, DONE, no_pd(NO_BINDING)),
        S.NO_BINDING),
    Row("sent unicast", M.RELEASE, (SERVER, pd(1, P)), (REPLY, MULTICAST), S.USE_MULTICAST,
        before=bound, where=UNICAST),
    Row("another's", M.DECLINE, (SERVER, na(1, A)), (REPLY, DONE), S.SUCCESS, before=bound),
    Row("not bound", M.DECLINE, (SERVER, na(1, A)), (REPLY, DONE, no_na(NO_BINDING)),
        S.NO_BINDING),
    Row("sent unicast", M.DECLINE, (SERVER, na(1, A)), (REPLY, MULTICAST), S.USE_MULTICAST,
        before=bound, where=UNICAST),
    # what servers and relay agents send (§16)
    Row("ignored", M.ADVERTISE, (SERVER, na(1, A)), None, counter="not_for_server"),
    Row("ignored", M.REPLY, (SERVER, na(1, A)), None, counter="not_for_server"),
    Row("ignored", M.RECONFIGURE, (SERVER, dhcp6.DHCP6OptReconfMsg(msgtype=5)), None,
        counter="not_for_server"),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind.name.lower()} {row.name}")
def test_a_message_gets_the_answer_of_the_rfc_byte_by_byte(row: Row) -> None:
    bed = Bed(row.config)
    row.before(bed)
    bed.counters.update(dict.fromkeys(bed.counters, 0))
    trid = 0xC0FFEE
    cls = getattr(dhcp6, dhcp6.dhcp6_cls_by_type[int(row.kind)])
    asked = reduce(truediv, (cls(trid=trid), CLIENT, *(part.copy() for part in row.asked)))
    answer = bed.send_raw(bytes(asked), **(row.where or {}))
    assert bed.counters[row.counter] == 1
    if row.answer is None:
        assert answer is None
        return
    head, *parts = (part.copy() for part in row.answer)
    head.trid = trid
    wanted = reduce(truediv, (head, CLIENT, SERVER, *parts))
    assert answer is not None
    assert bytes(answer) == bytes(wanted), f"{answer.command()}\n{wanted.command()}"
    if row.code is not None and row.code is not StatusCode.SUCCESS:
        assert bed.counters[row.code.name.lower()] == bytes(wanted).count(
            b"\0\x0d" + (2 + len(_text(row.code))).to_bytes(2) + int(row.code).to_bytes(2)
        )


def _text(number: StatusCode) -> str:
    said = (NO_ADDRS, NO_PREFIX, NO_BINDING, NOT_ON_LINK, MULTICAST, code(S.UNSPEC_FAIL, "not now"))
    (text,) = (one.statusmsg.decode() for one in said if one.statuscode == int(number))
    return str(text)


@pytest.mark.parametrize("kind", [dhcp6.DHCP6_RelayForward, dhcp6.DHCP6_RelayReply])
def test_a_subscriber_is_no_relay_agent(kind: type[Packet]) -> None:
    bed = Bed(PLAIN)
    inner = dhcp6.DHCP6_Solicit(trid=5) / CLIENT / na()
    relayed = kind(linkaddr="2001:db8::1", peeraddr="fe80::9")
    relayed /= dhcp6.DHCP6OptRelayMsg(message=inner)
    assert bed.send_raw(bytes(relayed)) is None
    assert {name for name, count in bed.counters.items() if count} == {"malformed"}
    assert bed.shelf.taken == []


def test_no_message_type_and_no_status_code_is_missing_above() -> None:
    relays = {MessageType.RELAY_FORW, MessageType.RELAY_REPL}
    assert {row.kind for row in ROWS} == set(MessageType) - relays
    assert {row.code for row in ROWS} - {None} == set(StatusCode)
    answered = {row.kind for row in ROWS if row.answer is not None}
    assert answered == set(MessageType) - relays - {
        MessageType.ADVERTISE,
        MessageType.REPLY,
        MessageType.RECONFIGURE,
    }
