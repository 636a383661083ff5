"""Who had a public port at a time, from files of the NAT log."""

import gzip
import random
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bng.natlog.files import CHUNK_BYTES, all_files, aside, open_log
from bng.natlog.lines import Header, NatLogFormatError, Record, time_text
from bng.natlog.search import Answer, Question, look_up, read_protocol, read_time, row

S = 1_000_000_000
NOON = 1_800_000_000 * S
OUTER = "198.51.100.1"


def header(second: int, boot: int = 1) -> Header:
    return Header(NOON + second * S, boot, (0,))


def block(second: int, event: str = "+block", session: int = 1, **fields: object) -> Record:
    record = Record(
        time_ns=NOON + second * S,
        worker=0,
        sequence=0,
        event=event,
        session=session,
        generation=1,
        inner=f"100.64.0.{session}",
        inner_port=0,
        outer=OUTER,
        first=1024,
        last=1535,
        protocol=0,
        acct_id=f"id{session}",
        user=f"user{session}",
    )
    return replace(record, **fields)


def mapping(second: int, event: str = "+map", port: int = 1030, **fields: object) -> Record:
    own = {"inner_port": 5000, "first": port, "last": port, "protocol": 17}
    return block(second, event, **{**own, "acct_id": "", "user": "", **fields})


def write(path: Path, *entries: Header | Record) -> Path:
    path.write_text("".join(f"{entry}\n" for entry in entries))
    return path


def ask(files: list[Path], second: float, port: int = 1030, protocol: int | None = None) -> Answer:
    return look_up(files, Question(IPv4Address(OUTER), port, NOON + int(second * S), protocol))


def users(answer: Answer) -> list[tuple[str, str]]:
    return [(h.begin.kind, h.begin.user) for h in answer.holdings]


def test_a_block_is_somebodys_from_its_begin_to_before_its_end(tmp_path: Path) -> None:
    files = [write(tmp_path / "nat.log", header(0), block(10), block(20, "-block"))]
    assert users(ask(files, 9.9)) == []
    (found,) = ask(files, 10).holdings
    assert (found.from_ns, found.to_ns) == (NOON + 10 * S, NOON + 20 * S)
    assert (found.begin.user, found.begin.acct_id, found.ended) == ("user1", "id1", "released")
    assert users(ask(files, 19.9)) == [("block", "user1")]
    assert users(ask(files, 20)) == []
    assert users(ask(files, 15, port=1536)) == []
    assert users(ask(files, 15, port=1535, protocol=6)) == [("block", "user1")]


def test_a_block_that_is_not_over_has_no_end(tmp_path: Path) -> None:
    files = [write(tmp_path / "nat.log", header(0), block(10))]
    (found,) = ask(files, 99).holdings
    assert (found.to_ns, found.ended) == (None, "")
    assert row(found)["to"] is None


def test_a_mapping_is_told_with_its_subscriber_and_ends_with_its_block(tmp_path: Path) -> None:
    files = [
        write(
            tmp_path / "nat.log",
            *(header(0), block(10), mapping(11), mapping(12, "-map"), mapping(13)),
            *(mapping(13, port=1031), block(20, "-block")),
        )
    ]
    assert users(ask(files, 11.5)) == [("block", "user1"), ("map", "user1")]
    assert users(ask(files, 12.5)) == [("block", "user1")]
    (_, found) = ask(files, 14).holdings
    assert (found.to_ns, found.begin.inner_port) == (NOON + 20 * S, 5000)
    assert users(ask(files, 14, protocol=6)) == [("block", "user1")]
    assert row(found)["protocol"] == "udp"


def test_the_end_of_the_dataplane_ends_all(tmp_path: Path) -> None:
    restart = replace(header(60), boot=NOON + 50 * S)
    entries = (header(0), block(10), mapping(11), restart, block(70, session=2))
    files = [write(tmp_path / "nat.log", *entries)]
    for found in ask(files, 49).holdings:
        assert (found.to_ns, found.ended) == (NOON + 50 * S, "dataplane-restarted")
    assert users(ask(files, 55)) == []
    assert users(ask(files, 71)) == [("block", "user2")]


