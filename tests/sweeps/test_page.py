"""What a sweep shows: its stages' tables and its page."""

from __future__ import annotations

import pytest

from quorum.config import TrialConfig
from quorum.study.model import PublishedRow, Stage, Study
from quorum.study.results import SeedResult, StageResult, TrialRequest, TrialResult
from quorum.sweeps.cost import Cost
from quorum.sweeps.page import stage_table, sweep_page

STAGE = Stage(
    name="lr",
    vary={"lr": [0.1, 0.2]},
    published=(PublishedRow(id="a", at={"lr": "2e-1"}, val_accuracy=0.5, std=0.01),),
)


def trial(number: int, lr: float, accuracies: list[float | None]) -> TrialResult:
    seeds = [
        SeedResult(seed, "r", {"best/val_accuracy": accuracy, "test/accuracy": accuracy - 0.1})
        if accuracy is not None
        else SeedResult(seed, "r", {"last/epoch": 4.0}, reason="the loss is nan")
        for seed, accuracy in enumerate(accuracies)
    ]
    return TrialResult(TrialRequest("lr", number, {"lr": lr}, TrialConfig(lr=lr)), "run", tuple(seeds))


def test_a_stage_beside_what_was_published() -> None:
    result = StageResult(STAGE, (trial(0, 0.1, [0.7, None]), trial(1, 0.2, [0.6, 0.5])))
    table = stage_table(result)
    assert list(table["n"]) == [1, 2]
    assert table["mean"].to_list() == pytest.approx([0.7, 0.55])
    assert table["difference"][1] == pytest.approx(0.05)
    assert list(table["note"]) == ["the loss is nan", "best"]  # a trial that failed is never chosen
    assert "reused" not in table


def test_the_page_holds_everything() -> None:
    study = Study(description="Two rates.", dataset="digits", stages=(STAGE,))
    results = [StageResult(STAGE, (trial(0, 0.1, [0.7, 0.6]), trial(1, 0.2, [0.6, 0.5])))]
    page = sweep_page(study, results, None, Cost.of(results, 0))
    for part in ("Two rates.", "### Stage lr", "0.6500", "n - 1", "120 epochs written"):
        assert part in page
