"""Each Python target over its corpus and FUZZ_SECONDS of new inputs; what the corpora reach."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .native import ROOT
from .replay import CORPUS, TARGETS

SECONDS = int(os.environ.get("FUZZ_SECONDS", "2"))
LEAST_PERCENT = 90.0
PARSERS = {
    "bng/aaa/acl.py",
    "bng/aaa/attributes.py",
    "bng/aaa/attributes6.py",
    "bng/aaa/dynauth.py",
    "bng/aaa/password.py",
    "bng/aaa/rates.py",
    "bng/aaa/users.py",
    "bng/aaa/users6.py",
    "bng/config/model.py",
    "bng/ethernet.py",
    "bng/io/adoption.py",
    "bng/session/adoption.py",
    "bng/session/packing.py",
    "bng/session/restart.py",
    "bng/mgmt/select.py",
    "bng/natlog/files.py",
    "bng/natlog/lines.py",
    "bng/natlog/search.py",
    "bng/ppp/link.py",
    "bng/pppoe/discovery.py",
    "bng/session/coa.py",
    "bng/tomlfile.py",
    "bng/tomltypes.py",
    "radius/dynauth.py",
    "radius/packet.py",
}


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the repository's root."""
    return subprocess.run(
        [sys.executable, *args], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(300 + SECONDS)
@pytest.mark.parametrize("target", TARGETS)
def test_no_input_breaks_it(target: str, tmp_path: Path) -> None:
    found = tmp_path / "found"
    found.mkdir()
    limits = (f"-max_total_time={SECONDS}", "-timeout=20", f"-artifact_prefix={tmp_path}/")
    done = run("-m", "tests.fuzz.run", target, *limits, str(found), str(CORPUS / target))
    inputs = [f"{path.name}: {path.read_bytes().hex()}" for path in tmp_path.glob("*-*")]
    assert done.returncode == 0, "\n".join([*inputs, done.stdout[-3000:], done.stderr[-3000:]])


def raisers(name: str) -> set[str]:
    """Return the modules that raise an exception of that name."""
    found = set()
    for path in ROOT.glob("bng/**/*.py"):
        raised = (n.exc for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Raise))
        if any(isinstance(n, ast.Name) and n.id == name for e in raised if e for n in ast.walk(e)):
            found.add(str(path.relative_to(ROOT)))
    return found


def test_the_corpora_cover_the_parsers(tmp_path: Path) -> None:
    parsers = PARSERS | raisers("MalformedPacket")
    assert {"bng/wire.py", "bng/pppoe/packet.py", "bng/ppp/packet.py"} <= parsers
    data, report = f"--data-file={tmp_path}/data", f"{tmp_path}/report.json"
    done = run("-m", "coverage", "run", data, "--source=bng,radius", "-m", "tests.fuzz.replay")
    assert done.returncode == 0, done.stderr[-6000:]
    done = run("-m", "coverage", "json", data, "-q", "-o", report)
    assert done.returncode == 0, done.stderr
    files = json.loads(Path(report).read_text())["files"]
    percent = {path: files[path]["summary"]["percent_covered"] for path in parsers}
    assert {path: value for path, value in percent.items() if value < LEAST_PERCENT} == {}
