"""Stages: what is asked, what is told, and going on after a kill at any moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import optuna
import pytest

from quorum.config import TrialConfig
from quorum.errors import StudyError
from quorum.study.model import Study
from quorum.study.results import VAL_ACCURACY, SeedResult, StageResult, TrialRequest, TrialResult
from quorum.sweep.optuna_stages import open_storage, run_study

STUDY = Study.model_validate(
    {
        "dataset": "digits",
        "stages": [
            {"name": "lr", "vary": {"lr": [0.3, 0.1, 0.2], "momentum": [0.5, 0.9]}},
            {"name": "epochs", "set": {"gamma": 0.5}, "vary": {"epochs": [1, 2]}},
        ],
    }
)
OPEN = Study.model_validate(
    {
        "dataset": "digits",
        "stages": [
            {
                "name": "open",
                "search": "tpe",
                "trials": 14,
                "ranges": {
                    "lr": {"low": 1e-4, "high": 1.0, "log": True},
                    "batch_size": {"low": 8, "high": 64, "step": 8},
                    "optimizer": ["sgd", "adam"],
                },
            }
        ],
    }
)


def score(request: TrialRequest) -> float:
    """Best at lr 0.1 and momentum 0.9, then at more epochs."""
    config = request.config
    return 0.5 - abs(config.lr - 0.1) + 0.1 * config.momentum + 0.01 * config.epochs - 0.001 * config.batch_size


class Executor:
    """Runs trials by formula; stops like a kill in the trial of a given place."""

    def __init__(self, stop_at: int | None = None, diverge: float | None = None) -> None:
        self.stop_at, self.diverge = stop_at, diverge
        self.requests: list[TrialRequest] = []

    def __call__(self, requests: Sequence[TrialRequest], possible: Sequence[TrialConfig]) -> Iterator[TrialResult]:
        yield from map(self.run, requests)

    def run(self, request: TrialRequest) -> TrialResult:
        if len(self.requests) == self.stop_at:
            raise KeyboardInterrupt
        self.requests.append(request)
        if request.config.lr == self.diverge:
            return TrialResult(request, "run", (SeedResult(0, "seed-run", reason="the loss is nan"),))
        return TrialResult(request, "run", (SeedResult(0, "seed-run", {VAL_ACCURACY: score(request)}),))


def run(study: Study, folder: Path, executor: Executor, name: str = "sweep") -> list[StageResult]:
    return run_study(study, study.first_config({}), open_storage(folder / "optuna.db"), name, executor)


def settings(results: list[StageResult]) -> list[list[dict[str, object]]]:
    return [[dict(trial.request.settings) for trial in result.trials] for result in results]


def states(folder: Path) -> dict[str, list[str]]:
    studies = optuna.get_all_study_names(f"sqlite:///{folder}/optuna.db")
    loaded = {name: optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/optuna.db") for name in studies}
    return {name: [trial.state.name for trial in study.trials] for name, study in loaded.items()}


def test_a_grid_is_run_in_the_files_order_and_the_next_stage_around_its_best(tmp_path: Path) -> None:
    results = run(STUDY, tmp_path, Executor())
    assert settings(results)[0] == [
        {"lr": lr, "momentum": momentum} for lr in (0.3, 0.1, 0.2) for momentum in (0.5, 0.9)
    ]
    assert results[0].best is not None
    assert results[0].best.request.settings == {"lr": 0.1, "momentum": 0.9}
    for trial in results[1].trials:
        assert (trial.request.config.lr, trial.request.config.gamma) == (0.1, 0.5)
    assert states(tmp_path) == {"sweep/lr": ["COMPLETE"] * 6, "sweep/epochs": ["COMPLETE"] * 2}


@pytest.mark.parametrize("study", [STUDY, OPEN], ids=["grid", "tpe"])
def test_killed_anywhere_it_asks_the_same_trials(tmp_path: Path, study: Study) -> None:
    whole = settings(run(study, tmp_path / "whole", Executor()))
    total = sum(len(stage) for stage in whole)
    for stop_at in range(total):
        folder = tmp_path / str(stop_at)
        with pytest.raises(KeyboardInterrupt):
            run(study, folder, Executor(stop_at))
        assert settings(run(study, folder, Executor())) == whole
        assert sum(len(trials) for trials in states(folder).values()) == total
        assert {state for trials in states(folder).values() for state in trials} == {"COMPLETE"}


def test_killed_while_asking_the_trial_is_completed(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "optuna.db")
    half = optuna.create_study(storage=storage, study_name="sweep/lr", direction="maximize")
    storage.create_new_trial(half._study_id)  # what a kill inside `ask` leaves: a trial without settings
    results = run(STUDY, tmp_path, Executor())
    assert len(results[0].trials) == 6
    assert states(tmp_path)["sweep/lr"] == ["COMPLETE"] * 6


def test_a_search_stays_in_its_ranges_and_finds_better_than_chance(tmp_path: Path) -> None:
    trials = run(OPEN, tmp_path, Executor())[0].trials
    assert len(trials) == 14
    for trial in trials:
        assert 1e-4 <= float(trial.request.settings["lr"]) <= 1
        assert trial.request.settings["batch_size"] in range(8, 65, 8)
        assert trial.request.config.optimizer in ("sgd", "adam")
    assert len({str(trial.request.settings) for trial in trials}) > 10


def test_a_diverged_trial_is_told_and_never_chosen(tmp_path: Path) -> None:
    results = run(STUDY, tmp_path, Executor(diverge=0.1))
    assert results[0].best is not None
    assert results[0].best.request.settings["lr"] == 0.2
    assert sorted(states(tmp_path)["sweep/lr"]) == ["COMPLETE"] * 4 + ["FAIL"] * 2


def test_a_stage_without_any_finished_trial_ends_the_sweep_with_the_reason(tmp_path: Path) -> None:
    study = Study.model_validate({"dataset": "digits", "stages": [{"name": "lr", "vary": {"lr": [0.1]}}]})
    with pytest.raises(StudyError, match="stage 'lr': none of its trials finished \\(the loss is nan\\)"):
        run(study, tmp_path, Executor(diverge=0.1))


def test_a_stage_that_varies_nothing_is_one_trial(tmp_path: Path) -> None:
    study = Study.model_validate({"dataset": "digits", "stages": [{"name": "only", "set": {"epochs": 3}}]})
    results = run(study, tmp_path, Executor())
    assert [trial.request.config.epochs for trial in results[0].trials] == [3]
