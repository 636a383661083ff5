"""Rates as text: our own notation, and the dialects that RADIUS servers already speak.

All of them end in a `RatePolicy`; up is what the subscriber sends. Sources: MikroTik's manual for
Mikrotik-Rate-Limit (rx is what the router receives, so up), Cisco's for ``lcp:interface-config``,
the WISPr best practices for WISPr-Bandwidth-Max-*.
"""

import re
from dataclasses import dataclass

from bng.aaa.model import MAX_BURST_BYTES, RatePolicy, default_burst_bytes

LEAST_BPS, MOST_BPS = 1_000, (1 << 63) - 1
LEAST_BURST_BYTES = 2_048
UNITS = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
MIKROTIK_FIELDS = 5
"""Rate, burst rate, burst threshold, burst time, priority; the sixth, a guaranteed rate, too."""

_RATE = re.compile(r"(\d+)([kKMG]?)")
_CISCO = re.compile(
    r"lcp:interface-config(?:#\d+)?=\s*rate-limit\s+(input|output)\s+(\d+)\s+(\d+)\s+(\d+)"
    r"\s+conform-action\s+transmit\s+exceed-action\s+drop\s*"
)


@dataclass(frozen=True, slots=True)
class Rates:
    """What was said of both directions; None: nothing."""

    up: RatePolicy | None = None
    down: RatePolicy | None = None


def policy(
    cir_bps: int, cbs_bytes: int | None = None, ebs_bytes: int = 0, pir_bps: int | None = None
) -> RatePolicy:
    """Return a policer with what is left out as `default_burst_bytes` has it.

    Raises: ValueError when a number is out of range.
    """
    for rate in (cir_bps, pir_bps):
        if rate is not None and not LEAST_BPS <= rate <= MOST_BPS:
            raise ValueError(f"a rate of {rate} bit/s, must be {LEAST_BPS} to {MOST_BPS}")
    if pir_bps is not None and pir_bps < cir_bps:
        raise ValueError(f"a peak rate of {pir_bps} bit/s under the committed {cir_bps}")
    burst = default_burst_bytes(cir_bps) if cbs_bytes is None else cbs_bytes
    for size in (burst, ebs_bytes or LEAST_BURST_BYTES):
        if not LEAST_BURST_BYTES <= size <= MAX_BURST_BYTES:
            raise ValueError(f"a burst of {size} bytes, must be {LEAST_BURST_BYTES} or more")
    return RatePolicy(
        cir_bps=cir_bps,
        cbs_bytes=burst,
        ebs_bytes=ebs_bytes,
        pir_bps=pir_bps,
        pbs_bytes=0 if pir_bps is None else default_burst_bytes(pir_bps),
    )


def bps(text: str) -> int:
    """Read ``512``, ``512k``, ``20M``, ``1G`` as bit/s. Raises: ValueError."""
    found = _RATE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no rate")
    unit = found[2] if found[2] != "K" else "k"
    return int(found[1]) * UNITS[unit]


def own(text: str) -> RatePolicy:
    """Read ``RATE [cbs=BYTES] [ebs=BYTES] [pir=RATE]``, our own notation. Raises: ValueError."""
    rate, *words = text.split() or [""]
    options: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in {"cbs", "ebs", "pir"} or name in options:
            raise ValueError(f"{word!r}: after the rate stand cbs=, ebs= or pir=")
        options[name] = value
    if "ebs" in options and "pir" in options:
        raise ValueError("ebs= is of RFC 2697, pir= of RFC 2698: one of them")
    return policy(
        bps(rate),
        int(options["cbs"]) if "cbs" in options else None,
        int(options.get("ebs", 0)),
        bps(options["pir"]) if "pir" in options else None,
    )


def filter_id(text: str) -> Rates | None:
    """Read ``DOWN/UP`` in kbit/s or with a unit, as a Filter-Id; None: it is no rate.

    Raises: ValueError when it is one and cannot be.
    """
    down, slash, up = text.partition("/")
    if not slash or not _RATE.fullmatch(down) or not _RATE.fullmatch(up):
        return None
    return Rates(policy(_kilobits(up)), policy(_kilobits(down)))


def _kilobits(text: str) -> int:
    return bps(text + "k" if text.isdecimal() else text)


def cisco(text: str) -> Rates | None:
    """Read a ``rate-limit`` of Cisco-AVPair; None: it speaks of something else.

    Its normal burst is the committed one, what the extended burst is more is the excess burst.
    Raises: ValueError.
    """
    if not re.match(r"lcp:interface-config(#\d+)?=\s*rate-limit\b", text):
        return None
    found = _CISCO.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r}: only conform-action transmit exceed-action drop is served")
    rate, normal, extended = (int(found[n]) for n in (2, 3, 4))
    made = policy(rate, max(normal, LEAST_BURST_BYTES), max(extended - normal, 0))
    return Rates(up=made) if found[1] == "input" else Rates(down=made)


def mikrotik(text: str) -> Rates:
    """Read ``rx/tx [burst rx/tx [threshold rx/tx [time rx/tx [priority [...]]]]]``.

    A burst there lasts threshold * time / burst rate seconds, at the burst rate: that many bytes
    above the rate become the committed burst. Raises: ValueError.
    """
    fields = text.split()
    if not fields:
        raise ValueError("empty")
    pairs = [_pair(field) for field in fields[: MIKROTIK_FIELDS - 1]]
    up, down = (_mikrotik([pair[side] for pair in pairs]) for side in (0, 1))
    return Rates(up, down)


def _pair(field: str) -> tuple[str, str]:
    rx, slash, tx = field.partition("/")
    return rx, tx if slash else rx


def _mikrotik(fields: list[str]) -> RatePolicy | None:
    """Return the policer of one direction: rate, burst rate, threshold, time; 0 is unlimited."""
    rate = bps(fields[0])
    if not rate:
        return None
    if len(fields) == 1 or not bps(fields[1]):
        return policy(rate)
    burst = bps(fields[1])
    threshold = bps(fields[2]) if len(fields) > 2 else rate
    seconds = int(fields[3]) if len(fields) > 3 else 1
    above = max(0, burst - rate) * threshold * seconds // burst // 8
    return policy(rate, min(max(above, default_burst_bytes(rate)), MAX_BURST_BYTES))
