"""What a sweep shows: its stages' tables and its page."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quorum.config import TrialConfig
from quorum.study.model import PublishedRow, Stage, Study
from quorum.study.results import SeedResult, StageResult, TrialRequest, TrialResult
from quorum.study.values import Range
from quorum.sweeps.cost import Cost
from quorum.sweeps.page import stage_table, sweep_note, sweep_page

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


def test_a_table_says_what_was_reused_from_where() -> None:
    run = trial(0, 0.1, [0.7, 0.6, 0.8])
    seeds = (
        replace(run.seeds[0], reused=True, source="a" * 32),
        replace(run.seeds[1], reused=True, source="b" * 32),
        replace(run.seeds[2], reused=True, source="a" * 32),
    )
    result = StageResult(STAGE, (replace(run, seeds=seeds), trial(1, 0.2, [0.6, 0.5, 0.4])))
    assert list(stage_table(result)["reused"]) == ["2 from aaaaaaaa, 1 from bbbbbbbb", ""]
    note = sweep_note(Study(dataset="digits", stages=(STAGE,)), [result], "c" * 32)
    assert f"[bbbbbbbb](#/runs/{'b' * 32})" in note


def test_a_note_begins_with_the_figures_of_the_stages() -> None:
    results = [StageResult(STAGE, (trial(0, 0.1, [0.7]), trial(1, 0.2, [0.6])))]
    note = sweep_note(Study(description="Two rates.", dataset="digits", stages=(STAGE,)), results, "run")
    means, curves, text = note.split("\n\n")[:3]
    assert means == "![Means of stage lr](get-artifact?path=stages/lr.png&run_uuid=run)"
    assert curves == "![Curves of stage lr](get-artifact?path=stages/lr-curves.png&run_uuid=run)"
    assert text == "Two rates."
    failed = [StageResult(STAGE, (trial(0, 0.1, [None]), trial(1, 0.2, [None])))]
    assert "curves.png" not in sweep_note(Study(dataset="digits", stages=(STAGE,)), failed, "run")


def test_a_search_says_how_many_trials_were_random_and_what_mattered() -> None:
    stage = Stage(name="open", search="tpe", trials=12, startup=4, ranges={"lr": Range(low=1e-4, high=1, log=True)})
    found = trial(0, 0.00044271, [0.7, 0.6])
    result = StageResult(stage, (found,), importances={"lr": 0.812, "momentum": 0.188})
    page = sweep_page(Study(dataset="digits", stages=(stage,)), [result])
    assert "A search (TPE) of 12 trials, the first 4 of them drawn at random." in page
    assert "| 0.000443 |" in page
    assert "(fANOVA): lr 81%, momentum 19%." in page


def test_the_page_holds_everything() -> None:
    study = Study(description="Two rates.", dataset="digits", stages=(STAGE,))
    results = [StageResult(STAGE, (trial(0, 0.1, [0.7, 0.6]), trial(1, 0.2, [0.6, 0.5])))]
    page = sweep_page(study, results, None, Cost.of(results, 0))
    for part in ("Two rates.", "### Stage lr", "0.6500", "n - 1", "120 epochs written"):
        assert part in page
