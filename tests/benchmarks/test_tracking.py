"""`benchmarks/tracking.py` runs and says what it measured. Nothing is said of how fast."""

from __future__ import annotations

import pytest

from tests.benchmarks.programs import measured

pytestmark = pytest.mark.slow


def test_both_cases() -> None:
    data = measured("tracking", "--epochs", "2", "--trials", "1", "--seeds", "2", "--rounds", "1")
    assert set(data["ratios"]) == set(data["targets"]) == {"epoch", "trial"}
    assert len(data["details"]["epoch"]["first_seconds"]) == 2
    trial = data["details"]["trial"]
    assert set(trial["figures_milliseconds"]) == {"curves", "confusion of 10", "confusion of 101"}
    calls = {name: call["calls"] for name, call in trial["calls_of_a_trial"].items()}
    assert calls["create_run"] == 3  # the trial and its two seeds, and not the sweep
    assert calls["epochs"] == 4
    assert calls["artifacts"] == 2
    assert calls["_log"] == 1
