"""One training as a run: trained or gone on with, tested once, and everything about it logged."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from quorum.commands.progress import TrainingProgress
from quorum.commands.resolve import Resolved
from quorum.commands.setup import Data
from quorum.config import TrialConfig
from quorum.data.store import PixelStore
from quorum.engine.epoch import Evaluation, evaluate
from quorum.engine.history import History
from quorum.engine.state import discard_state
from quorum.engine.training import Training, check_groups
from quorum.ensemble.classifier import Classifier
from quorum.models import build, parameter_groups
from quorum.report import figures, tables
from quorum.study.results import SeedResult
from quorum.tracking import tags
from quorum.tracking.runs import Run, RunLog
from quorum.versions import code_version, git_commit, machine, package_versions

PREDICTIONS = "predictions.csv"


@dataclass(frozen=True)
class Bench:
    """What trainings of one command share.

    Attributes:
        data: the data set.
        device: where they are computed.
        work_dir: where states and the weights of undecided seeds are kept.
    """

    data: Data
    device: torch.device
    work_dir: Path

    def state_folder(self, run_id: str) -> Path:
        """Where the state of an unfinished training is."""
        return self.work_dir / "states" / run_id

    def bundle_folder(self, run_id: str) -> Path:
        """Where the weights of a finished training wait for the decision whether they are kept."""
        return self.work_dir / "weights" / run_id


def training_tags(config: TrialConfig, digest: str) -> dict[str, Any]:
    """Tags by which a training is found again. Settings are resolved, seed included."""
    return {**trial_tags(config, digest), tags.FINGERPRINT: config.fingerprint(), tags.SEED: str(config.seed)}


def trial_tags(config: TrialConfig, digest: str) -> dict[str, Any]:
    """Tags of a trial: the training's whatever its seed."""
    return {
        tags.DATASET: config.dataset,
        tags.DATA_DIGEST: digest,
        tags.TRIAL_FINGERPRINT: config.trial_fingerprint(),
        tags.CODE_VERSION: code_version(),
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


def train_and_log(bench: Bench, resolved: Resolved, log: RunLog, name: str) -> SeedResult:
    """Train settings in a run, from where it stands.

    Leaves the weights of the best epoch in the run's bundle folder.

    Raises:
        DivergedError: when the loss is no longer finite.
    """
    config = resolved.config
    batches = bench.data.batches(config, bench.device)
    pixels = batches.store
    log.params(config.model_dump())
    log.dataset(pixels.name, pixels.digest, bench.data.source, pixels.counts(), "training")
    if (origin := resolved.origin) is not None:
        log.first_weights(origin.uri, origin.run_id, origin.model_id)
    model = build(config.model, len(pixels.classes), seed=config.seed, weights=resolved.weights).to(bench.device)
    training = Training(config, model, parameter_groups(model), batches)
    progress = TrainingProgress(name, config.epochs, batches.count(config.batch_size) * config.batch_size, log)
    with contextlib.closing(progress):
        history = training.run(progress, bench.state_folder(log.run_id))
    scored = {split: evaluate(model, batches.evaluation(split), config.precision) for split in ("val", "test")}
    tested = scored["test"]
    best = history.best
    log.metrics(
        {
            "best/val_accuracy": best.val_accuracy,
            "best/val_loss": best.val_loss,
            "best/epoch": best.epoch,
            "test/accuracy": tested.accuracy,
            "test/loss": tested.loss,
        },
        step=config.epochs,
    )
    _log_artifacts(log, config, history, scored, pixels)
    Classifier.save(bench.bundle_folder(log.run_id), config, pixels.classes, pixels.digest, model.state_dict())
    discard_state(bench.state_folder(log.run_id))
    return SeedResult(
        seed=config.seed,
        run_id=log.run_id,
        val_accuracy=best.val_accuracy,
        test_accuracy=tested.accuracy,
        val_loss=best.val_loss,
        best_epoch=best.epoch,
    )


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
    )


def environment() -> dict[str, Any]:
    """Code, packages and machine that a run was made with."""
    return {
        "code_version": code_version(),
        "git_commit": git_commit(),
        "packages": package_versions(),
        "machine": {
            **machine(),
            "torch_threads": str(torch.get_num_threads()),
            "accelerator": _accelerator(),
        },
    }


def _accelerator() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


def _log_artifacts(
    log: RunLog, config: TrialConfig, history: History, scored: Mapping[str, Evaluation], pixels: PixelStore
) -> None:
    frame = pd.DataFrame(history.rows())
    tested, classes = scored["test"], pixels.classes
    labels, predictions = tested.labels.numpy(), tested.predictions.numpy()
    confusion = tables.confusion_table(labels, predictions, classes)
    surroundings = environment()
    with tempfile.TemporaryDirectory(prefix="quorum-") as temporary:
        folder = Path(temporary)
        (folder / "config.json").write_text(json.dumps(config.model_dump(), indent=2))
        (folder / "environment.json").write_text(json.dumps(surroundings, indent=2))
        frame.to_csv(folder / "curves.csv", index=False)
        figures.save(
            figures.curves({"": frame}, f"{config.model} on {config.dataset}, seed {config.seed}"),
            folder / "curves.png",
        )
        confusion.to_csv(folder / "confusion_matrix.csv")
        title = f"test split, accuracy {tested.accuracy:.4f}"
        figures.save(figures.confusion({title: confusion}), folder / "confusion_matrix.png")
        tables.class_table(labels, predictions, classes).to_csv(folder / "per_class.csv", index=False)
        _prediction_table(scored, pixels).to_csv(folder / PREDICTIONS, index=False)
        log.artifacts(folder)
    log.tags({"mlflow.source.git.commit": surroundings["git_commit"]})


def _prediction_table(scored: Mapping[str, Evaluation], pixels: PixelStore) -> pd.DataFrame:
    parts = [
        tables.prediction_table(
            split,
            [pixels.files[i] for i in pixels.splits[split]],
            evaluation.labels.numpy(),
            evaluation.logits.softmax(dim=1).numpy(),
            pixels.classes,
        )
        for split, evaluation in scored.items()
    ]
    return pd.concat(parts, ignore_index=True)
