"""One training from beginning to end, as a job that any process can do. Imports no MLflow: workers start faster."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from quorum import metric_names
from quorum.config import TrialConfig
from quorum.data.pixel_store import PixelStore
from quorum.engine.device import determinism, numerics_class
from quorum.engine.epoch import Evaluation
from quorum.engine.history import History
from quorum.engine.metrics import accuracy
from quorum.engine.states import States
from quorum.engine.training import Progress, Training
from quorum.models import build, parameter_groups
from quorum.reporting import figures, tables
from quorum.shared_folder import SharedFolder
from quorum.tracking import schema
from quorum.training.prepared import PreparedTraining
from quorum.versions import code_version, git_commit, machine, package_versions
from quorum.voting.classifier import Classifier


@dataclass(frozen=True)
class Job:
    """A training to be done.

    Attributes:
        name: shown with its progress.
        run_id: of the run that it is done for.
        prepared: the training. Sent to another process, its data is opened there anew: pixels are not copied.
        states: states to begin from, to keep, and its own.
        artifacts: folder for the files that its run shows.
        bundle: folder for the network of the best epoch.
        until: when it stops after the epoch that is trained, in seconds since 1970.
    """

    name: str
    run_id: str
    prepared: PreparedTraining
    states: States
    artifacts: SharedFolder
    bundle: SharedFolder
    until: float = math.inf


@dataclass(frozen=True)
class Trained:
    """What a finished training reports.

    Attributes:
        metrics: by the names that are tracked: `best/epoch`, `last/epoch` and, for the loss and every metric,
            `best/val_METRIC` and `test/METRIC` of the best epoch's weights, `last/val_METRIC` and `last/test_METRIC` of
            the last epoch's.
            Where weights are averaged, all of them are of the average, and `last/val_network_METRIC` of the network.
        numerics: class of the machine that trained its last epochs.
        stopped: where and why it ended before its last epoch, or "".
    """

    metrics: Mapping[str, float]
    numerics: str
    stopped: str = ""

    @property
    def last_epoch(self) -> int:
        """The last epoch that was trained."""
        return int(self.metrics[metric_names.LAST_EPOCH])


def train(job: Job, on_batch: Callable[[int], None]) -> Iterator[Progress | Trained]:
    """Do a job: train the epochs that are left, test the last and the best epoch's weights, and write its files. Its
    own state stays, for who asked for it to discard when the result is safe. Where its time is up it stops after an
    epoch.

    Args:
        job: the training.
        on_batch: told the number of images after each batch.

    Yields:
        Its progress, epoch by epoch, and last what it reports, unless it has stopped.

    Raises:
        DivergedError: when the loss is no longer finite.
    """
    prepared, config, batches = job.prepared, job.prepared.config, job.prepared.batches
    with prepared.first_weights() as weights:
        model = build(config.model, len(prepared.classes), seed=config.seed, weights=weights).to(batches.device)
    training = Training(config, model, parameter_groups(model), batches, prepared.activations)
    yield from training.run(job.states, on_batch, job.until)
    if not training.finished:
        return
    history = training.history
    last = training.evaluate("test")
    training.load_best()
    scored = {
        "val": training.evaluate("val"),
        "test": last if history.best is history.last else training.evaluate("test"),
    }
    with job.artifacts.writing() as folder:
        _write_artifacts(folder, prepared, history, scored)
    with job.bundle.writing() as folder:
        Classifier.save(folder, config, prepared.classes, prepared.data_digest, model.state_dict())
    metrics = _final_metrics(history, scored["test"].metrics(training.loss), last.metrics(training.loss))
    yield Trained(metrics, numerics_class(batches.device), _stopped(history, config) if training.stopped_early else "")


def _stopped(history: History, config: TrialConfig) -> str:
    return (
        f"stopped after epoch {history.last.epoch} of {config.epochs}: no better validation accuracy since epoch "
        f"{history.best.epoch} (patience={config.patience})"
    )


def _final_metrics(history: History, tested: Mapping[str, float], last_tested: Mapping[str, float]) -> dict[str, float]:
    best, last = history.best, history.last
    return {
        metric_names.BEST_EPOCH: best.epoch,
        metric_names.LAST_EPOCH: last.epoch,
        **{metric_names.BEST + name: value for name, value in best.of("val").items()},
        **{metric_names.LAST + name: value for name, value in last.of("val").items()},
        **{metric_names.LAST_NETWORK + name: value for name, value in last.of(metric_names.VAL_NETWORK).items()},
        **{metric_names.TEST + name: value for name, value in tested.items()},
        **{metric_names.LAST_TEST + name: value for name, value in last_tested.items()},
    }


def environment(*models: str) -> dict[str, Any]:
    """Code, packages and machine that networks are trained with, which are given by name."""
    return {
        "code_version": code_version(*models),
        "git_commit": git_commit(),
        "packages": package_versions(),
        "determinism": determinism(),
        "machine": {
            **machine(),
            "torch_threads": str(torch.get_num_threads()),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        },
    }


def _write_artifacts(
    folder: Path, prepared: PreparedTraining, history: History, scored: Mapping[str, Evaluation]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config, classes = prepared.config, prepared.classes
    frame, tested = pd.DataFrame(history.rows()), scored["test"]
    labels, predictions = tested.labels.numpy(), tested.predictions.numpy()
    confusion = tables.confusion_table(labels, predictions, classes)
    (folder / schema.CONFIG).write_text(json.dumps(config.model_dump(), indent=2))
    (folder / schema.ENVIRONMENT).write_text(json.dumps(environment(config.model), indent=2))
    frame.to_csv(folder / schema.CURVES, index=False)
    title = f"{config.model} on {config.dataset}, seed {config.seed}"
    figures.save(figures.curves({"": frame}, title), folder / "curves.png")
    confusion.to_csv(folder / schema.CONFUSION)
    title = f"test split, accuracy {accuracy(tested.logits, tested.labels):.4f}"
    figures.save(figures.confusion({title: confusion}), folder / "confusion_matrix.png")
    tables.class_table(labels, predictions, classes).to_csv(folder / schema.PER_CLASS, index=False)
    _prediction_table(scored, prepared.pixels).to_csv(folder / schema.PREDICTIONS, index=False)


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