def test_an_end_without_a_begin_says_so(tmp_path: Path) -> None:
    files = [write(tmp_path / "nat.log", header(0), block(20, "-block"))]
    (found,) = ask(files, 5).holdings
    assert (found.from_ns, found.to_ns) == (None, NOON + 20 * S)
    assert row(found)["from"] is None
    assert users(ask(files, 25)) == []


def test_a_whole_address_and_a_forwarded_port_are_found(tmp_path: Path) -> None:
    forward = {"protocol": 6, "first": 80, "last": 80, "inner_port": 8080}
    files = [
        write(
            tmp_path / "nat.log",
            header(0),
            block(1, "+static", first=0, last=65_535, outer="198.51.100.9"),
            block(2, "+forward", session=2, **forward),
        )
    ]
    other = Question(IPv4Address("198.51.100.9"), 443, NOON + 5 * S)
    assert users(look_up(files, other)) == [("static", "user1")]
    (found,) = ask(files, 5, port=80).holdings
    assert row(found) == {
        **{"kind": "forward", "user": "user2", "id": "id2", "inner": "100.64.0.2"},
        **{"inner_port": 8080, "outer": OUTER, "port_first": 80, "port_last": 80},
        **{"protocol": "tcp", "session": 2, "generation": 1, "ended": None, "to": None},
        "from": time_text(NOON + 2 * S),
    }
    assert users(ask(files, 5, port=80, protocol=17)) == []


def test_flows_without_ports_end_one_by_one_or_with_the_last_block(tmp_path: Path) -> None:
    gre = {"port": 0, "protocol": 47, "inner_port": 0}
    second = {"first": 2048, "last": 2559}
    files = [
        write(
            tmp_path / "nat.log",
            *(header(0), block(1), block(2, session=2, **second), mapping(3, **gre)),
            *(mapping(4, **gre), mapping(5, session=2, **gre), mapping(6, "-map", **gre)),
            block(20, "-block"),
        )
    ]
    one, two = ask(files, 10, port=0, protocol=47).holdings
    assert (one.begin.user, one.from_ns, one.to_ns) == ("user1", NOON + 3 * S, NOON + 20 * S)
    assert (two.begin.user, two.from_ns, two.to_ns) == ("user2", NOON + 5 * S, None)
    assert users(ask(files, 25, port=0, protocol=47)) == [("map", "user2")]
    assert users(ask(files, 25, port=0, protocol=50)) == []


# ---- several files


def rotated(folder: Path) -> Path:
    """Write three files, the oldest compressed; return the newest."""
    old = write(
        folder / "nat.log-20270115T080000.000000Z",
        *(header(0), block(10), mapping(11), block(40, "-block"), block(50, session=2)),
    )
    old.with_name(old.name + ".gz").write_bytes(gzip.compress(old.read_bytes()))
    old.unlink()
    write(
        folder / "nat.log-20270115T090000.000000Z",
        *(header(60), block(50, "=block", session=2), block(99, outer="198.51.100.7")),
    )
    return write(
        folder / "nat.log",
        *(header(100), block(50, "=block", session=2), block(110, "-block", session=2)),
    )


def test_an_answer_goes_on_over_several_files(tmp_path: Path) -> None:
    files = all_files(rotated(tmp_path))
    assert [path.name[7:] for path in files] == [
        *("-20270115T080000.000000Z.gz", "-20270115T090000.000000Z", "")
    ]
    assert users(ask(files, 12)) == [("block", "user1"), ("map", "user1")]
    for second in (55, 70, 105):
        (found,) = ask(files, second).holdings
        assert (found.from_ns, found.to_ns) == (NOON + 50 * S, NOON + 110 * S)
    assert ask(files, 55).begins_ns == NOON
    assert users(ask(files, -5)) == []


def test_each_file_answers_by_itself(tmp_path: Path) -> None:
    files = all_files(rotated(tmp_path))
    for path in files[1:]:
        (found,) = ask([path], 105).holdings
        assert (found.begin.user, found.from_ns) == ("user2", NOON + 50 * S)


