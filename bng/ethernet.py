"""Ethernet addresses, VLAN tags and access lines as values (IEEE 802.3, 802.1Q)."""

from dataclasses import dataclass
from typing import NamedTuple


class Mac(bytes):
    """A 6-byte Ethernet address; hashes and compares as its bytes."""

    __slots__ = ()

    def __new__(cls, value: bytes) -> "Mac":
        """Take exactly 6 bytes. Raises: ValueError on any other length."""
        if len(value) != 6:
            raise ValueError(f"an Ethernet address has 6 bytes, not {len(value)}")
        return super().__new__(cls, value)

    @classmethod
    def parse(cls, text: str) -> "Mac":
        """Read ``02:00:5e:00:00:01``, with ``:``, ``-`` or ``.``. Raises: ValueError."""
        digits = text.replace(":", "").replace("-", "").replace(".", "")
        if len(digits) != 12:
            raise ValueError(f"not an Ethernet address: {text!r}")
        return cls(bytes.fromhex(digits))

    def __str__(self) -> str:
        return self.hex(":")

    def __repr__(self) -> str:
        return f"Mac({self})"


MAC_BROADCAST = Mac(b"\xff" * 6)


class VlanTag(NamedTuple):
    """One VLAN tag: *tpid* as on the wire, *vid* 0..4095 (0 is a priority tag)."""

    tpid: int
    vid: int


@dataclass(frozen=True, slots=True)
class AccessLine:
    """Where a client is: logical port index and VLAN tags, outermost first, 0 to 2 of them."""

    port: int
    tags: tuple[VlanTag, ...] = ()

    @property
    def outer_vid(self) -> int:
        """The outer VLAN id, 0 when untagged."""
        return self.tags[0].vid if self.tags else 0

    @property
    def inner_vid(self) -> int:
        """The inner VLAN id, 0 when there is none."""
        return self.tags[1].vid if len(self.tags) > 1 else 0

    def __str__(self) -> str:
        return ".".join([str(self.port), *(str(t.vid) for t in self.tags)])
