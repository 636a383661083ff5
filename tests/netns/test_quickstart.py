"""packaging/quickstart does what it says, and leaves nothing behind but what it was told to."""

import subprocess
from pathlib import Path

import pytest

from tests.support.lab import ROOT, SERVER
from tests.support.netns import exists, run
from tests.support.quickstart import quick_start

PREFIX = "tqs"


def test_with_radius_everything_is_seen_and_cleaned_up(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "quickstart"
    assert quick_start(["--radius"], PREFIX, directory) == 0
    shown = capfd.readouterr().out
    assert "Acct-Status-Type Start   User-Name alice" in shown
    assert "the server sends a CoA-Request" in shown
    assert "Received CoA-ACK" in shown
    assert "Acct-Status-Type Stop   User-Name alice" in shown
    assert "Acct-Terminate-Cause Admin-Reset" in shown
    assert "RADIUS server aaa1: Filter-Id" in shown
    assert shown.count("3 received, 0% packet loss") == 3
    assert "her network has 2001:db8:d000::/56" in shown
    assert "so it saw her own address: IPv6 is routed, not translated" in shown
    assert not directory.exists()
    assert not any(exists(f"{PREFIX}-{side}") for side in ("sub", "bng", "inet"))


def test_a_lab_that_is_kept_stays_up_until_it_is_taken_down(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "quickstart"
    try:
        assert quick_start(["--keep"], PREFIX, directory) == 0
        assert "packaging/quickstart --down" in capfd.readouterr().out
        assert "1 received" in run(f"{PREFIX}-sub", "ping", "-c", "1", SERVER).stdout
    finally:
        assert quick_start(["--down"], PREFIX, directory) == 0
    assert not directory.exists()
    assert not exists(f"{PREFIX}-bng")


def test_help_says_how_to_call_it_and_anything_else_is_refused() -> None:
    for word, status in (("--help", 0), ("--radios", 2)):
        done = subprocess.run(
            [ROOT / "packaging" / "quickstart", word], check=False, capture_output=True, text=True
        )
        assert done.returncode == status
        said = done.stdout if status == 0 else done.stderr
        assert "packaging/quickstart --radius   the same by a FreeRADIUS" in said
        assert "really seen." in said
