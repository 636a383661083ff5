"""Each C target over its corpus and FUZZ_SECONDS of new inputs; what the corpora reach."""

import os
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path

import pytest

from . import native

SECONDS = int(os.environ.get("FUZZ_SECONDS", "2"))
LEAST_PERCENT = 90.0
PARSERS = (
    "dataplane/src/node/*",
    "dataplane/src/hdr/*",
    "dataplane/src/table/acl.*",
    "dataplane/src/table/nat44*",
    "dataplane/src/table/policer.*",
    "dataplane/src/table/session.*",
    "dataplane/src/command.c",
    "dataplane/src/io/offload.c",
    "dataplane/src/io/pcap.c",
    "dataplane/src/mirror_kernel.c",
    "dataplane/src/mirror_neighbour.c",
    "dataplane/src/mirror_nexthop.c",
    "dataplane/src/mirror_route.c",
    "dataplane/src/options*.c",
    "dataplane/src/ring.c",
    "dataplane/src/trace*.c",
)


@pytest.mark.timeout(300 + SECONDS)
@pytest.mark.parametrize("target", native.TARGETS)
def test_no_input_breaks_it(target: str, tmp_path: Path) -> None:
    found = tmp_path / "found"
    found.mkdir()
    done = native.run(
        native.build() / f"fuzz_{target}",
        f"-max_total_time={SECONDS}",
        f"-artifact_prefix={tmp_path}/",
        "-rss_limit_mb=1024",
        str(found),
        str(native.CORPUS / target),
    )
    assert done.returncode == 0, native.report(done, tmp_path)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a profile of every target, and the edges that node fuzzers took."""
    folder = tmp_path_factory.mktemp("replayed")
    for target in native.TARGETS:
        native.replay(target, folder)
    return folder


def test_every_node_is_reached_by_a_corpus(replayed: Path) -> None:
    packets = Counter[str]()
    for path in replayed.glob("*.edges"):
        for line in path.read_text().splitlines():
            node, _, count = line.split()
            packets[node] += int(count)
    assert {"pppoe_input", "nat44_in2out", "handoff", "drop"} <= packets.keys()
    assert [node for node, count in packets.items() if not count] == []


def test_the_corpora_cover_the_parsers(replayed: Path) -> None:
    covered = native.line_coverage(sorted(replayed.glob("*.profraw")), replayed)
    parsers = {p: percent for p, percent in covered.items() if any(fnmatch(p, g) for g in PARSERS)}
    for glob in PARSERS:
        assert any(fnmatch(path, glob) for path in parsers), glob
    sources = {str(p.relative_to(native.ROOT)) for p in native.ROOT.glob("dataplane/src/node/*.c")}
    assert sources <= parsers.keys()
    assert {path: percent for path, percent in parsers.items() if percent < LEAST_PERCENT} == {}
