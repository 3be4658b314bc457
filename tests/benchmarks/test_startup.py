"""`benchmarks/startup.py` runs and says what it measured. Nothing is said of how fast."""

from __future__ import annotations

import pytest

from tests.benchmarks.programs import measured

pytestmark = pytest.mark.slow


def test_one_case_alone() -> None:
    data = measured("startup", "--case", "help", "--rounds", 1)
    assert set(data["ratios"]) == {"help"}
    assert data["targets"]["help"]["at_most"] == 1 / 3
    assert len(data["details"]["help"]["first_seconds"]) == 1
