"""A training in a run: what it is found again by, what is logged when it begins, and what when it has ended."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from quorum.config import TrialConfig
from quorum.data.opened import OpenDataset
from quorum.engine.training import States, check_groups
from quorum.models import build, parameter_groups
from quorum.study.results import SeedResult
from quorum.tracking import schema
from quorum.tracking.runs import Run, RunLog
from quorum.training.job import Job, Trained
from quorum.training.resolve import Resolved
from quorum.versions import code_version


@dataclass(frozen=True)
class Bench:
    """What trainings of one command share.

    Attributes:
        data: the data set.
        device: where they are computed.
        work_dir: where states and the weights of undecided seeds are kept.
    """

    data: OpenDataset
    device: torch.device
    work_dir: Path

    def state_folder(self, run_id: str) -> Path:
        """Where the state of an unfinished training is."""
        return self.work_dir / "states" / run_id

    def bundle_folder(self, run_id: str) -> Path:
        """Where the weights of a finished training wait for the decision whether they are kept."""
        return self.work_dir / "weights" / run_id

    def job(self, name: str, resolved: Resolved, run_id: str, states: States) -> Job:
        """The training of settings as a job for a run."""
        batches = self.data.batches(resolved.config, self.device)
        artifacts = self.work_dir / "artifacts" / run_id
        return Job(
            name, run_id, resolved.config, resolved.weights, batches, states, artifacts, self.bundle_folder(run_id)
        )


def training_tags(config: TrialConfig, digest: str) -> dict[str, Any]:
    """Tags by which a training is found again. Settings are resolved, seed included."""
    return {**trial_tags(config, digest), schema.FINGERPRINT: config.fingerprint(), schema.SEED: str(config.seed)}


def trial_tags(config: TrialConfig, digest: str) -> dict[str, Any]:
    """Tags of a trial: the training's whatever its seed."""
    return {
        schema.DATASET: config.dataset,
        schema.DATA_DIGEST: digest,
        schema.TRIAL_FINGERPRINT: config.trial_fingerprint(),
        schema.CODE_VERSION: code_version(),
    }


def check_trainable(resolved: Resolved, bench: Bench) -> None:
    """Raise a QuorumError for settings that could not be trained: groups, weights, batch size."""
    config = resolved.config
    batches = bench.data.batches(config, bench.device)
    batches.count(config.batch_size)
    # Without first weights to try, the network's shape is enough.
    with torch.device("cpu" if resolved.weights else "meta"):
        model = build(config.model, len(batches.store.classes), seed=config.seed, weights=resolved.weights)
    check_groups(config, parameter_groups(model))


def log_beginning(log: RunLog, resolved: Resolved, bench: Bench) -> None:
    """Write down what is trained, on which data, from which weights."""
    pixels = bench.data.batches(resolved.config, bench.device).store
    log.params(resolved.config.model_dump())
    log.dataset(pixels.name, pixels.digest, bench.data.source, pixels.counts(), "training")
    if (origin := resolved.origin) is not None:
        log.first_weights(origin.uri, origin.run_id, origin.model_id)


def log_end(log: RunLog, job: Job, trained: Trained) -> None:
    """Write down what came out, and take over the files that the job has written for its run."""
    log.metrics(trained.metrics, step=job.config.epochs)
    log.artifacts(job.artifacts)
    shutil.rmtree(job.artifacts)


def seed_result(run: Run, seed: int, *, reused: bool) -> SeedResult:
    """The result that stands in a finished training."""
    metrics = run.data.metrics
    return SeedResult(
        seed=seed,
        run_id=run.info.run_id,
        val_accuracy=metrics["best/val_accuracy"],
        test_accuracy=metrics["test/accuracy"],
        val_loss=metrics["best/val_loss"],
        best_epoch=int(metrics["best/epoch"]),
        reused=reused,
        shared_epochs=int(run.data.tags.get(schema.SHARED_EPOCHS, 0)),
    )


def trained_result(job: Job, trained: Trained, shared_epochs: int = 0) -> SeedResult:
    """The result of a job that has just been done."""
    metrics = trained.metrics
    return SeedResult(
        seed=job.config.seed,
        run_id=job.run_id,
        val_accuracy=metrics["best/val_accuracy"],
        test_accuracy=metrics["test/accuracy"],
        val_loss=metrics["best/val_loss"],
        best_epoch=int(metrics["best/epoch"]),
        shared_epochs=shared_epochs,
    )
