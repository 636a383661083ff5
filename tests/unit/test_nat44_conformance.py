"""The tables of nat44.md, "What holds", against the tests that say so.

Each requirement of each RFC has one row. What is met, whole or in part, names its tests; they
exist, and are all of those whose names have its number: `test_req_2a_...`, `test_section_2_1_...`,
`test_req_9_and_10_...`. What is not met says why.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RFCS = ("4787", "5382", "5508", "6888", "7857")
REQUIREMENTS = {
    "4787": "1 2 3 3a 4 5 5a 5b 5c 6 6a 7 8 8a 9 9a 10 10a 11 12 12a 12b 13 13a 14 14a",
    "5382": "1 2 2a 3 3a 3b 4 4a 5 5a 6 7 8 8a 9 10",
    "5508": "1 1a 2 2a 3 3a 3b 3c 3d 4 4a 4b 4c 5 5a 5b 5c 6 7 7a 8 9 10a 10b 10c 10d 10e 10f 11",
    "6888": "1 2 3 4 4a 4b 4c 5 5a 5b 6 7 8 8a 8b 8c 9 10 11a 11b 11c 11d 12 13 14 15",
    "7857": "2 2.1 2.2 3 4 5 6 7 7.1 8 9 10 11 12",
}
MET = ("met", "in part")
Row = tuple[str, str, list[str]]


def rows(rfc: str) -> dict[str, Row]:
    """Return status, reason and tests by requirement, as the table has them."""
    text = (ROOT / "dataplane/nat44.md").read_text()
    (table,) = re.findall(rf"^\| RFC {rfc} .*\n((?:\|.*\n)+)", text, re.MULTILINE)
    found: dict[str, Row] = {}
    for line in table.splitlines()[1:]:
        name, status, why, tests = (cell.strip() for cell in line.strip("|").split("|"))
        name = name.removeprefix("REQ-")
        assert name not in found, f"{name} twice"
        found[name] = status, why, re.findall(r"`(\w+)`", tests)
    return found


def named_tests(rfc: str) -> list[str]:
    """Return the names of the tests of an RFC."""
    source = (ROOT / f"tests/node/test_nat44_rfc{rfc}.py").read_text()
    return re.findall(r"^def (test_\w+)", source, re.MULTILINE)


def requirements(test: str) -> list[str]:
    """Return what a test is about, by its name."""
    if match := re.match(r"test_section_(\d+(?:_\d+)?)_", test):
        return [match[1].replace("_", ".")]
    match = re.match(r"test_req_(\d+[a-f]?(?:_and_\d+[a-f]?)*)_", test)
    assert match, f"{test} has no number"
    return match[1].split("_and_")


@pytest.mark.parametrize("rfc", RFCS)
def test_each_requirement_has_one_row(rfc: str) -> None:
    assert list(rows(rfc)) == REQUIREMENTS[rfc].split()


@pytest.mark.parametrize("rfc", RFCS)
def test_what_is_met_names_all_of_its_tests_and_what_is_not_says_why(rfc: str) -> None:
    for name, (status, why, named) in rows(rfc).items():
        assert status in (*MET, "not met", "does not apply"), name
        assert why, name
        about = [test for test in named_tests(rfc) if name in requirements(test)]
        assert named == about, name
        assert bool(named) == (status in MET), name


@pytest.mark.parametrize("rfc", RFCS)
def test_each_test_is_about_a_requirement(rfc: str) -> None:
    about = {name for test in named_tests(rfc) for name in requirements(test)}
    assert about <= {*REQUIREMENTS[rfc].split()}
