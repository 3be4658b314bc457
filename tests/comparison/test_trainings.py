"""Stored trainings by what they repeat: the newest of each seed, on the newest data."""

from __future__ import annotations

import functools

import pytest

from quorum.comparison.evidence import origins
from quorum.comparison.trainings import find_trainings
from quorum.config import TrialConfig
from quorum.tracking.records import TrainingRecord, training_identity
from quorum.tracking.run_log import end_run
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore, connect
from quorum.training.resolve import protocol, resolve_static
from tests.conftest import Quorum

CONFIG = TrialConfig(model="scratch-simple", activations="computed", precision="float32")


@pytest.fixture
def store(quorum: Quorum) -> TrackingStore:
    return connect()


def write(
    store: TrackingStore,
    seed: int,
    accuracy: float | None,
    digest: str = "d",
    code_version: str = "c",
    numerics: str = "cpu x",
    config: TrialConfig = CONFIG,
    error: str = "",
) -> str:
    """A finished training, or one that diverged, or ended with another error."""
    resolved = resolve_static(config).replace(seed=seed)
    identity = {**training_identity(resolved, digest, numerics), "code_version": code_version}
    log = begin_run(store, "a training", TrainingRecord(kind="seed", **identity))
    log.params(resolved.model_dump())
    if accuracy is None:
        if not error:
            log.set(diverged="the loss is nan")
        end_run(log, "FAILED", error or "the loss is nan")
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
    assert ours.of("best/val_accuracy").mean == pytest.approx(0.6)
    assert ours.by_seed("best/val_accuracy") == {0: 0.5, 1: 0.7}
    assert ours.values("test/accuracy") == pytest.approx([0.6, 0.4])
    assert ours.best_seed is not None
    assert ours.best_seed.seed == 1


OTHERS = {
    "data": functools.partial(write, digest="other"),
    "code": functools.partial(write, code_version="other"),
    "machine": functools.partial(write, numerics="cpu y"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_differs_is_never_mixed_and_the_newest_complete_set_counts(what: str, store: TrackingStore) -> None:
    def write_other(seed: int) -> None:
        OTHERS[what](store, seed, 0.9)

    for seed in range(3):
        write(store, seed, 0.5)
    for seed in range(2):
        write_other(seed)  # newer, and not complete
    stored = find_trainings(store, "digits")[protocol(CONFIG)]
    assert stored.by_seed("best/val_accuracy") == dict.fromkeys(range(3), 0.5)
    [other] = stored.left_out
    assert (len(other.finished), bool(other.run_id), other.origin != stored.origin) == (2, True, True)
    write_other(2)
    stored = find_trainings(store, "digits")[protocol(CONFIG)]
    assert stored.by_seed("best/val_accuracy") == dict.fromkeys(range(3), 0.9)


def test_a_newer_set_that_diverged_counts_and_an_incomplete_one_is_listed(store: TrackingStore) -> None:
    for seed in range(3):
        write(store, seed, 0.5)
    for seed in range(2):
        write(store, seed, None, code_version="new")
    stored = find_trainings(store, "digits")[protocol(CONFIG)]
    assert set(stored.finished) == {0, 1, 2}
    assert origins(store, stored, CONFIG.model).endswith("left out: 2 seeds by other code, 2 of which diverged")
    write(store, 2, None, code_version="new")
    stored = find_trainings(store, "digits")[protocol(CONFIG)]
    assert (set(stored.finished), set(stored.failed), stored.run_id) == (set(), {0, 1, 2}, "")
    assert origins(store, stored, CONFIG.model) == (
        "made by other code than the present; left out: 3 seeds by other code"
    )


def test_other_first_weights_are_another_set(store: TrackingStore) -> None:
    transfer = CONFIG.replace(model="resnet18", weights="imagenet", input_size=32)
    for digest, seeds in (("a", (0, 1)), ("b", (2,))):
        for seed in seeds:
            write(store, seed, 0.5, config=transfer.replace(weights_digest=digest))
    stored = find_trainings(store, "digits")[protocol(transfer)]
    assert set(stored.finished) == {0, 1}  # none is complete: the largest counts
    assert [len(other.finished) for other in stored.left_out] == [1]


def test_a_seed_that_failed_says_why_unless_it_was_repeated(store: TrackingStore) -> None:
    write(store, 0, None)
    write(store, 1, 0.5)
    write(store, 1, None)
    stored = find_trainings(store, "digits")[protocol(CONFIG)]
    assert stored.failed == {0: "the loss is nan", 1: "the loss is nan"}
    write(store, 0, 0.5)
    assert set(find_trainings(store, "digits")[protocol(CONFIG)].failed) == {1}


def test_one_that_failed_otherwise_is_begun_and_hides_none_that_finished(store: TrackingStore) -> None:
    write(store, 0, 0.5)
    for seed in range(2):
        write(store, seed, None, error="OSError: no space left on device")
    stored = find_trainings(store, "digits")[protocol(CONFIG)]
    assert stored.by_seed("best/val_accuracy") == {0: 0.5}
    assert (stored.failed, stored.begun) == ({}, True)
    assert stored.ended == {1: "OSError: no space left on device"}


def test_one_that_is_not_finished_is_begun(store: TrackingStore) -> None:
    resolved = resolve_static(CONFIG)
    log = begin_run(store, "a training", TrainingRecord(kind="seed", **training_identity(resolved, "d", "cpu x")))
    log.params(resolved.model_dump())
    stored = find_trainings(store, "digits")[protocol(CONFIG)]
    assert stored.begun
    assert stored.best_seed is None
