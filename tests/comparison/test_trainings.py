"""Stored trainings by what they repeat: the newest of each seed, on the newest data."""

from __future__ import annotations

import pytest

from quorum.comparison.trainings import find_trainings
from quorum.config import TrialConfig
from quorum.tracking.records import TrainingRecord, training_identity
from quorum.tracking.runs import begin_run, end_run
from quorum.tracking.store import TrackingStore, connect
from quorum.training.resolve import protocol, resolve_static
from tests.conftest import Quorum

CONFIG = TrialConfig(model="scratch-simple", precision="float32")


@pytest.fixture
def store(quorum: Quorum) -> TrackingStore:
    return connect()


def write(
    store: TrackingStore, seed: int, accuracy: float | None, digest: str = "d", config: TrialConfig = CONFIG
) -> str:
    """A finished training, or one that failed."""
    resolved = resolve_static(config).replace(seed=seed)
    log = begin_run(store, "a training", TrainingRecord(kind="seed", **training_identity(resolved, digest, "cpu x")))
    log.params(resolved.model_dump())
    if accuracy is None:
        end_run(log, "FAILED", "the loss is nan")
        return log.run_id
    with log:
        log.metrics({"best/val_accuracy": accuracy, "test/accuracy": accuracy - 0.1})
    return log.run_id


def test_the_newest_of_each_seed_counts(store: TrackingStore) -> None:
    write(store, 0, 0.1)
    write(store, 0, 0.5)
    write(store, 1, 0.7)
    write(store, 2, 0.9, config=CONFIG.replace(lr=0.5))
    stored = find_trainings(store, "digits")
    assert set(stored) == {protocol(CONFIG), protocol(CONFIG.replace(lr=0.5))}
    ours = stored[protocol(CONFIG)]
    assert ours.accuracy.mean == pytest.approx(0.6)
    assert ours.values("test/accuracy") == pytest.approx([0.6, 0.4])
    assert ours.best_seed is not None
    assert ours.best_seed.seed == 1


def test_those_on_other_data_than_the_newest_are_left_out(store: TrackingStore) -> None:
    write(store, 0, 0.1, digest="old")
    write(store, 1, 0.5, digest="new")
    assert set(find_trainings(store, "digits")[protocol(CONFIG)].finished) == {1}


def test_a_seed_that_failed_says_why_unless_it_was_repeated(store: TrackingStore) -> None:
    write(store, 0, None)
    write(store, 1, 0.5)
    write(store, 1, None)
    stored = find_trainings(store, "digits")[protocol(CONFIG)]
    assert stored.failed == {0: "the loss is nan", 1: "the loss is nan"}
    write(store, 0, 0.5)
    assert set(find_trainings(store, "digits")[protocol(CONFIG)].failed) == {1}


def test_one_that_is_not_finished_is_begun(store: TrackingStore) -> None:
    resolved = resolve_static(CONFIG)
    log = begin_run(store, "a training", TrainingRecord(kind="seed", **training_identity(resolved, "d", "cpu x")))
    log.params(resolved.model_dump())
    stored = find_trainings(store, "digits")[protocol(CONFIG)]
    assert stored.begun
    assert stored.best_seed is None
