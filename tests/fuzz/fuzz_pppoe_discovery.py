"""Fuzz discovery: a script of frames, with good cookies where the input asks for them.

Input: records of one control byte and a length-prefixed payload. The control byte picks the
client, the destination, whether a PADR gets the cookie of the last PADO, and how far time moves; of
an empty record what operator or session manager do.
"""

import contextlib
from dataclasses import replace

from bng.errors import MalformedPacket
from bng.ethernet import MAC_BROADCAST, AccessLine, Mac, VlanTag
from bng.pppoe.actions import CloseSession, OpenSession, SendDiscovery
from bng.pppoe.config import DiscoveryConfig
from bng.pppoe.discovery import Discovery
from bng.pppoe.line import ROWS, parse_line_info
from bng.pppoe.packet import Code, TagType, build, parse, split_tags, tag
from bng.wire import u16, u32
from radius.dictionary import Dictionary

DICTIONARY = Dictionary()

CONFIG = DiscoveryConfig(
    ac_name=b"bng1", service_names=(b"gold",), max_payload=1500, max_half_open=8, id_rest_s=1.0
)
SLOW = replace(CONFIG, pado_delay_s=1.0, service_names=(), accept_any_service=True)
LINES = (AccessLine(0), AccessLine(0, (VlanTag(0x88A8, 100), VlanTag(0x8100, 7))))
MACS = (Mac.parse("02:00:5e:00:00:01"), Mac.parse("02:00:5e:00:00:02"))
AC = Mac.parse("02:00:5e:00:00:ff")


class Script:
    """Feeds one input to a Discovery and checks what comes back."""

    def __init__(self) -> None:
        self.core = Discovery({0: CONFIG}, bytes, 0.0)
        self.now = 0.0
        self.cookie = b""
        self.refuses = False

    def frame(self, control: int, payload: bytes) -> None:
        """Deliver one frame."""
        line, src = LINES[control & 1], MACS[control >> 1 & 1]
        dst = MAC_BROADCAST if control & 4 else AC
        if control & 8:
            payload = build(Code.PADR, 0, tag(TagType.AC_COOKIE, self.cookie) + payload)
        before = sum(self.core.counters.values())
        for action in self.core.receive(line, src, dst, payload, self.now):
            self.act(action)
        assert sum(self.core.counters.values()) > before
        if control & 16:
            self.pass_time(control >> 5)

    def pass_time(self, seconds: float) -> None:
        """Move time on."""
        self.now += seconds
        for action in self.core.tick(self.now):
            self.act(action)
        deadline = self.core.next_deadline()
        assert deadline is None or deadline > self.now

    def manage(self, choice: int) -> None:
        """Do what an operator does, or a session manager of its own accord."""
        line, mac, on = LINES[choice & 1], MACS[choice >> 1 & 1], bool(choice & 32)
        match choice >> 2 & 7:
            case 0:
                self.core.drain(None, on)
            case 1:
                self.core.drain(0, on)
            case 2:
                self.core.penalize(line, mac, self.now)
                assert self.core.holdoffs(self.now)
            case 3:
                self.core.forgive(line, mac)
            case 4:
                self.core.clear_holdoff(line if on else None, mac if on else None)
            case 5:
                self.core.reconfigure({0: SLOW if on else CONFIG})
            case 6:
                self.refuses = on
            case _:
                with contextlib.suppress(ValueError):
                    self.core.adopt(line, mac, choice)
        self.pass_time(choice >> 6)

    def act(self, action: SendDiscovery | OpenSession | CloseSession) -> None:
        """Do what a session manager does, at once."""
        match action:
            case SendDiscovery(_, _, payload):
                assert len(payload) <= 1500
                for kind, value in split_tags(parse(payload).tags):
                    if kind == TagType.AC_COOKIE:
                        self.cookie = value
            case OpenSession(line=line, session_id=session_id):
                assert 1 <= session_id <= 0xFFFE
                if self.refuses:
                    answers = self.core.refuse(line, session_id, self.now, "no")
                else:
                    answers = self.core.accepted(line, session_id, self.now)
                for answer in answers:
                    self.act(answer)
                if not session_id & 1:
                    self.core.opened(line, session_id)
            case CloseSession(line, session_id):
                self.core.release(line, session_id, self.now)


def test_one_input(data: bytes) -> None:
    """Run one input."""
    with contextlib.suppress(MalformedPacket):
        line = parse_line_info(data)
        assert len(line.attributes) <= len(ROWS)
        assert len(line.attributes) + line.ignored <= len(data) // 2
        for name, value in line.attributes:
            key, encoded = DICTIONARY.encode(name, value)
            assert DICTIONARY.decode(key, encoded) == value
    for read in (u16, u32):
        with contextlib.suppress(MalformedPacket):
            read(data, len(data) // 2)
    script = Script()
    while len(data) >= 2:
        control, length = data[0], data[1]
        if length:
            script.frame(control, data[2 : 2 + length])
        else:
            script.manage(control)
        data = data[2 + length :]
