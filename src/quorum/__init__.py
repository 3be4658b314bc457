"""quorum: published image-classification studies as files to run, compare, promote and vote with.

    import quorum as q
    run = q.train(model="resnet18", dataset="digits", epochs=4)
    sweep = q.sweep("sweeps/digits/demo.yaml")

`__all__` lists the public interface. Each of it is imported when it is first used: torch and MLflow take seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from quorum.api.compare import Comparison, compare
    from quorum.api.data import prepare
    from quorum.api.dry_run import DryRun, dry_run
    from quorum.api.ensemble import ensemble
    from quorum.api.export import export
    from quorum.api.load import Predictor, load
    from quorum.api.promote import promote
    from quorum.api.report import report
    from quorum.api.results import results
    from quorum.api.show import StoredRun, show
    from quorum.api.sweep import SweepRun, sweep
    from quorum.api.train import TrainedRun, train
    from quorum.averages import register_average
    from quorum.data.augment.operation import register_operation
    from quorum.data.datasets import register_dataset
    from quorum.engine.losses import register_loss
    from quorum.engine.metrics import register_metric
    from quorum.engine.optimizers import register_optimizer
    from quorum.errors import QuorumError
    from quorum.models.architectures import register_model
    from quorum.schedules import register_schedule

_PLACES = {
    "Comparison": "quorum.api.compare",
    "DryRun": "quorum.api.dry_run",
    "Predictor": "quorum.api.load",
    "QuorumError": "quorum.errors",
    "StoredRun": "quorum.api.show",
    "SweepRun": "quorum.api.sweep",
    "TrainedRun": "quorum.api.train",
    "compare": "quorum.api.compare",
    "dry_run": "quorum.api.dry_run",
    "ensemble": "quorum.api.ensemble",
    "export": "quorum.api.export",
    "load": "quorum.api.load",
    "prepare": "quorum.api.data",
    "promote": "quorum.api.promote",
    "register_average": "quorum.averages",
    "register_dataset": "quorum.data.datasets",
    "register_loss": "quorum.engine.losses",
    "register_metric": "quorum.engine.metrics",
    "register_model": "quorum.models.architectures",
    "register_operation": "quorum.data.augment.operation",
    "register_optimizer": "quorum.engine.optimizers",
    "register_schedule": "quorum.schedules",
    "report": "quorum.api.report",
    "results": "quorum.api.results",
    "show": "quorum.api.show",
    "sweep": "quorum.api.sweep",
    "train": "quorum.api.train",
}

__all__ = [
    "Comparison",
    "DryRun",
    "Predictor",
    "QuorumError",
    "StoredRun",
    "SweepRun",
    "TrainedRun",
    "compare",
    "dry_run",
    "ensemble",
    "export",
    "load",
    "prepare",
    "promote",
    "register_average",
    "register_dataset",
    "register_loss",
    "register_metric",
    "register_model",
    "register_operation",
    "register_optimizer",
    "register_schedule",
    "report",
    "results",
    "show",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'quorum' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return __all__
