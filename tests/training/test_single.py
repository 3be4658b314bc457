"""One training in a run of its own, and what is left on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from mlflow.tracking import MlflowClient

from quorum.engine.training import Progress
from quorum.errors import DivergedError
from quorum.tracking.queries import get_training
from quorum.training import single
from quorum.training.folders import WorkFolders
from quorum.training.job import Job, Trained, train
from quorum.training.prepare import Preparer
from quorum.training.single import train_one
from tests.training.conftest import CONFIG


def left(folders: WorkFolders) -> list[str]:
    """Files that are not pixels or locks."""
    kept = [path.relative_to(folders.work_dir) for path in folders.work_dir.rglob("*") if path.is_file()]
    return [path.as_posix() for path in kept if path.parts[0] not in ("pixels", "locks")]


@pytest.mark.slow
def test_it_is_a_trial_of_one_seed_that_is_not_trained_twice(preparer: Preparer, folders: WorkFolders) -> None:
    first = train_one(CONFIG, preparer, folders)
    run = get_training(preparer.store, first.run_id)
    assert run.finished
    assert run.kind == "train"
    assert (run.metrics["val_accuracy/mean"], run.metrics["val_accuracy/n"]) == (first.val_accuracy, 1)
    assert run.metrics["last_val_accuracy/mean"] == first.metrics["last/val_accuracy"]
    assert run.model_id
    assert run.best_seed_run == run.run_id
    assert left(folders) == []
    again = train_one(CONFIG, preparer, folders)
    assert (again.run_id, again.reused, again.val_accuracy) == (first.run_id, True, first.val_accuracy)
    anew = train_one(CONFIG, preparer, folders, reuse=False)
    assert anew.run_id != first.run_id
    assert {k: v for k, v in anew.metrics.items() if "second" not in k} == first.metrics


def test_one_that_diverges_ends_failed_with_the_reason(preparer: Preparer, folders: WorkFolders) -> None:
    def diverge(_job: Job, _on_batch: Callable[[int], None]) -> Iterator[Progress | Trained]:
        yield from ()
        raise DivergedError("the training loss is nan in epoch 1 (lr 10)")

    with pytest.raises(DivergedError):
        train_one(CONFIG, preparer, folders, work=diverge)
    [run] = MlflowClient().search_runs(["1"])
    failed = get_training(preparer.store, run.info.run_id)
    assert (failed.status, failed.reason) == ("FAILED", "the training loss is nan in epoch 1 (lr 10)")
    assert failed.diverged == failed.reason


def test_one_that_fails_otherwise_has_not_diverged(preparer: Preparer, folders: WorkFolders) -> None:
    def fill_the_disk(_job: Job, _on_batch: Callable[[int], None]) -> Iterator[Progress | Trained]:
        yield from ()
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        train_one(CONFIG, preparer, folders, work=fill_the_disk)
    [run] = MlflowClient().search_runs(["1"])
    failed = get_training(preparer.store, run.info.run_id)
    assert (failed.status, failed.diverged) == ("FAILED", "")


@pytest.mark.slow
def test_one_that_was_interrupted_goes_on_in_its_run(preparer: Preparer, folders: WorkFolders) -> None:
    def interrupt(job: Job, on_batch: Callable[[int], None]) -> Iterator[Progress | Trained]:
        yield next(train(job, on_batch))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_one(CONFIG, preparer, folders, work=interrupt)
    [run] = MlflowClient().search_runs(["1"])
    assert run.info.status == "KILLED"
    done = train_one(CONFIG, preparer, folders)
    assert done.run_id == run.info.run_id
    steps = [metric.step for metric in MlflowClient().get_metric_history(done.run_id, "val/loss")]
    assert steps == [1, 2]


def killed_in(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, preparer: Preparer, folders: WorkFolders
) -> None:
    """Train, and be interrupted where a function is called."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, killed)
        with pytest.raises(KeyboardInterrupt):
            train_one(CONFIG, preparer, folders)


@pytest.mark.slow
def test_killed_while_its_model_is_logged_it_trains_nothing_again(
    preparer: Preparer, folders: WorkFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_in(monkeypatch, single, "log_model", preparer, folders)
    trained = []

    def work(job: Job, on_batch: Callable[[int], None]) -> Iterator[Progress | Trained]:
        for event in train(job, on_batch):
            if isinstance(event, Progress) and not event.restored:
                trained.append(event)
            yield event

    result = train_one(CONFIG, preparer, folders, work=work)
    assert not trained
    assert get_training(preparer.store, result.run_id).model_id
    assert left(folders) == []


@pytest.mark.slow
def test_killed_while_its_model_is_finished_it_has_one_model(
    preparer: Preparer, folders: WorkFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_in(monkeypatch, MlflowClient, "finalize_logged_model", preparer, folders)
    result = train_one(CONFIG, preparer, folders)
    [model] = MlflowClient().search_logged_models(["1"])
    assert str(model.status) == "READY"
    assert get_training(preparer.store, result.run_id).model_id == model.model_id
