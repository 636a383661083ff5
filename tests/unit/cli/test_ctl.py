"""bngctl against a real management server: what it prints, and its exit status."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bng.io.natlog_export import Endpoint, Syslog
from tests.support.managed_box import Managed
from tests.unit.cli.conftest import Ctl

USERS = ["user00001", "user00002"]


def users(ctl: Ctl, *words: str) -> list[str]:
    """Return the users of ``show sessions``, as JSON has them."""
    run = ctl("show", "sessions", "--json", *words)
    assert (run.status, run.err) == (0, "")
    return [row["user"] for row in json.loads(run.out)]


def test_the_session_table_has_a_header_and_a_line_for_each(ctl: Ctl) -> None:
    header, first, second = ctl("show", "sessions").out.splitlines()
    assert header.split() == [
        *("user", "state", "address", "ipv6_prefix", "mac", "port", "vlan", "session_id"),
        *("uptime_s", "in_bytes", "out_bytes"),
    ]
    assert first.split()[:7] == [
        *("user00001", "up", "100.64.0.10", "2001:db8:1::/64", "02:b0:00:00:00:01", "acc0", "-")
    ]
    assert second.split()[:7] == [
        *("user00002", "up", "100.64.0.11", "2001:db8:1:1::/64"),
        *("02:b0:00:00:00:02", "acc0", "100.7"),
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--user", "user00002"], USERS[1:]),
        (["--address", "100.64.0.10"], USERS[:1]),
        (["--mac", "02:b0:00:00:00:02"], USERS[1:]),
        (["--port", "acc0"], USERS),
        (["--vlan", "100.7"], USERS[1:]),
        (["--state", "setup"], []),
        (["--id", "none"], []),
        (["--sort", "-user"], USERS[::-1]),
        (["--sort", "state,-address"], USERS[::-1]),
        (["--sort", "vlan"], USERS[::-1]),
        (["--sort", "-vlan"], USERS[::-1]),
        (["--limit", "1"], USERS[:1]),
        (["--sort", "-user", "--limit", "1"], USERS[1:]),
        (["--limit", "0"], []),
    ],
    ids=" ".join,
)
def test_sessions_are_filtered_sorted_and_limited(
    ctl: Ctl, words: list[str], expected: list[str]
) -> None:
    assert users(ctl, *words) == expected


def test_columns_are_those_asked_for_in_that_order(ctl: Ctl) -> None:
    run = ctl("show", "sessions", "--columns", "vlan,user", "--user", "user00002")
    assert [line.split() for line in run.out.splitlines()] == [
        ["vlan", "user"],
        ["100.7", "user00002"],
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["show", "sessions", "--sort", "weight"],
        ["show", "sessions", "--columns", "user,"],
        ["show", "sessions", "--limit", "-1"],
        ["show", "sessions", "--bogus"],
        ["show", "everything"],
        ["show", "session"],
        ["terminate"],
        ["terminate", "alice"],
        ["terminate", "--all", "--user", "alice"],
        ["show"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2_and_says_so_on_stderr(ctl: Ctl, words: list[str]) -> None:
    run = ctl(*words)
    assert (run.status, run.out) == (2, "")
    assert "Usage: bngctl" in run.err


def test_everything_about_a_session_stands_in_its_section(ctl: Ctl) -> None:
    out = ctl("show", "session", "user00002").out
    assert re.search(r"in_drops +0\n +in_drops_by_reason +-\n", out)
    sections = [line for line in out.splitlines() if not line.startswith(" ")]
    assert sections == [
        "session",
        "line",
        "ipv4",
        "ipv6",
        "link",
        "features",
        "traffic",
        "dataplane",
        "profile",
    ]
    values = dict(line.split(maxsplit=1) for line in out.splitlines() if line.startswith(" "))
    assert values["vlan"] == "100.7"
    assert values["routes"] == "100.64.0.11/32"
    assert values["circuit_id"] == "-"
    assert "interval_s 20s, failures 3, missed 0" in values["echo"]
    assert values["ipv4_pool"].split(maxsplit=1) == ["subscribers", "default: session.default_pool"]
    assert values["ipv4_dns"].split(maxsplit=1) == ["192.0.2.53", "pool subscribers"]


def test_json_of_a_session_is_what_bngd_answers(ctl: Ctl, served: Managed) -> None:
    data = json.loads(ctl("show", "session", "user00001", "--json").out)
    assert data == served.ask("show session", session="user00001")["data"] | {
        "uptime_s": data["uptime_s"]
    }
    assert data["profile"]["user_name"] == "user00001"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("pools", ["subscribers", "ipv4", "32", "4085", "2", "0"]),
        ("pools", ["links", "ipv6", "64", "65536", "2", "0"]),
        ("ports", ["acc0", "acc0", "-", "gen", "access", "yes"]),
        ("nat", ["lost", "0"]),
        ("fib", ["waiting_for_room", "0"]),
        ("nat", ["198.51.100.0", "public", "ready", "0", "1", "1"]),
        ("version", ["draining", "-"]),
        ("holdoffs", ["port", "vlan", "mac", "failures", "held_for_s"]),
    ],
)
def test_tables_show_their_rows(ctl: Ctl, what: str, words: list[str]) -> None:
    run = ctl("show", what)
    assert (run.status, run.err) == (0, "")
    assert words in [line.split()[: len(words)] for line in run.out.splitlines()]


@pytest.mark.parametrize(
    "what", ["sessions", "pools", "ports", "counters", "nat", "fib", "version", "holdoffs"]
)
def test_json_is_json(ctl: Ctl, served: Managed, what: str) -> None:
    data = json.loads(ctl("show", what, "--json").out)
    asked = served.ask(f"show {what}")["data"]
    assert type(data) is type(asked)
    assert len(data) == len(asked)


def test_counters_leave_zeros_out_unless_asked(ctl: Ctl) -> None:
    short, full = ctl("show", "counters").out, ctl("show", "counters", "--all").out
    assert "  sessions_up " in short
    assert "  sessions_paused " not in short
    assert "  sessions_paused " in full


def test_drop_reasons_stand_under_their_node(ctl: Ctl) -> None:
    lines = ctl("show", "counters", "antispoof4", "--all").out.splitlines()
    at = lines.index("drops")
    assert lines[at + 1] == "  antispoof4"
    assert lines[at + 2].startswith("    ")
    assert all("antispoof4" in line for line in lines if line and line[:3] == "  a")


def test_a_filter_shows_only_counters_with_that_text(ctl: Ctl) -> None:
    out = ctl("show", "counters", "NAT_", "--all").out
    names = [line.split()[0] for line in out.splitlines() if line.startswith("  ")]
    assert "nat_sessions" in names
    assert "sessions" not in names


def test_what_bngd_refuses_is_status_1_with_its_text(ctl: Ctl) -> None:
    run = ctl("show", "session", "nobody")
    assert run == (1, "", "bngctl: no session 'nobody'\n")


def test_no_socket_is_status_3_and_names_it(ctl: Ctl, tmp_path: Path) -> None:
    path = tmp_path / "none.sock"
    run = ctl("show", "version", path=path)
    assert run == (3, "", f"bngctl: no bngd on {path}: No such file or directory\n")


def test_a_dead_socket_is_status_3(ctl: Ctl, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    run = ctl("show", "version", path=path)
    assert run == (3, "", f"bngctl: no bngd on {path}: Connection refused\n")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "hung up"),
        (b'{"ok": true, "data": [', "hung up"),
        (b"hello\n", "no answer of bngd"),
        (b"[]\n", "no answer of bngd"),
        (b"\xff\n", "no answer of bngd"),
    ],
)
def test_what_is_no_answer_is_status_3(
    ctl: Ctl, strange_server: Callable[[bytes], Path], answer: bytes, text: str
) -> None:
    run = ctl("show", "version", path=strange_server(answer))
    assert (run.status, run.out) == (3, "")
    assert text in run.err


def test_a_name_cannot_steer_the_terminal(
    ctl: Ctl, strange_server: Callable[[bytes], Path]
) -> None:
    rows = [{"user": "\x1b[2Jbob\n\u202e", "state": "up"}]
    path = strange_server(json.dumps({"ok": True, "data": rows}).encode() + b"\n")
    out = ctl("show", "sessions", "--columns", "user,state", path=path).out
    assert out.splitlines()[1].split() == ["\\x1b[2Jbob\\n\\u202e", "up"]


def test_the_environment_names_the_socket(
    ctl: Ctl, served: Managed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bng.cli.main import main

    monkeypatch.setenv("BNGCTL_SOCKET", str(served.socket))
    assert main(["show", "version"]) == 0
    assert "bngd_pid" in capsys.readouterr().out


def test_terminate_all_asks_first(
    ctl: Ctl, served: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    run = ctl("terminate", "--all")
    assert (run.status, run.out.strip()) == (1, "")
    assert "every session" in run.err
    assert len(served.memory.manager.drain) == 0
    assert users(ctl, "--state", "up") == USERS


def test_reload_says_what_was_applied_and_what_waits_for_which_restart(
    ctl: Ctl, served: Managed
) -> None:
    served.write(ppp={"max_failure": 7}, dataplane={"max_sessions": 2_000})
    assert ctl("reload").out.splitlines() == [
        "applied:",
        "  ppp.max_failure",
        "not applied, needs a restart:",
        "  dataplane.max_sessions  restart dataplane",
        "64 users",
    ]
    served.write()
    assert json.loads(ctl("reload", "--json").out)["applied"] == ["ppp.max_failure"]
    assert ctl("reload").out == "bng.toml has no changes\n64 users\n"


def test_drain_and_undrain_say_what_happens(ctl: Ctl) -> None:
    assert ctl("drain", "wan0") == (1, "", "bngctl: drain: no access port 'wan0'\n")
    assert ctl("undrain", "acc0").out == "acc0 takes new sessions\n"
    assert ctl("undrain").out == "the box takes new sessions\n"


def test_clear_holdoffs_counts_them(ctl: Ctl) -> None:
    assert ctl("clear", "holdoffs").out == "0 clients may try again\n"


def test_hash_password_reads_standard_input(ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    run = ctl("hash-password", "--method", "nt")
    assert run == (0, "{nt}878d8014606cda29677a44efa1353fc7\n", "")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["show"],
        ["clear"],
        *(
            ["show", what]
            for what in (
                "sessions",
                "session",
                "counters",
                "nat",
                "runtime",
                "errors",
                "interfaces",
                "route",
                "neighbors",
                "control",
            )
        ),
        *(
            [what]
            for what in ("terminate", "reload", "drain", "undrain", "hash-password", "measure")
        ),
        *([what] for what in ("trace", "explain")),
    ],
    ids=" ".join,
)
def test_every_command_has_a_help(ctl: Ctl, words: list[str]) -> None:
    run = ctl(*words, "--help")
    assert run.status == 0
    assert run.out.startswith(" ".join(["Usage: bngctl", *words]))
    assert "\x1b" not in run.out


def test_neither_rich_nor_the_control_plane_is_loaded_for_a_pipe(served: Managed) -> None:
    code = (
        "import sys; from bng.cli.main import main; "
        f"status = main(['--socket', {str(served.socket)!r}, 'show', 'sessions']); "
        "print(*sorted(m for m in sys.modules if m == 'rich' or m.startswith('bng.')),"
        " file=sys.stderr); sys.exit(status)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = run.stderr.split()
    assert "bng.cli.main" in loaded
    assert [m for m in loaded if not m.startswith("bng.cli")] == []


def test_a_reader_that_leaves_early_is_no_traceback(served: Managed) -> None:
    ctl = [sys.executable, "-m", "bng.cli.main", "--socket", str(served.socket)]
    with subprocess.Popen(
        [*ctl, "show", "counters", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode != 0


CONF = Path(__file__).parents[3] / "conf/bng.toml"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--inner", "100.64.68.9"], ["100.64.68.9", "198.51.100.16", "5632", "6143"]),
        (["--outer", "198.51.100.16", "2048"], ["100.64.68.2", "198.51.100.16", "2048", "2559"]),
    ],
)
def test_deterministic_ports_come_from_the_configuration_alone(
    ctl: Ctl, words: list[str], expected: list[str]
) -> None:
    run = ctl("nat", "deterministic", "--config", str(CONF), *words)
    assert (run.status, run.err) == (0, "")
    assert run.out.splitlines()[1].split() == ["computed", *expected]
    (row,) = json.loads(ctl("nat", "deterministic", "--config", str(CONF), "--json", *words).out)
    assert [str(value) for value in row.values()] == ["computed", *expected]


def test_all_deterministic_ports_are_listed(ctl: Ctl) -> None:
    run = ctl("nat", "deterministic", "--config", str(CONF))
    assert len(run.out.splitlines()) == 1 + 256


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["--inner", "10.0.0.1"], 1, "nobody's in any deterministic pool"),
        (["--outer", "198.51.100.16", "1023"], 1, "nobody's in any deterministic pool"),
        (["--inner", "x"], 2, "Expected 4 octets in 'x'"),
        (["--inner", "10.0.0.1", "--outer", "10.0.0.1", "1"], 2, "--inner or --outer, not both"),
        (["--config", "/nonexistent"], 2, "/nonexistent: No such file or directory"),
    ],
)
def test_deterministic_ports_of_nobody_and_wrong_questions_are_refused(
    ctl: Ctl, words: list[str], status: int, text: str
) -> None:
    run = ctl("nat", "deterministic", "--config", str(CONF), *words)
    assert (run.status, run.out) == (status, "")
    assert text in run.err


def test_show_nat_tells_what_the_log_goes_to(
    served: Managed, ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syslog = Syslog(Endpoint(tmp_path / "devlog"), "local0", "bng")
    monkeypatch.setattr(served.box.nat_log, "exporters", [syslog])
    run = ctl("show", "nat")
    assert (run.status, run.err) == (0, "")
    rows = [line.split() for line in run.out.splitlines()]
    assert ["syslog", str(tmp_path / "devlog"), "0", "0", "0"] in rows
    syslog.close()
