"""The rule of the report keeps its word where the truth is known."""

from __future__ import annotations

import importlib.util

import pytest

from tests.conftest import ROOT

spec = importlib.util.spec_from_file_location("verdicts", ROOT / "benchmarks" / "verdicts.py")
assert spec is not None
assert spec.loader is not None
verdicts = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verdicts)


@pytest.mark.parametrize("runs", [3, 1])
@pytest.mark.parametrize("spread", [0.005, 0.016, 0.05])
def test_noise_is_not_rewarded(runs: int, spread: float) -> None:
    for n in (3, 10):
        assert verdicts.simulate(0.05, spread, n, runs, 200)["reproduced"] <= 0.05
        assert verdicts.simulate(0.10, spread, n, runs, 200)["compatible"] <= 0.05


def test_what_is_the_same_is_found_to_be_the_same() -> None:
    assert verdicts.simulate(0.0, 0.005, 5, 3, 200)["reproduced"] > 0.9
    assert verdicts.simulate(0.10, 0.016, 5, 3, 200)["higher"] > 0.9
