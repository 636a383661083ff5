"""The lines of the NAT log: who had which public address and ports, and when.

A file is ASCII; fields are separated by one space. Its first line is a header, which also stands
wherever the dataplane was restarted::

    #bng-nat-log 1 time=TIME boot=NANOSECONDS next=N,N fields=time,worker,...

``boot`` names the run of the dataplane: sessions, generations and sequences mean something within
one only, and whatever was given in an earlier run has ended. ``next`` has for each worker the
sequence of the record that comes next; within a run they have no gap, or records were lost.

Every other line is a record::

    TIME WORKER SEQUENCE EVENT SESSION GENERATION INNER PORT OUTER FIRST LAST PROTOCOL [ID USER]

``TIME`` is RFC 3339 in UTC with microseconds, stamped by the dataplane. ``EVENT``: ``+block``,
``+map``, ``+forward``, ``+static`` when a block of ports, a mapping, a forwarded port, a whole
address was given, ``-block`` and so on when it was taken back; ``-block`` ends every mapping in it.
Each file stands alone: ``=block``, ``=forward``, ``=static`` after its header repeat what was given
before, with the time of then. ``PORT`` is the inner port (0: none), ``FIRST`` and ``LAST`` are the
outer ones, ``PROTOCOL`` is that of IP (0: all). All but mappings have the Acct-Session-Id and the
user name too, percent-encoded, ``-`` where they are not known. No destination is logged
(RFC 6888 REQ-12).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address
from urllib.parse import quote, unquote

MAGIC = "#bng-nat-log"
VERSION = 1
FIELDS = (
    "time,worker,sequence,event,session,generation,inner,port,outer,first,last,protocol,id,user"
)
EVENTS = {
    1: "+block",
    2: "-block",
    3: "+map",
    4: "-map",
    5: "+forward",
    6: "-forward",
    7: "+static",
    8: "-static",
}
"""By ``enum nat_log_type`` of the dataplane."""
UNKNOWN = "-"
MAX_SEQUENCE = 1 << 62
MAX_LINE_BYTES = 4_096
_KINDS = {"block", "map", "forward", "static"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_NUMBER = re.compile(r"0|[1-9]\d{0,19}", re.ASCII)
_HEAD, _NAMED = 12, 14
_NS = 1_000_000_000


Key = tuple[str, str, int, int, int, int]


class NatLogFormatError(ValueError):
    """A line that is none of the NAT log. The text says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """What stands in front: the run of the dataplane, and the sequences that come next."""

    time_ns: int
    boot: int
    following: tuple[int, ...]

    def __str__(self) -> str:
        following = ",".join(map(str, self.following))
        when = time_text(self.time_ns)
        return f"{MAGIC} {VERSION} time={when} boot={self.boot} next={following} fields={FIELDS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record. *event* is a sign, ``+``, ``-`` or ``=``, and a kind; addresses as text."""

    time_ns: int
    worker: int
    sequence: int
    event: str
    session: int
    generation: int
    inner: str
    inner_port: int
    outer: str
    first: int
    last: int
    protocol: int
    acct_id: str = ""
    user: str = ""

    @property
    def kind(self) -> str:
        """``block``, ``map``, ``forward`` or ``static``."""
        return self.event[1:]

    @property
    def key(self) -> Key:
        """What its end has in common with its begin."""
        return (self.kind, self.outer, self.first, self.protocol, self.session, self.generation)

    def __str__(self) -> str:
        line = (
            f"{time_text(self.time_ns)} {self.worker} {self.sequence} {self.event} {self.session} "
            f"{self.generation} {self.inner} {self.inner_port} {self.outer} {self.first} "
            f"{self.last} {self.protocol}"
        )
        if self.kind == "map":
            return line
        return f"{line} {_encoded(self.acct_id)} {_encoded(self.user)}"


def time_text(time_ns: int) -> str:
    """Return nanoseconds since 1970 as RFC 3339 in UTC, with microseconds."""
    seconds, rest = divmod(time_ns, _NS)
    when = datetime.fromtimestamp(seconds, UTC)
    return f"{when.replace(tzinfo=None).isoformat(timespec='seconds')}.{rest // 1000:06}Z"


def parse(line: str) -> Header | Record:
    """Read a line without its newline. Raises: NatLogFormatError."""
    if len(line) > MAX_LINE_BYTES:
        raise NatLogFormatError(f"a line of {len(line)} bytes")
    try:
        return _header(line) if line.startswith("#") else _record(line.split(" "))
    except NatLogFormatError:
        raise
    except (ValueError, OverflowError) as error:
        raise NatLogFormatError(str(error)) from None


def _header(line: str) -> Header:
    magic, version, *rest = line.split(" ")
    fields = dict(field.split("=", 1) for field in rest)
    if magic != MAGIC or not {"time", "boot", "next"} <= fields.keys():
        raise NatLogFormatError("no header of a NAT log")
    if version != str(VERSION):
        raise NatLogFormatError(f"a NAT log of version {version}, this is for {VERSION}")
    following = tuple(_number(text, MAX_SEQUENCE) for text in fields["next"].split(","))
    return Header(_time_ns(fields["time"]), _number(fields["boot"]), following)


def _record(fields: list[str]) -> Record:
    event = fields[3] if len(fields) > _HEAD - 1 else ""
    sign, kind = event[:1], event[1:]
    if sign not in ("+", "-", "=") or kind not in _KINDS or event == "=map":
        raise NatLogFormatError("no record of a NAT log")
    if len(fields) != (_HEAD if kind == "map" else _NAMED):
        raise NatLogFormatError(f"{len(fields)} fields in a record of a {kind}")
    acct_id, user = (_decoded(text) for text in fields[_HEAD:]) if kind != "map" else ("", "")
    return Record(
        time_ns=_time_ns(fields[0]),
        worker=_number(fields[1]),
        sequence=_number(fields[2], MAX_SEQUENCE),
        event=event,
        session=_number(fields[4]),
        generation=_number(fields[5]),
        inner=str(IPv4Address(fields[6])),
        inner_port=_number(fields[7], 65_535),
        outer=str(IPv4Address(fields[8])),
        first=_number(fields[9], 65_535),
        last=_number(fields[10], 65_535),
        protocol=_number(fields[11], 255),
        acct_id=acct_id,
        user=user,
    )


def _number(text: str, most: int = (1 << 64) - 1) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > most:
        raise NatLogFormatError(f"{text!r} is no number up to {most}")
    return int(text)


def _time_ns(text: str) -> int:
    if not _TIME.fullmatch(text):
        raise NatLogFormatError(f"{text!r} is no time")
    when = datetime.fromisoformat(text)
    return int(when.replace(microsecond=0).timestamp()) * _NS + when.microsecond * 1000


def _encoded(text: str) -> str:
    if text == UNKNOWN:
        return "%2D"
    return quote(text, safe="@!$&'()*+,;:/?") or UNKNOWN


def _decoded(text: str) -> str:
    return "" if text == UNKNOWN else unquote(text, errors="strict")
