"""Stages: what is tried, what Optuna is told, and going on after a kill at any moment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from quorum.config import TrialConfig
from quorum.errors import StudyError
from quorum.metric_names import BEST_VAL_ACCURACY
from quorum.study.model import Study
from quorum.study.results import SeedResult, StageResult, TrialRequest, TrialResult
from quorum.sweeps.optuna_stages import LookAhead, OnBegin, run_study
from quorum.sweeps.optuna_storage import open_storage

COMPLETE, FAIL = TrialState.COMPLETE, TrialState.FAIL
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

SHORT = OPEN.model_copy(update={"stages": [OPEN.stages[0].model_copy(update={"trials": 2})]})


def score(request: TrialRequest) -> float:
    """Best at lr 0.1 and momentum 0.9, then at more epochs."""
    config = request.config
    return 0.5 - abs(config.lr - 0.1) + 0.1 * config.momentum + 0.01 * config.epochs - 0.001 * int(config.batch_size)


class Executor:
    """Runs trials by formula, or backwards; stops like a kill before or after the begin of a trial."""

    def __init__(self, stop_at: float | None = None, diverge: float | None = None, backwards: bool = False) -> None:
        self.stop_at, self.diverge, self.backwards = stop_at, diverge, backwards
        self.requests: list[TrialRequest] = []
        self.ahead: list[Sequence[TrialConfig]] = []  # what later stages may ask for, before each trial

    def __call__(
        self, requests: Sequence[TrialRequest], look_ahead: LookAhead, on_begin: OnBegin
    ) -> Iterator[TrialResult]:
        ended: list[TrialResult] = []
        for request in reversed(requests) if self.backwards else requests:
            if len(self.requests) == self.stop_at:
                raise KeyboardInterrupt
            self.ahead.append(look_ahead(ended))
            on_begin(request)
            ended.append(self.run(request))
            yield ended[-1]

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
    return run_study(study, study.first_config({}), storage, name, executor, run_id(name))


def run_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def full_name(name: str, stage: str) -> str:
    return f"digits/{name}/{stage} ({run_id(name)[:8]})"


def settings(results: list[StageResult]) -> list[list[dict[str, object]]]:
    return [[dict(trial.request.settings) for trial in result.trials] for result in results]


def trials_of(storage: RDBStorage, name: str) -> list[optuna.trial.FrozenTrial]:
    """What another process reads from the storage."""
    return optuna.load_study(study_name=name, storage=str(storage.url)).trials


def states(storage: RDBStorage, name: str) -> dict[str, list[str]]:
    names = [study for study in optuna.get_all_study_names(storage) if study.startswith(f"digits/{name}/")]
    return {
        study.split("/")[2].split()[0]: [trial.state.name for trial in trials_of(storage, study)] for study in names
    }


@pytest.mark.parametrize("backwards", [False, True])
def test_later_stages_go_on_from_trials_that_are_not_beaten(backwards: bool, storage: RDBStorage) -> None:
    executor = Executor(backwards=backwards, diverge=0.2)
    results = run(STUDY, storage, executor, f"ahead-{backwards}")
    trials = results[0].trials[::-1] if backwards else results[0].trials
    for done, ahead in enumerate(executor.ahead[: len(trials)]):
        left = list(trials[done:])
        if (best := StageResult(STUDY.stages[0], trials[:done]).best) is not None:
            left.append(best)
        expected = {(trial.request.config.lr, trial.request.config.momentum) for trial in left}
        assert {(config.lr, config.momentum) for config in ahead} == expected


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
    stored = trials_of(storage, full_name("order", "lr"))
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
    stored = {
        frozenset(trial.params.items()): trial.value for trial in trials_of(storage, full_name("backwards", "lr"))
    }
    assert len(stored) == 6
    assert stored == {
        frozenset(trial.params.items()): trial.value for trial in trials_of(storage, full_name("ahead", "lr"))
    }


def test_a_result_that_is_stored_is_reported_without_a_begin(storage: RDBStorage) -> None:
    class Stored(Executor):
        def __call__(self, requests: Sequence[TrialRequest], *_: object) -> Iterator[TrialResult]:
            yield from map(self.run, requests)

    run(STUDY, storage, Stored(), "stored")
    assert states(storage, "stored") == {"lr": ["COMPLETE"] * 6, "epochs": ["COMPLETE"] * 2}


@pytest.mark.slow
def test_killed_while_a_search_asks_the_trial_is_completed(storage: RDBStorage) -> None:
    half = optuna.create_study(storage=storage, study_name=full_name("half", "open"), direction="maximize")
    storage.create_new_trial(half._study_id)  # what a kill inside `ask` leaves: a trial without settings
    results = run(OPEN, storage, Executor(), "half")
    assert len(results[0].trials) == 14
    assert states(storage, "half") == {"open": ["COMPLETE"] * 14}


@pytest.mark.parametrize("stored", [1, 2])
def test_killed_between_two_settings_of_a_trial_a_search_asks_the_same(
    storage: RDBStorage, monkeypatch: pytest.MonkeyPatch, stored: int
) -> None:
    undisturbed = settings(run(SHORT, storage, Executor(), f"whole-{stored}"))
    draw, drawn = TPESampler.sample_independent, 0

    def killed(*arguments: Any) -> Any:
        nonlocal drawn
        if drawn == stored:
            raise KeyboardInterrupt
        drawn += 1
        return draw(*arguments)

    with monkeypatch.context() as fault, pytest.raises(KeyboardInterrupt):
        fault.setattr(TPESampler, "sample_independent", killed)
        run(SHORT, storage, Executor(), f"killed-{stored}")
    assert settings(run(SHORT, storage, Executor(), f"killed-{stored}")) == undisturbed


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


def test_a_study_tells_the_dashboard_what_it_is_of(storage: RDBStorage) -> None:
    run(STUDY, storage, Executor(diverge=0.2), "shown")
    study = optuna.load_study(study_name=full_name("shown", "lr"), storage=storage)
    assert study.metric_names == ["val_accuracy/mean"]
    done, failed = (next(t for t in study.trials if t.state is state) for state in (COMPLETE, FAIL))
    assert done.user_attrs == {"std": None, "n": 1, "seeds": {"0": done.value}, "run_ids": {"0": "seed-run"}}
    assert failed.user_attrs == {"std": None, "n": 0, "seeds": {}, "run_ids": {"0": "seed-run"}}


def test_a_study_of_an_earlier_version_goes_on_under_its_name(storage: RDBStorage) -> None:
    old = f"{run_id('old')}/lr"
    optuna.create_study(storage=storage, study_name=old, direction="maximize")
    run(STUDY, storage, Executor(), "old")
    assert len(trials_of(storage, old)) == 6
    assert list(states(storage, "old")) == ["epochs"]


def test_a_search_begins_with_as_many_random_trials_as_its_file_says(storage: RDBStorage) -> None:
    """From the third trial on, one that starts to follow what was found asks for others than one that does not."""
    (stage,) = OPEN.stages
    searches = {
        startup: OPEN.model_copy(update={"stages": (stage.model_copy(update={"startup": startup, "trials": 4}),)})
        for startup in (None, 2, 10)
    }
    found = {
        startup: settings(run(study, storage, Executor(), f"startup-{startup}"))[0]
        for startup, study in searches.items()
    }
    assert found[None] == found[10]
    assert found[2][:2] == found[10][:2]
    assert found[2][2:] != found[10][2:]


def test_a_search_tells_which_settings_mattered(storage: RDBStorage) -> None:
    (result,) = run(OPEN, storage, Executor(), "importances")
    assert set(result.importances) == {"lr", "batch_size", "optimizer"}
    assert sum(result.importances.values()) == pytest.approx(1)
    assert next(iter(result.importances)) == "lr"
    few = OPEN.model_copy(update={"stages": (OPEN.stages[0].model_copy(update={"trials": 3}),)})
    assert run(few, storage, Executor(), "few")[0].importances == {}


def test_what_a_study_file_does_not_say_changes_no_name() -> None:
    """A sweep that an earlier version began is found by the digest of its study."""
    assert "startup" not in OPEN.model_dump(mode="json")["stages"][0]
