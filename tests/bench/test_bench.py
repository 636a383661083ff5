"""The benchmarks run and print what they promise: short runs, whose numbers nobody looks at."""

import json
import subprocess
from typing import Any

import pytest

from tests.bench import veth
from tests.support.lab import ROOT
from tests.support.soak import program

_NAT_UP = {"ethernet_input", "pppoe_input", "antispoof4", "mss_clamp_in", "nat44_in2out"}
_CALIBRATIONS = {"load-1-MiB", "load-32-MiB", "load-512-MiB", "copy-64-bytes"}
_KINDS = {
    "ip6",
    "policed",
    "1000-rules",
    "trace-of-nobody",
    "tcp",
    "64k-buffers",
    "half-full",
    "nearly-full",
    "10-remotes",
    "handoff",
}


def _run(*words: str) -> Any:
    command = [str(ROOT / "packaging" / "bench"), *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_restart_adopts_everybody_and_loses_no_packet() -> None:
    program()
    (run,) = _run("restart", "--sessions", "40", "--runs", "1")
    assert run["adopted"] == run["sessions"] == 40
    assert (run["lost"], run["wrong"], run["noticed"]) == (0, 0, {})
    assert run["packets"] > run["packets_of_ipv6"] > 0
    assert 0 < run["adopted_s"] < run["ready_s"]


def test_one_row_is_measured_alone_to_compare_two_builds() -> None:
    program()
    words = ("--only", "up-ip6", "--runs", "1", "--sessions", "64", "--hugepages", "off")
    rows = _run("dataplane", *words)["rows"]
    assert [row["name"] for row in rows if row["name"] != "calibration"] == ["up-ip6"]


@pytest.fixture(scope="module")
def dataplane() -> list[dict[str, Any]]:
    program()  # built here, so that its compiler says nothing in between
    words = ("--runs", "1", "--sessions", "64", "--hugepages", "off")
    rows: list[dict[str, Any]] = _run("dataplane", *words)["rows"]
    return rows


def test_every_kind_of_row_is_measured_both_ways(dataplane: list[dict[str, Any]]) -> None:
    rows = [row for row in dataplane if row["name"] != "calibration"]
    names = [row["name"] for row in rows]
    both = {f"{way}-{kind}" for kind in _KINDS for way in ("up", "down")}
    assert both | {"up-million-routes", "down-scattered"} <= set(names)
    assert names.count("up") == names.count("down") == 2
    assert {row["nat"] for row in rows if row["name"] == "up"} == {True, False}
    for row in rows:
        assert 0 <= row["min"] <= row["median"] <= row["max"], row
        assert row["sessions"] == 64


def test_rows_have_their_nodes_and_their_ratio_to_the_calibration(
    dataplane: list[dict[str, Any]],
) -> None:
    calibrated = {r["what"]: r["median"] for r in dataplane if r["name"] == "calibration"}
    assert calibrated.keys() == _CALIBRATIONS
    row = next(row for row in dataplane if row["name"] == "up" and row["nat"])
    assert row["nodes"].keys() >= _NAT_UP
    for name, median in calibrated.items():
        assert row["ratios"][name] == pytest.approx(row["median"] / median, rel=0.05, abs=0.001)


def test_the_first_packet_of_a_flow_is_measured_at_every_fill() -> None:
    rows = _run("firstpacket", "--runs", "1", "--sessions", "200", "--hugepages", "off")["rows"]
    names = {row["what"] for row in rows if row["name"] == "first-packet"}
    assert names >= {"fill-10-percent", "fill-50-percent", "fill-90-percent", "new-block"}
    size = {row["what"]: row["median"] for row in rows if row["name"] == "bytes"}
    assert size["session"] <= 512
    assert size["nat-per-mapping-80-percent"] <= 24


def test_installing_sessions_is_measured_prepared_and_live() -> None:
    rows = _run("install", "--runs", "1", "--sessions", "2000")
    assert rows["prepared"]["median"] > 0
    assert rows["live"]["median"] > 0


def test_radius_is_measured_from_sign_up_to_spool() -> None:
    small = ("--sessions", "40", "--rate", "200", "--seconds", "2", "--records", "300")
    found = _run("radius", "signup", "interim", "spool", *small, "--runs", "1")
    (signup,) = found["signup"]
    assert (signup["opened"], signup["server"]["access"]) == (40, 40)
    assert signup["server"]["accounting_1"] == 40
    assert signup["server"]["users_asked_again"] == 0
    assert signup["cpu_us_per_session"] > 0
    assert 0 < signup["p50_open_s"] <= signup["p99_open_s"]
    for run in found["interim"]:
        assert run["per_s"] > 0, run
        assert run["core_share"] > 0, run
    for run in found["spool"]:
        assert run["records"] == 300
        assert run["written_and_drained_per_s"] > 0


@pytest.mark.parametrize("case", ["af_xdp", "kernel"])
def test_cpu_on_veths_is_measured_in_both_directions(case: str) -> None:
    program = veth.build()
    for direction in (veth.UP, veth.DOWN):
        run = veth.measure(case, direction, 0.2, program)
        assert run.packets_per_s > 0, run
        assert run.cpu_ns > 0, run
