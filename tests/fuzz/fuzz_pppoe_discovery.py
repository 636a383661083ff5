"""Fuzz discovery: a script of frames, with good cookies where the input asks for them.

Input: records of one control byte and a length-prefixed payload. The control byte picks the
client, the destination, whether a PADR gets the cookie of the last PADO, and how far time moves.
"""

import contextlib

from bng.errors import MalformedPacket
from bng.ethernet import MAC_BROADCAST, AccessLine, Mac, VlanTag
from bng.pppoe.actions import CloseSession, OpenSession, SendDiscovery
from bng.pppoe.config import DiscoveryConfig
from bng.pppoe.discovery import Discovery
from bng.pppoe.packet import Code, TagType, build, parse, parse_line_info, split_tags, tag

CONFIG = DiscoveryConfig(
    ac_name=b"bng1", service_names=(b"gold",), max_payload=1500, max_half_open=8, id_rest_s=1.0
)
LINES = (AccessLine(0), AccessLine(0, (VlanTag(0x88A8, 100), VlanTag(0x8100, 7))))
MACS = (Mac.parse("02:00:5e:00:00:01"), Mac.parse("02:00:5e:00:00:02"))
AC = Mac.parse("02:00:5e:00:00:ff")


class Script:
    """Feeds one input to a Discovery and checks what comes back."""

    def __init__(self) -> None:
        self.core = Discovery({0: CONFIG}, bytes, 0.0)
        self.now = 0.0
        self.cookie = b""

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
            self.now += control >> 5
            self.core.tick(self.now)

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
                for answer in self.core.accepted(line, session_id, self.now):
                    self.act(answer)
                if not session_id & 1:
                    self.core.opened(line, session_id)
            case CloseSession(line, session_id):
                self.core.release(line, session_id, self.now)


def test_one_input(data: bytes) -> None:
    """Run one input."""
    with contextlib.suppress(MalformedPacket):
        parse_line_info(data)
    script = Script()
    while len(data) >= 2:
        control, length = data[0], data[1]
        script.frame(control, data[2 : 2 + length])
        data = data[2 + length :]
