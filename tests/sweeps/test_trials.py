"""Running trials through an executor that is handed in: sharing, failures, weights, what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from quorum.config import TrialConfig
from quorum.engine.training import Progress
from quorum.errors import DivergedError
from quorum.study.prefix import TrainingPath
from quorum.study.results import TrialRequest, TrialResult
from quorum.sweeps.checkpoints import Checkpoints
from quorum.sweeps.executors.in_process import InProcess
from quorum.sweeps.optuna_stages import LookAhead
from quorum.sweeps.progress import SweepProgress
from quorum.sweeps.runs import SweepRuns
from quorum.sweeps.trials import TrialRunner, paths_ahead
from quorum.sweeps.weights import KeptWeights
from quorum.tracking.leases import presences
from quorum.tracking.queries import family, get_training
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.stored_models import delete_model
from quorum.training.folders import WorkFolders
from quorum.training.job import Job, Trained, train
from quorum.training.prepare import Preparer
from tests.tracking.test_leases import interrupted_closing
from tests.training.conftest import CONFIG

Work = Callable[[Job, Callable[[int], None]], Iterator[Progress | Trained]]


def requests(*epochs: int) -> list[TrialRequest]:
    return [
        TrialRequest("epochs", i, {"epochs": count}, CONFIG.replace(epochs=count, step_size=0))
        for i, count in enumerate(epochs)
    ]


class Sweep:
    """A sweep's runner over two seeds, and what it did."""

    def __init__(self, preparer: Preparer, folders: WorkFolders, work: Work = train, keep: int = 1) -> None:
        self.log = begin_run(preparer.store, "a sweep", Record(kind="sweep", key="k"))
        self.jobs: list[str] = []
        self.begun: list[int] = []

        def counting(job: Job, on_batch: Callable[[int], None]) -> Iterator[Progress | Trained]:
            self.jobs.append(job.name)
            yield from work(job, on_batch)

        self.checkpoints = Checkpoints(folders.checkpoints(self.log.run_id), 1e12)
        self.weights = KeptWeights(preparer, folders, self.log.store, self.log.run_id, keep)
        runs = SweepRuns(self.log, (0, 1), reuse=True)
        executor, progress = InProcess(counting), SweepProgress((0, 1))
        self.runner = TrialRunner(preparer, runs, folders, self.checkpoints, self.weights, executor, progress)

    def run(self, wanted: list[TrialRequest], look_ahead: LookAhead = lambda _ended: []) -> list[TrialResult]:
        with self.runner:
            found = list(self.runner.execute(wanted, look_ahead, lambda request: self.begun.append(request.number)))
            self.weights.log()
        return sorted(found, key=lambda result: result.request.number)


@pytest.mark.slow
def test_epochs_that_trials_share_are_trained_once(preparer: Preparer, folders: WorkFolders) -> None:
    sweep = Sweep(preparer, folders)
    short, long = sweep.run(requests(1, 3))
    assert [seed.shared_epochs for seed in (*short.seeds, *long.seeds)] == [0, 0, 1, 1]
    assert set(sweep.begun) == {0, 1}
    fork = get_training(preparer.store, long.seeds[0].run_id)
    assert fork.shared_with == short.seeds[0].run_id
    assert not folders.checkpoints(sweep.log.run_id).exists()


@pytest.mark.slow
def test_states_that_no_later_stage_can_ask_for_are_not_kept(preparer: Preparer, folders: WorkFolders) -> None:
    """The first trial is beaten by the second, so that nothing can go on from it any more."""
    kept: list[set[str]] = []
    sweep = Sweep(preparer, folders)
    wanted = [
        TrialRequest("lr", number, {"lr": lr}, CONFIG.replace(epochs=1, lr=lr))
        for number, lr in enumerate((1e-9, 0.05, 0.1))
    ]

    def look_ahead(ended: Sequence[TrialResult]) -> list[TrialConfig]:
        kept.append(set(sweep.checkpoints.nodes))
        beaten = {0} if len(ended) > 1 else set[int]()
        return [request.config.replace(epochs=2) for request in wanted if request.number not in beaten]

    sweep.run(wanted, look_ahead)
    assert [len(nodes) for nodes in kept] == [0, 2, 4, 4]  # of two seeds, before the first trial and after each
    first = TrainingPath(preparer.resolve(wanted[0].config), preparer.numerics).nodes[0]
    assert [first in nodes for nodes in kept] == [False, True, True, False]


