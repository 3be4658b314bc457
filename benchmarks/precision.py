"""Whether accuracy pays for speed: the same trainings in float32 and in bf16, seed by seed, on real images.

The ratio is the difference of the two mean validation accuracies (of the best epochs) by the standard deviation over
the seeds, pooled over both: at most 1 says that the arithmetic matters less than the seed.
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from common import Case, Measured, Target, at_least, main, share
from images import WORK, image_tree
from quorum.config import TrialConfig
from quorum.data.batches import Batches
from quorum.data.pixel_store import open_store
from quorum.data.preprocess import preprocess_of
from quorum.data.sources.folder import catalogue
from quorum.engine.device import set_up
from quorum.engine.training import Training
from quorum.metric_names import VAL_ACCURACY
from quorum.models import build, parameter_groups

SEEDS = 6  # with three, two equal arithmetics would differ by more than a std in every third comparison
BASE = TrialConfig(dataset="folder", normalize="half", step_size=0, optimizer="adam", weight_decay=0)
SETTINGS = {
    "scratch-simple": (
        "cifar10",
        {"train": 8000, "val": 2000},
        BASE.replace(
            model="scratch-simple", input_size=32, resize=0, eval_resize=0, lr=0.0005, batch_size=32, epochs=6
        ),
    ),
    "resnet18": (
        "caltech101",
        {"train": 1024, "val": 1024},
        BASE.replace(model="resnet18", input_size=48, resize=48, eval_resize=48, lr=0.001, batch_size=32, epochs=4),
    ),
}


def agreement(name: str, options: argparse.Namespace) -> Measured:
    """One network in both arithmetics."""
    dataset, counts, config = SETTINGS[name]
    counts = {split: int(count * options.share) for split, count in counts.items()}
    tree = image_tree(dataset, options.data, counts, f"precision-{name}")
    assert isinstance(config.resize, int)
    set_up(0)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        store = open_store(catalogue(tree, 0), Path(folder), resize=config.resize)
        batches = Batches(store, preprocess_of(config), torch.device("cpu"), store, config.resize)
        accuracies: dict[str, list[float]] = {"float32": [], "bf16": []}
        seconds = dict.fromkeys(accuracies, 0.0)
        for seed in range(options.seeds):
            for precision, found in accuracies.items():
                started = time.perf_counter()
                found.append(_train(config.replace(seed=seed, precision=precision), batches))
                seconds[precision] += time.perf_counter() - started
    one, other = accuracies.values()
    difference = abs(statistics.fmean(one) - statistics.fmean(other))
    std = math.sqrt((statistics.variance(one) + statistics.variance(other)) / 2)
    ratio = difference / std
    return Measured(ratio, ratio, ratio, {"val_accuracy": accuracies, "difference": difference, "std": std, **seconds})


def _train(config: TrialConfig, batches: Batches) -> float:
    model = build(config.model, len(batches.store.classes), seed=config.seed)
    training = Training(config, model, parameter_groups(model), batches)
    for _ in training.run():
        pass
    return training.history.best.values[VAL_ACCURACY]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds caltech101/ and cifar10/")
    parser.add_argument("--share", type=share, default=1.0, help="of the usual number of images (default: 1)")
    parser.add_argument("--seeds", type=at_least(2), default=SEEDS, help=f"trainings of each (default: {SEEDS})")


CASES = [
    Case(
        name,
        f"difference of float32 and bf16 / std over the seeds, {config.model} on {dataset}",
        functools.partial(agreement, name),
        Target(at_most=1.0),
    )
    for name, (dataset, _, config) in SETTINGS.items()
]

if __name__ == "__main__":
    sys.exit(main("precision", __doc__, CASES, _options))
