"""`quorum train`: one configuration, one seed."""

from __future__ import annotations

import contextlib

from quorum.commands.opening import open_data
from quorum.commands.options import TrainOptions
from quorum.commands.result import Result
from quorum.config import TrialConfig, digest_of
from quorum.console import say
from quorum.data.opened import example_image
from quorum.engine.device import use_device
from quorum.engine.state import discard_state
from quorum.engine.training import States
from quorum.study.results import SeedResult
from quorum.tracking import schema
from quorum.tracking.lock import exclusively
from quorum.tracking.logged_models import log_classifier
from quorum.tracking.queries import finished_training, unfinished
from quorum.tracking.runs import Run, RunLog, begin_run, point_adopted
from quorum.tracking.store import Store
from quorum.training.job import Trained
from quorum.training.job import train as do_job
from quorum.training.progress import TrainingProgress
from quorum.training.resolve import Resolved, resolve
from quorum.training.run import (
    Bench,
    check_trainable,
    log_beginning,
    log_end,
    seed_result,
    trained_result,
    training_tags,
)
from quorum.versions import code_version


def train(options: TrainOptions, config: TrialConfig, store: Store) -> Result:
    """Train a configuration, go on with it where it was interrupted, or return the run that holds it already."""
    device = use_device(options.device, options.threads)
    bench = Bench(open_data(options, config.dataset, config.split_seed), device, options.work_dir)
    resolved = resolve(config, device, store)
    check_trainable(resolved, bench)
    digest = bench.data.batches(resolved.config, device).store.digest
    key = digest_of([resolved.config.fingerprint(), digest, code_version()])
    with exclusively(options.work_dir, key, "training"):
        if options.reuse and (done := _finished(store, resolved.config, digest)) is not None:
            point_adopted(store, done)
            say(f"run {done.info.run_id} holds this result already; reuse=false trains it again")
            return _result(seed_result(done, resolved.config.seed, reused=True))
        return _result(_train(bench, resolved, store, digest, key))


def _finished(store: Store, config: TrialConfig, digest: str) -> Run | None:
    """A finished training of the same settings on the same data that kept its weights."""
    run = finished_training(store, config.fingerprint(), digest, code_version())
    return run if run is not None and schema.MODEL_ID in run.data.tags else None


def _train(bench: Bench, resolved: Resolved, store: Store, digest: str, key: str) -> SeedResult:
    config = resolved.config
    values = {**training_tags(config, digest), schema.KEY: key}
    previous = unfinished(store, "train", key)
    name = f"{config.model} on {config.dataset}, seed {config.seed}"
    with begin_run(store, "train", name, values, previous=previous) as log:
        result = _do(bench, resolved, log, name)
        # A single training is a trial of one seed, so that it can be promoted like any other.
        log.metrics(
            {
                "val_accuracy/mean": result.val_accuracy,
                "val_accuracy/n": 1,
                "val_loss/mean": result.val_loss,
                "test_accuracy/mean": result.test_accuracy,
            }
        )
        bundle = bench.bundle_folder(log.run_id)
        pixels = bench.data.batches(config, bench.device).store
        model_id = log_classifier(log, bundle, example_image(pixels), config.model_dump())
        log.tags({schema.MODEL_ID: model_id, schema.BEST_RUN: log.run_id})
        discard_state(bundle)
    return result


def _do(bench: Bench, resolved: Resolved, log: RunLog, name: str) -> SeedResult:
    log_beginning(log, resolved, bench)
    job = bench.job(name, resolved, log.run_id, States(own=bench.state_folder(log.run_id)))
    trained: Trained | None = None
    with contextlib.closing(TrainingProgress(job, log)) as progress:
        for told in do_job(job, progress.on_batch):
            if isinstance(told, Trained):
                trained = told
                log_end(log, job, trained)
            else:
                progress.on_event(told)
    assert trained is not None
    return trained_result(job, trained)


def _result(result: SeedResult) -> Result:
    data = {
        "run_id": result.run_id,
        "best_val_accuracy": result.val_accuracy,
        "best_epoch": result.best_epoch,
        "test_accuracy": result.test_accuracy,
        "reused": result.reused,
    }
    text = (
        f"run {result.run_id}: best validation accuracy {result.val_accuracy:.4f} in epoch {result.best_epoch}, "
        f"test accuracy {result.test_accuracy:.4f}"
    )
    return Result(data, text)
