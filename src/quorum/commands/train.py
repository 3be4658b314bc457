"""`quorum train`: prints what `quorum.train` returns."""

from __future__ import annotations

from collections.abc import Mapping

from quorum import metric_names
from quorum.api.options import TrainOptions
from quorum.api.train import run_training
from quorum.commands.result import Result
from quorum.tracking.store import TrackingStore


def train(options: TrainOptions, given: Mapping[str, str], store: TrackingStore) -> Result:
    """Train one configuration with one seed."""
    run = run_training(options, given, store)
    best, epoch = run.metrics[metric_names.BEST_VAL_ACCURACY], int(run.metrics[metric_names.BEST_EPOCH])
    last, test = run.metrics[metric_names.LAST_VAL_ACCURACY], run.metrics[metric_names.TEST_ACCURACY]
    data = {
        "run_id": run.run_id,
        "best_val_accuracy": best,
        "best_epoch": epoch,
        "last_val_accuracy": last,
        "test_accuracy": test,
        "reused": run.reused,
    }
    text = f"run {run.run_id}: best validation accuracy {best:.4f} in epoch {epoch}, test accuracy {test:.4f}"
    return Result(data, text)
