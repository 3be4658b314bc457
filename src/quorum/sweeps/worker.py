"""What a worker process needs before its first training. Imports neither MLflow nor Optuna: workers start faster."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence

import torch

from quorum.console import Verbosity, use_in_worker
from quorum.engine.device import set_up
from quorum.engine.training import Progress
from quorum.plugins import load_plugins
from quorum.training.job import Job, Trained, train

WORK = ("quorum.training.job", "quorum.sweeps.worker")  # what workers have to import


def set_up_worker(threads: int, tuned: bool, plugins: Sequence[str], verbosity: Verbosity) -> None:
    """Make this process ready to train.

    Args:
        threads: of torch.
        tuned: whether the process it works for uses the tuning.
        plugins: that the process it works for has loaded.
        verbosity: how much is said.
    """
    use_in_worker(verbosity)
    load_plugins(plugins)
    set_up(threads, tuned)


def train_and_free(job: Job, on_batch: Callable[[int], None]) -> Iterator[Progress | Trained]:
    """`quorum.training.job.train`, after which the GPU's memory is free for others that have a share of it."""
    try:
        yield from train(job, on_batch)
    finally:
        if torch.cuda.is_initialized():
            gc.collect()
            torch.cuda.empty_cache()
