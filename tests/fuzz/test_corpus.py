"""The corpora: one for each target, small enough to be read through in a moment."""

import pytest

from . import native, replay

MOST_FILES = 300
MOST_BYTES = 16_384


@pytest.mark.parametrize("target", native.TARGETS + replay.TARGETS)
def test_a_corpus_is_there_and_small(target: str) -> None:
    sizes = {path.name: path.stat().st_size for path in (native.CORPUS / target).iterdir()}
    assert 0 < len(sizes) < MOST_FILES
    assert [name for name, size in sizes.items() if size > MOST_BYTES] == []


def test_every_corpus_has_its_target() -> None:
    folders = {path.name for path in native.CORPUS.iterdir()}
    assert folders == {*native.TARGETS, *replay.TARGETS}
