"""One training from beginning to end, as a job that any process can do. Imports no MLflow: workers start faster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from quorum.config import TrialConfig
from quorum.data.batches import Batches
from quorum.data.pixel_store import PixelStore
from quorum.engine.epoch import Evaluation, evaluate
from quorum.engine.history import History, metric_name
from quorum.engine.metrics import accuracy
from quorum.engine.state import discard_state
from quorum.engine.training import Progress, States, Training
from quorum.ensemble.classifier import Classifier
from quorum.models import build, parameter_groups
from quorum.report import figures, tables
from quorum.tracking import schema
from quorum.versions import code_version, git_commit, machine, package_versions

PREDICTIONS = "predictions.csv"


@dataclass(frozen=True)
class Job:
    """A training to be done.

    Attributes:
        name: shown with its progress.
        run_id: of the run that it is done for.
        config: resolved settings, seed included.
        weights: file of the first weights, or None.
        batches: its data. Sent to another process, it is opened there anew: pixels are not copied.
        states: states to begin from, to keep, and its own.
        artifacts: folder for the files that its run shows.
        bundle: folder for the network of the best epoch.
    """

    name: str
    run_id: str
    config: TrialConfig
    weights: Path | None
    batches: Batches
    states: States
    artifacts: Path
    bundle: Path


@dataclass(frozen=True)
class Trained:
    """What a finished training reports.

    Attributes:
        metrics: by the names that are tracked: `best/epoch` and, for the loss and every metric, `best/val_METRIC`,
            `last/val_METRIC` and `test/METRIC`, the last of the best epoch's weights.
    """

    metrics: Mapping[str, float]


def train(job: Job, on_batch: Callable[[int], None]) -> Iterator[Progress | Trained]:
    """Do a job: train the epochs that are left, test once, and write its files.

    Args:
        job: the training.
        on_batch: told the number of images after each batch.

    Yields:
        Its progress, epoch by epoch, and last what it reports.

    Raises:
        DivergedError: when the loss is no longer finite.
    """
    config, batches = job.config, job.batches
    pixels = batches.store
    model = build(config.model, len(pixels.classes), seed=config.seed, weights=job.weights).to(batches.device)
    training = Training(config, model, parameter_groups(model), batches)
    yield from training.run(job.states, on_batch)
    scored = {split: evaluate(model, batches.evaluation(split), config.precision) for split in ("val", "test")}
    tested = scored["test"].metrics(training.loss)
    _write_artifacts(job.artifacts, config, training.history, scored, pixels)
    Classifier.save(job.bundle, config, pixels.classes, pixels.digest, model.state_dict())
    yield Trained(_final_metrics(training.history, tested))
    if job.states.own is not None:
        discard_state(job.states.own)


def _final_metrics(history: History, tested: Mapping[str, float]) -> dict[str, float]:
    best, last = history.best, history.last
    return {
        schema.BEST_EPOCH: best.epoch,
        **{schema.best_metric(name): value for name, value in best.of("val").items()},
        **{schema.last_metric(name): value for name, value in last.of("val").items()},
        **{metric_name("test", name): value for name, value in tested.items()},
    }


def environment() -> dict[str, Any]:
    """Code, packages and machine that a training is made with."""
    return {
        "code_version": code_version(),
        "git_commit": git_commit(),
        "packages": package_versions(),
        "machine": {
            **machine(),
            "torch_threads": str(torch.get_num_threads()),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        },
    }


def _write_artifacts(
    folder: Path, config: TrialConfig, history: History, scored: Mapping[str, Evaluation], pixels: PixelStore
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(history.rows())
    tested, classes = scored["test"], pixels.classes
    labels, predictions = tested.labels.numpy(), tested.predictions.numpy()
    confusion = tables.confusion_table(labels, predictions, classes)
    (folder / "config.json").write_text(json.dumps(config.model_dump(), indent=2))
    (folder / "environment.json").write_text(json.dumps(environment(), indent=2))
    frame.to_csv(folder / "curves.csv", index=False)
    title = f"{config.model} on {config.dataset}, seed {config.seed}"
    figures.save(figures.curves({"": frame}, title), folder / "curves.png")
    confusion.to_csv(folder / "confusion_matrix.csv")
    title = f"test split, accuracy {accuracy(tested.logits, tested.labels):.4f}"
    figures.save(figures.confusion({title: confusion}), folder / "confusion_matrix.png")
    tables.class_table(labels, predictions, classes).to_csv(folder / "per_class.csv", index=False)
    _prediction_table(scored, pixels).to_csv(folder / PREDICTIONS, index=False)


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
