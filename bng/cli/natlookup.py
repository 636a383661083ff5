"""The NAT log's files searched without bngd: ``bngctl nat lookup --log``."""

from ipaddress import IPv4Address
from pathlib import Path

from bng.natlog.files import all_files
from bng.natlog.lines import time_text
from bng.natlog.search import COLUMNS, Question, look_up, read_protocol, read_time, row

__all__ = ["COLUMNS", "search"]


def search(
    log: Path, address: str, port: int, time: str, protocol: str | None
) -> dict[str, object]:
    """Return what bngd would answer from the log at *log* and the older files beside it.

    Raises: ValueError, OSError.
    """
    number = None if protocol is None else read_protocol(protocol)
    question = Question(IPv4Address(address), port, read_time(time), number)
    answer = look_up(all_files(log), question)
    return {
        "holders": [row(holding) for holding in answer.holdings],
        "begins": time_text(answer.begins_ns),
        "damaged": answer.damaged,
    }
