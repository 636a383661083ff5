"""A bounds check taken away, in a copy of the source: the fuzzer must find that within seconds.

It starts from one good input: the corpora know every check, and would find it without fuzzing.
"""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from . import native

SECONDS = 60


def patched(source: Path, check: str, to: Path) -> None:
    """Write a copy of *source* without *check*."""
    text = source.read_text()
    assert text.count(check) == 1, f"{source} has no such check any more: plant another bug"
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(text.replace(check, ""))


def one_input(target: str, seed: str, folder: Path) -> Path:
    """Return a corpus with one input of the target's."""
    corpus = folder / "corpus"
    corpus.mkdir()
    shutil.copy(native.CORPUS / target / seed, corpus)
    return corpus


def build_patched(target: str, source: Path, folder: Path) -> Path:
    """Build a target from *source* in *folder* and the objects that are there for the rest."""
    listed = ["ninja", "-C", str(native.build()), "-t", "commands", f"fuzz_{target}"]
    commands = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    (compiling,) = (line for line in commands.splitlines() if f"/{source.name} " in f"{line} ")
    linking = commands.splitlines()[-1].removeprefix(": && ").removesuffix(" && :")
    compiler, linker = shlex.split(compiling), shlex.split(linking)
    old_object = compiler[compiler.index("-o") + 1]
    program = folder / "program"
    compiler[compiler.index("-o") + 1] = str(folder / "patched.o")
    compiler[compiler.index("-c") + 1] = str(source)
    compiler += ["-MF", str(folder / "patched.d"), "-Wno-error"]  # a parameter without use
    linker[linker.index(old_object)] = str(folder / "patched.o")
    linker[linker.index("-o") + 1] = str(program)
    for command in (compiler, linker):
        subprocess.run(command, check=True, cwd=native.build())
    return program


@pytest.mark.parametrize(
    ("name", "seed", "check"),
    [
        ("mss_clamp.c", "tcp_syn_bare", "\tif (end > len)\n\t\treturn;\n"),
        (
            "pppoe_input.c",
            "control",
            "\tif (unlikely(length > p->len - PPPOE_LEN))\n\t\treturn EDGE_BEYOND_FRAME;\n",
        ),
    ],
)
def test_a_missing_bounds_check_of_a_node_is_found(
    name: str, seed: str, check: str, tmp_path: Path
) -> None:
    patched(native.ROOT / "dataplane/src/node" / name, check, tmp_path / name)
    program = build_patched("access", tmp_path / name, tmp_path)
    done = native.run(
        program,
        f"-max_total_time={SECONDS}",
        f"-artifact_prefix={tmp_path}/",
        str(one_input("access", seed, tmp_path)),
    )
    assert done.returncode != 0
    assert b"AddressSanitizer: use-after-poison" in done.stderr, native.report(done, tmp_path)
    assert list(tmp_path.glob("crash-*"))


@pytest.mark.parametrize(
    ("target", "seed", "source", "check"),
    [
        (
            "pppoe_discovery",
            "padi",
            "bng/pppoe/packet.py",
            "if end - offset < _TAG.size:\n            "
            'raise MalformedPacket(f"{end - offset} bytes left where a TAG should start")',
        ),
    ],
)
def test_a_missing_bounds_check_of_a_parser_is_found(
    target: str, seed: str, source: str, check: str, tmp_path: Path
) -> None:
    shutil.copytree(native.ROOT / "bng", tmp_path / "bng")
    for shared in ("dataplane", "tests"):
        (tmp_path / shared).symlink_to(native.ROOT / shared)
    patched(native.ROOT / source, check, tmp_path / source)
    arguments = (f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/")
    corpus = one_input(target, seed, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", target, *arguments, corpus],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "unpack_from requires a buffer" in done.stdout, done.stderr[-3000:]
    assert list(tmp_path.glob("crash-*"))
