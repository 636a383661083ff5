from pathlib import Path

from tests.fuzz import fuzz_pppoe_discovery

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus" / "pppoe_discovery"


def test_the_fuzz_corpus_runs_clean_and_dials_in() -> None:
    inputs = sorted(CORPUS.iterdir())
    assert len(inputs) > 5
    for path in inputs:
        fuzz_pppoe_discovery.test_one_input(path.read_bytes())
    script = fuzz_pppoe_discovery.Script()
    data = (CORPUS / "redial").read_bytes()
    while data:
        script.frame(data[0], data[2 : 2 + data[1]])
        data = data[2 + data[1] :]
    assert script.core.stats()["sessions"] == 1
    assert script.core.counters["padr_repeated"] == 1
    assert script.core.stats()["ids_resting"] == 0
