"""The fuzz targets in C: built once with clang, libFuzzer, ASan, UBSan and coverage counters."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path

from tests.support import cmake
from tests.support.cmake import ROOT

SOURCE = Path(__file__).parent / "c"
CORPUS = Path(__file__).parent / "corpus"
TARGETS = sorted(path.stem.removeprefix("fuzz_") for path in SOURCE.glob("fuzz_*.c"))
LLVM = "14"  # of Debian 12; profile formats differ between versions


@cache
def build() -> Path:
    """Build all targets; returns the folder they are in."""
    return cmake.build("fuzz", options=("-DFUZZ=ON",), compiler="clang")


def run(program: Path, *args: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a target with libFuzzer's arguments."""
    return subprocess.run(
        [program, "-timeout=20", *args],
        env=os.environ | env,
        capture_output=True,
        check=False,
    )


def report(done: subprocess.CompletedProcess[bytes], artifacts: Path) -> str:
    """Return what a failed run said, and the inputs that made it fail, in hex."""
    inputs = [f"{path.name}: {path.read_bytes().hex()}" for path in artifacts.glob("*-*")]
    return "\n".join([*inputs, done.stderr.decode(errors="replace")[-6000:]])


def replay(target: str, folder: Path) -> Path:
    """Run a target over its corpus. Leaves in *folder*: profile, and edges of a node fuzzer."""
    profile = folder / f"{target}.profraw"
    done = run(
        build() / f"fuzz_{target}",
        "-runs=0",
        f"-artifact_prefix={folder}/",
        str(CORPUS / target),
        LLVM_PROFILE_FILE=str(profile),
        FUZZ_EDGES=str(folder / f"{target}.edges"),
    )
    assert done.returncode == 0, report(done, folder)
    return profile


def line_coverage(profiles: list[Path], folder: Path) -> dict[str, float]:
    """Return percent of lines by source file, relative to the root of the repository."""
    merged = folder / "all.profdata"
    subprocess.run([f"llvm-profdata-{LLVM}", "merge", "-o", merged, *profiles], check=True)
    objects = [build() / f"fuzz_{target}" for target in TARGETS]
    export = [f"llvm-cov-{LLVM}", "export", "-summary-only", f"-instr-profile={merged}"]
    done = subprocess.run(
        [*export, objects[0], *(f"-object={path}" for path in objects[1:])],
        check=True,
        capture_output=True,
    )
    (data,) = json.loads(done.stdout)["data"]
    return {
        str(Path(file["filename"]).resolve().relative_to(ROOT)): file["summary"]["lines"]["percent"]
        for file in data["files"]
    }