def test_a_file_that_rotation_takes_away_meanwhile_is_no_error(tmp_path: Path) -> None:
    files = all_files(rotated(tmp_path))
    gone = tmp_path / "nat.log-20270114T080000.000000Z"
    assert users(ask([gone, *files], 105)) == [("block", "user2")]
    plain = files[1]
    plain.with_name(plain.name + ".gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert aside(tmp_path / "nat.log") == files[:2]
    plain.unlink()
    assert users(ask(files, 65)) == [("block", "user2")]
    with open_log(plain) as stream:
        assert stream.readline().startswith(b"#bng-nat-log")


def test_what_is_no_log_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(NatLogFormatError, match="there is no NAT log"):
        ask([], 1)
    path = tmp_path / "nat.log"
    path.write_text("something else\n")
    with pytest.raises(NatLogFormatError, match=f"{path}: no record"):
        ask([path], 1)
    path.write_text(f"{block(1)}\n")
    with pytest.raises(NatLogFormatError, match=r"nat\.log: the first line is no header"):
        ask([path], 1)
    packed = gzip.compress(f"{header(0)}\n".encode() + random.Random(1).randbytes(9_000))
    cut = tmp_path / "nat.log-20270115T080000.000000Z.gz"
    cut.write_bytes(packed[:-4_000])
    with pytest.raises(NatLogFormatError, match=r"Z\.gz: Compressed file ended"):
        ask([cut], 1)
    write(path, header(0))
    path.write_bytes(path.read_bytes() + b"x" * (CHUNK_BYTES + 5_000))
    with pytest.raises(NatLogFormatError, match="a line of more than 4096 bytes"):
        ask([path], 1)


def test_a_damaged_line_is_counted_and_the_last_one_may_be_half(tmp_path: Path) -> None:
    path = write(tmp_path / "nat.log", header(0), block(10), block(30, "-block"))
    end = f"{block(30, '-block')}"
    text = path.read_text().replace(end, f"{OUTER} what? {OUTER} ")
    path.write_text(text + end[:50])
    answer = ask([path], 20)
    assert users(answer) == [("block", "user1")]
    assert answer.damaged == 1


def test_a_log_longer_than_what_is_read_at_once_is_searched_whole(tmp_path: Path) -> None:
    """Random holders of three ports against a list of who had them."""
    rng = random.Random(4)
    entries: list[Header | Record] = [header(0)]
    truth: list[tuple[int, int, int, int]] = []  # port, session, from, to
    for port in (1030, 1031, 1032):
        second = 0
        for session in range(200):
            begin = second + rng.randrange(1, 20)
            second = begin + rng.randrange(1, 20)
            name = {"first": port, "last": port, "session": session}
            entries += [block(begin, **name), block(second, "-block", **name)]
            truth.append((port, session, begin, second))
    noise = [mapping(s, outer="198.51.100.77") for s in range(0, 5_000) for _ in range(6)]
    ordered = sorted([*entries[1:], *noise], key=lambda r: r.time_ns)
    path = write(tmp_path / "nat.log", header(0), *ordered)
    assert path.stat().st_size > 2 * CHUNK_BYTES
    for _ in range(40):
        port, second = rng.choice((1030, 1031, 1032)), rng.randrange(4_000)
        wanted = [s for p, s, begin, end in truth if p == port and begin <= second < end]
        assert [h.begin.session for h in ask([path], second, port).holdings] == wanted


# ---- what people type


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2027-01-15T08:00:00Z", NOON),
        ("2027-01-15T09:00:00.000001+01:00", NOON + 1000),
        ("2027-01-15 08:00:00Z", NOON),
        ("1800000000", NOON),
        ("1800000000.123456789", NOON + 123_456_789),
        ("0", 0),
    ],
)
def test_times_are_read(text: str, ns: int) -> None:
    assert read_time(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "noon",
        "2027-01-15T08:00:00",
        "2027-01-15",
        "-5",
        "1e9",
        "9" * 400,
        "1969-01-01T00:00:00Z",
    ],
)
def test_what_is_no_time_is_refused_with_how_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="RFC 3339 with its zone"):
        read_time(text)


def test_protocols_are_names_or_numbers() -> None:
    assert [read_protocol(text) for text in ("tcp", "udp", "icmp", "132")] == [6, 17, 1, 132]
    for text in ("", "TCP", "0", "256", "-1", "²"):
        with pytest.raises(ValueError, match="tcp"):
            read_protocol(text)
