"""Stages: what is tried, what Optuna is told, and going on after a kill at any moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import optuna
import pytest
from optuna.storages import RDBStorage

from quorum.config import TrialConfig
from quorum.errors import StudyError
from quorum.metric_names import BEST_VAL_ACCURACY
from quorum.study.model import Study
from quorum.study.results import SeedResult, StageResult, TrialRequest, TrialResult
from quorum.sweeps.optuna_stages import OnBegin, run_study
from quorum.sweeps.optuna_storage import open_storage

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
    return 0.5 - abs(config.lr - 0.1) + 0.1 * config.momentum + 0.01 * config.epochs - 0.001 * int(config.batch_size)


class Executor:
    """Runs trials by formula, or backwards; stops like a kill before or after the begin of a trial."""

    def __init__(self, stop_at: float | None = None, diverge: float | None = None, backwards: bool = False) -> None:
        self.stop_at, self.diverge, self.backwards = stop_at, diverge, backwards
        self.requests: list[TrialRequest] = []

    def __call__(
        self, requests: Sequence[TrialRequest], possible: Sequence[TrialConfig], on_begin: OnBegin
    ) -> Iterator[TrialResult]:
        for request in reversed(requests) if self.backwards else requests:
            if len(self.requests) == self.stop_at:
                raise KeyboardInterrupt
            on_begin(request)
            yield self.run(request)

    def run(self, request: TrialRequest) -> TrialResult:
        if len(self.requests) + 0.5 == self.stop_at:
            raise KeyboardInterrupt
        self.requests.append(request)
        if request.config.lr == self.diverge:
            return TrialResult(request, "run", (SeedResult(0, "seed-run", reason="the loss is nan"),))
        return TrialResult(request, "run", (SeedResult(0, "seed-run", {BEST_VAL_ACCURACY: score(request)}),))


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> RDBStorage:
    """One for all tests, as making one takes a second; each test has names of its own."""
    return open_storage(f"sqlite:///{tmp_path_factory.mktemp('optuna')}/optuna.db")


def run(study: Study, storage: RDBStorage, executor: Executor, name: str) -> list[StageResult]:
    return run_study(study, study.first_config({}), storage, name, executor)


def settings(results: list[StageResult]) -> list[list[dict[str, object]]]:
    return [[dict(trial.request.settings) for trial in result.trials] for result in results]


def trials_of(storage: RDBStorage, name: str) -> list[optuna.trial.FrozenTrial]:
    """What another process reads from the storage."""
    return optuna.load_study(study_name=name, storage=str(storage.url)).trials


def states(storage: RDBStorage, name: str) -> dict[str, list[str]]:
    names = [study for study in optuna.get_all_study_names(storage) if study.startswith(f"{name}/")]
    return {study.split("/")[1]: [trial.state.name for trial in trials_of(storage, study)] for study in names}


def test_a_grid_is_run_in_the_files_order_and_the_next_stage_around_its_best(storage: RDBStorage) -> None:
    results = run(STUDY, storage, Executor(), "order")
    grid = [{"lr": lr, "momentum": momentum} for lr in (0.3, 0.1, 0.2) for momentum in (0.5, 0.9)]
    assert settings(results)[0] == grid
    assert [trial.request.number for trial in results[0].trials] == list(range(6))
    assert results[0].best is not None
    assert results[0].best.request.settings == {"lr": 0.1, "momentum": 0.9}
    for trial in results[1].trials:
        assert (trial.request.config.lr, trial.request.config.gamma) == (0.1, 0.5)
    assert states(storage, "order") == {"lr": ["COMPLETE"] * 6, "epochs": ["COMPLETE"] * 2}
    stored = trials_of(storage, "order/lr")
    assert [trial.params for trial in stored] == grid
    assert [trial.value for trial in stored] == [score(trial.request) for trial in results[0].trials]


def test_optuna_learns_of_a_trial_when_it_begins(storage: RDBStorage) -> None:
    seen = []

    class Watching(Executor):
        def run(self, request: TrialRequest) -> TrialResult:
            seen.append(states(storage, "watched")["lr"])
            return super().run(request)

    run(STUDY, storage, Watching(), "watched")
    assert seen[:6] == [["COMPLETE"] * number + ["RUNNING"] for number in range(6)]


# Before or within the first trial, around the change of stages, within the last; of a search after its tenth,
# from which on its trials are no longer random.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "stops"), [(STUDY, (0, 0.5, 2, 5.5, 6, 6.5, 7.5)), (OPEN, (0.5, 11))], ids=["grid", "tpe"]
)
def test_killed_anywhere_it_asks_the_same_trials(storage: RDBStorage, study: Study, stops: tuple[float, ...]) -> None:
    kind = study.stages[0].search
    whole = settings(run(study, storage, Executor(), f"whole-{kind}"))
    total = sum(len(stage) for stage in whole)
    for stop in stops:
        name = f"killed-{kind}-{stop}"
        with pytest.raises(KeyboardInterrupt):
            run(study, storage, Executor(stop), name)
        assert settings(run(study, storage, Executor(), name)) == whole
        assert [state for trials in states(storage, name).values() for state in trials] == ["COMPLETE"] * total


def test_trials_are_found_again_in_whatever_order_they_were_begun(storage: RDBStorage) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(STUDY, storage, Executor(3.5, backwards=True), "backwards")
    assert states(storage, "backwards") == {"lr": ["COMPLETE"] * 3 + ["RUNNING"]}
    assert settings(run(STUDY, storage, Executor(), "backwards")) == settings(run(STUDY, storage, Executor(), "ahead"))
    stored = {frozenset(trial.params.items()): trial.value for trial in trials_of(storage, "backwards/lr")}
    assert len(stored) == 6
    assert stored == {frozenset(trial.params.items()): trial.value for trial in trials_of(storage, "ahead/lr")}


def test_a_result_that_is_stored_is_reported_without_a_begin(storage: RDBStorage) -> None:
    class Stored(Executor):
        def __call__(self, requests: Sequence[TrialRequest], *_: object) -> Iterator[TrialResult]:
            yield from map(self.run, requests)

    run(STUDY, storage, Stored(), "stored")
    assert states(storage, "stored") == {"lr": ["COMPLETE"] * 6, "epochs": ["COMPLETE"] * 2}


def test_killed_while_a_search_asks_the_trial_is_completed(storage: RDBStorage) -> None:
    half = optuna.create_study(storage=storage, study_name="half/open", direction="maximize")
    storage.create_new_trial(half._study_id)  # what a kill inside `ask` leaves: a trial without settings
    results = run(OPEN, storage, Executor(), "half")
    assert len(results[0].trials) == 14
    assert states(storage, "half") == {"open": ["COMPLETE"] * 14}


def test_the_first_of_many_trials_begins_at_once(storage: RDBStorage) -> None:
    """GridSampler took minutes to propose three hundred before the first could begin."""
    values = [number / 1000 for number in range(1, 301)]
    study = Study.model_validate({"dataset": "digits", "stages": [{"name": "lr", "vary": {"lr": values}}]})
    with pytest.raises(KeyboardInterrupt):
        run(study, storage, Executor(1), "many")
    assert states(storage, "many") == {"lr": ["COMPLETE"]}


@pytest.mark.parametrize(
    "vary",
    [
        {"optimizer": ["sgd", "adam"]},
        {"batch_size": [64, 8], "resize": [0, "auto"]},
        {"lr": [1, 0.5]},
        {"phases": ["all", "1:classifier, 3:all"]},
    ],
)
def test_settings_of_every_kind_are_found_again(storage: RDBStorage, vary: dict[str, list[object]]) -> None:
    study = Study.model_validate({"dataset": "digits", "stages": [{"name": "only", "vary": vary}]})
    name = f"kinds-{'-'.join(vary)}"
    first = settings(run(study, storage, Executor(), name))
    assert settings(run(study, storage, Executor(), name)) == first
    assert len(states(storage, name)["only"]) == len(first[0])


def test_a_search_stays_in_its_ranges_and_finds_better_than_chance(storage: RDBStorage) -> None:
    trials = run(OPEN, storage, Executor(), "ranges")[0].trials
    assert len(trials) == 14
    for trial in trials:
        assert 1e-4 <= float(trial.request.settings["lr"]) <= 1
        assert trial.request.settings["batch_size"] in range(8, 65, 8)
        assert trial.request.config.optimizer in ("sgd", "adam")
    assert len({str(trial.request.settings) for trial in trials}) > 10


def test_integers_are_searched_where_the_setting_takes_no_fractions(storage: RDBStorage) -> None:
    ranges = {"input_size": {"low": 32, "high": 64}, "epochs": {"low": 1, "high": 9}}
    stage = {"name": "open", "search": "tpe", "trials": 4, "ranges": ranges}
    study = Study.model_validate({"dataset": "digits", "stages": [stage]})
    for trial in run(study, storage, Executor(), "integers")[0].trials:
        assert {type(value) for value in trial.request.settings.values()} == {int}


def test_arguments_of_expressions_are_varied_and_searched(storage: RDBStorage) -> None:
    name = "augment.rotate.degrees"
    stages = [
        {"name": "grid", "vary": {name: [5, 7.5]}},
        {"name": "open", "search": "tpe", "trials": 3, "ranges": {name: {"low": 1, "high": 9}}},
        {"name": "whole", "search": "tpe", "trials": 3, "ranges": {name: {"low": 1, "high": 9, "step": 2}}},
    ]
    study = Study.model_validate({"dataset": "digits", "base": {"augment": "rotate(degrees=15)"}, "stages": stages})
    results = run(study, storage, Executor(), "arguments")
    assert [trial.request.config.augment for trial in results[0].trials] == ["rotate(degrees=5)", "rotate(degrees=7.5)"]
    for trial in (*results[1].trials, *results[2].trials):
        value = trial.request.settings[name]
        assert trial.request.config.augment == f"rotate(degrees={value})"
        assert isinstance(value, float if trial.request.stage == "open" else int)
    assert settings(run(study, storage, Executor(), "arguments")) == settings(results)
    assert states(storage, "arguments") == {
        "grid": ["COMPLETE"] * 2,
        "open": ["COMPLETE"] * 3,
        "whole": ["COMPLETE"] * 3,
    }


def test_a_diverged_trial_is_reported_and_never_chosen(storage: RDBStorage) -> None:
    results = run(STUDY, storage, Executor(diverge=0.1), "diverged")
    assert results[0].best is not None
    assert results[0].best.request.settings["lr"] == 0.2
    assert sorted(states(storage, "diverged")["lr"]) == ["COMPLETE"] * 4 + ["FAIL"] * 2


def test_a_stage_whose_trials_all_failed_ends_the_sweep_with_the_reason(storage: RDBStorage) -> None:
    study = Study.model_validate({"dataset": "digits", "stages": [{"name": "lr", "vary": {"lr": [0.1]}}]})
    with pytest.raises(StudyError, match="stage 'lr': all of its trials failed \\(the loss is nan\\)"):
        run(study, storage, Executor(diverge=0.1), "failed")


def test_a_stage_that_varies_nothing_is_one_trial(storage: RDBStorage) -> None:
    study = Study.model_validate({"dataset": "digits", "stages": [{"name": "only", "set": {"epochs": 3}}]})
    results = run(study, storage, Executor(), "nothing")
    assert [trial.request.config.epochs for trial in results[0].trials] == [3]
