"""`benchmarks/scale.py` runs and says what it measured. Nothing is said of how fast."""

from __future__ import annotations

import pytest

from tests.benchmarks.programs import measured

pytestmark = pytest.mark.slow


def test_a_store_is_multiplied() -> None:
    cases = ("--case", "promote", "--case", "report")
    data = measured("scale", *cases, "--large", 60, "--small", 20, "--seeds", 1, "--rounds", 1)
    assert set(data["ratios"]) == set(data["targets"]) == {"promote", "report"}
    for details in data["details"].values():  # the sweep, three trials and a seed of each are seven runs
        assert details["runs"] == {"large": 63, "small": 21}


def test_memory() -> None:
    data = measured("scale", "--case", "memory", "--many", 2, "--few", 1)
    assert set(data["ratios"]) == {"memory"}
    [kib] = data["details"]["memory"]["first_kib"]
    assert kib > 10_000