@pytest.mark.slow
def test_one_seed_that_diverges_fails_its_trial_alone(preparer: Preparer, folders: WorkFolders) -> None:
    def work(job: Job, on_batch: Callable[[int], None]) -> Iterator[Progress | Trained]:
        if (job.prepared.config.seed, job.prepared.config.epochs) == (1, 2):
            raise DivergedError("the loss is nan")
        yield from train(job, on_batch)

    bad, good = Sweep(preparer, folders, work).run(requests(2, 3))
    assert (bad.failed, good.failed) == (True, False)
    assert [seed.reason for seed in bad.seeds] == ["", "the loss is nan"]
    assert get_training(preparer.store, bad.run_id).status == "FAILED"
    assert get_training(preparer.store, bad.run_id).reason == "seed 1: the loss is nan"


def test_the_epochs_of_a_failed_training_are_counted(preparer: Preparer, folders: WorkFolders) -> None:
    def work(job: Job, on_batch: Callable[[int], None]) -> Iterator[Progress | Trained]:
        yield next(train(job, on_batch))
        raise DivergedError("the loss is nan")

    [failed] = Sweep(preparer, folders, work).run(requests(3))
    assert [seed.last_epoch for seed in failed.seeds] == [1, 1]
    for seed in failed.seeds:
        stored = get_training(preparer.store, seed.run_id).result(reused=False)
        assert (stored.reason, stored.metrics) == ("the loss is nan", {"last/epoch": 1.0})


@pytest.mark.slow
def test_only_the_best_weights_are_kept(preparer: Preparer, folders: WorkFolders) -> None:
    trials = Sweep(preparer, folders, keep=1).run(requests(1, 2, 3))
    kept = [trial for trial in trials if get_training(preparer.store, trial.run_id).model_id]
    best = max(trials, key=lambda trial: trial.of("best/val_accuracy").mean or 0)
    assert [trial.run_id for trial in kept] == [best.run_id]
    assert not [path for path in Path(folders.work_dir, "weights").glob("*") if path.is_dir()]


def test_an_error_ends_what_is_open_with_it(preparer: Preparer, folders: WorkFolders) -> None:
    def work(job: Job, on_batch: Callable[[int], None]) -> Iterator[Progress | Trained]:
        yield next(train(job, on_batch))
        raise KeyboardInterrupt

    sweep = Sweep(preparer, folders, work)
    with pytest.raises(KeyboardInterrupt):
        sweep.run(requests(2))
    assert {run.status for run in family(preparer.store, sweep.log.run_id)} == {"KILLED"}


def test_a_second_interruption_leaves_to_the_next_command_what_it_meets(
    preparer: Preparer, folders: WorkFolders
) -> None:
    def work(job: Job, on_batch: Callable[[int], None]) -> Iterator[Progress | Trained]:
        yield next(train(job, on_batch))
        raise KeyboardInterrupt

    sweep = Sweep(preparer, folders, work)
    with interrupted_closing(), pytest.raises(KeyboardInterrupt):
        sweep.run(requests(2))
    runs = family(preparer.store, sweep.log.run_id)
    assert {run.kind: run.status for run in runs} == {"trial": "KILLED", "seed": "RUNNING"}
    [left] = [run.run_id for run in runs if run.status == "RUNNING"]
    [mine] = presences(MlflowClient())
    assert mine.runs == (sweep.log.run_id, left)


@pytest.mark.slow
def test_a_kill_between_tags_and_model_costs_nothing(
    preparer: Preparer, folders: WorkFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tags go before the model, and a model that is gone already is no error."""
    sweep = Sweep(preparer, folders)
    [first] = sweep.run(requests(1))
    training = get_training(preparer.store, first.best_seed.run_id)
    assert training.model_id

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("quorum.sweeps.weights.delete_model", killed)
        with pytest.raises(KeyboardInterrupt):
            sweep.weights._drop(training.run_id, [first])
    assert not get_training(preparer.store, training.run_id).model_id
    sweep.weights._drop(training.run_id, [first])
    delete_model(preparer.store, training.model_id)
    delete_model(preparer.store, training.model_id)


@pytest.mark.slow
def test_no_state_is_left_of_what_was_trained(preparer: Preparer, folders: WorkFolders) -> None:
    Sweep(preparer, folders).run(requests(2))
    assert not list((folders.work_dir / "states").glob("*"))


def test_looking_ahead_passes_over_what_could_not_be_run(preparer: Preparer) -> None:
    paths = paths_ahead([CONFIG, CONFIG.replace(weights="absent.pt")], [0, 1], preparer)
    assert [path.config for path in paths] == [preparer.resolve(CONFIG.replace(seed=seed)) for seed in (0, 1)]


@pytest.mark.slow
def test_nothing_is_left_of_runs_that_are_not_gone_on_with(preparer: Preparer, folders: WorkFolders) -> None:
    sweep = Sweep(preparer, folders)
    sweep.runner.runs.superseded.add("old")
    left = [folders.state("old"), folders.bundle("old"), folders.artifacts("old")]
    for folder in left:
        folder.create()
    sweep.run(requests(1))
    assert not any(folder.exists() for folder in left)
