"""`benchmarks/startup.py` runs and says what it measured. Nothing is said of how fast."""

from __future__ import annotations

from tests.benchmarks.programs import measured, refused, run


def test_one_case_alone() -> None:
    data = measured("startup", "--case", "help", "--rounds", "1")
    assert set(data["ratios"]) == {"help"}
    assert data["targets"]["help"]["at_most"] == 1 / 3
    assert len(data["details"]["help"]["first_seconds"]) == 1


def test_a_table_for_people() -> None:
    lines = run("startup", "--case", "help", "--case", "studies-help", "--rounds", "1").stdout.splitlines()
    assert lines[0].split()[:2] == ["case", "ratio"]
    assert [line.split()[0] for line in lines[2:]] == ["help", "studies-help"]


def test_a_case_that_there_is_none_of() -> None:
    assert "no case 'nonsense'; choose from help, sweep-help, studies-help" in refused("startup")
