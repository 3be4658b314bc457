"""What a worker process needs before its first training. Imports neither MLflow nor Optuna: workers start faster."""

from __future__ import annotations

from collections.abc import Sequence

from quorum.engine.device import set_up
from quorum.plugins import load_plugins

WORK = ("quorum.training.job", "quorum.sweeps.worker")  # what workers have to import


def set_up_worker(threads: int, tuned: bool, plugins: Sequence[str]) -> None:
    """Make this process ready to train.

    Args:
        threads: of torch.
        tuned: whether the process it works for uses the tuning.
        plugins: that the process it works for has loaded.
    """
    load_plugins(plugins)
    set_up(threads, tuned)
