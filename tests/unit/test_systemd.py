"""The systemd units, as far as that shows without booting them; see tests/netns for the rest."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bng import daemon, dataplane_launch
from bng.config.model import System
from tests.support.systemd import PREFIX, UNITS, settings

NAMES = sorted(path.name for path in UNITS.iterdir())


OTHERS = ("/lib/systemd/", "/usr/lib/systemd/", "/etc/systemd/")


def verify(directory: Path, unit: str, text: str) -> str:
    """Return what systemd-analyze complains of in *text*, its programs being there.

    It looks into other units of the machine, too: those are theirs to mend.
    """
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    for name in ("bngd", "bngctl", "bng-dataplane"):
        (programs / name).touch(mode=0o755)
    for other in NAMES:
        shutil.copy(UNITS / other, directory)
    for path in (directory / other for other in NAMES):
        own = text if path.name == unit else path.read_text()
        path.write_text(own.replace(PREFIX, f"{programs}/"))
    argv = ["systemd-analyze", "--man=no", "verify", str(directory / unit)]
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stderr
    return "".join(line for line in said.splitlines(True) if not line.startswith(OTHERS))


needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here"
)


@needs_systemd
@pytest.mark.parametrize("unit", NAMES)
def test_systemd_has_nothing_to_complain_of(tmp_path: Path, unit: str) -> None:
    assert verify(tmp_path, unit, (UNITS / unit).read_text()) == ""


@needs_systemd
def test_a_key_that_systemd_does_not_know_is_found(tmp_path: Path) -> None:
    text = (UNITS / "bngd.service").read_text().replace("Restart=", "Restrt=")
    assert "Unknown key" in verify(tmp_path, "bngd.service", text)


def test_bngd_needs_the_dataplane_and_never_takes_it_along() -> None:
    bngd, plane = settings("bngd.service"), settings("bng-dataplane.service")
    assert bngd["Requires"] == bngd["After"] == ["bng-dataplane.service"]
    ties = {"Requires", "BindsTo", "PartOf", "Upholds", "Requisite", "PropagatesStopTo"}
    assert not any("bngd" in value for key in ties for value in plane.get(key, []))
    assert not (ties - {"Requires"}) & bngd.keys()


def test_a_stop_of_bngd_leaves_the_dataplanes_socket_alone() -> None:
    plane, bngd = settings("bng-dataplane.service"), settings("bngd.service")
    assert (plane["RuntimeDirectory"], plane["RuntimeDirectoryPreserve"]) == (["bng"], ["yes"])
    assert "RuntimeDirectory" not in bngd
    assert bngd["ReadWritePaths"] == [str(System().run_dir)]


def test_both_come_back_but_not_with_a_wrong_configuration() -> None:
    for unit, status in (
        ("bngd.service", daemon.EXIT_CONFIG),
        ("bng-dataplane.service", dataplane_launch.EXIT_CONFIG),
    ):
        found = settings(unit)
        assert (found["Restart"], found["StartLimitIntervalSec"]) == (["always"], ["0"])
        assert found["RestartPreventExitStatus"] == [str(status)]


def test_the_units_name_the_paths_of_the_configuration() -> None:
    assert f"/var/lib/{settings('bngd.service')['StateDirectory'][0]}" == str(System().state_dir)
    for unit in NAMES:
        [start] = settings(unit)["ExecStart"]
        assert start == f"{PREFIX}{unit.removesuffix('.service')} --config /etc/bng/bng.toml"
