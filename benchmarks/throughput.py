"""quorum's engine against the loop that one would write without it, on real images.

Both train and evaluate the same network on the same images with the same batches, augmentation and optimizer, epoch
about epoch. The ratio is the reference's time of an epoch by quorum's, of which decoding the images once has its share:
that of one epoch in STUDY_EPOCHS. Details say where quorum's time goes, and what share of the machine's measured rate
of matrix products the network's arithmetic reaches.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from pathlib import Path

import mlflow
import torch

from common import Case, Measured, Target, alternate, main, share
from images import WORK, image_tree
from ours import SETTINGS, Ours
from quorum.engine.device import set_up
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.store import connect
from reference import ReferenceProcess

TARGETS = {"alexnet-224": 3.0, "resnet18-224": 3.0, "mobilenet_v2-64": 6.0, "scratch-simple-32": 6.0}  # with bf16


def measure(name: str, options: argparse.Namespace) -> Measured:
    """One case."""
    dataset, counts, config = SETTINGS[name]
    counts = {split: max(int(config.batch_size), int(count * options.share)) for split, count in counts.items()}
    tree = image_tree(dataset, options.data, counts, name)
    set_up(0)
    with tempfile.TemporaryDirectory(dir=WORK) as folder, ReferenceProcess(config, tree) as reference:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        log = begin_run(connect(), "throughput", Record(kind="train"))
        ours = Ours(config, tree, Path(folder), log.epoch, torch.device("cpu"))
        found = alternate(reference.epoch, ours.epoch, options.rounds)
        return Measured.of(found, threads=torch.get_num_threads(), **ours.details(found))


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds caltech101/ and cifar10/")
    parser.add_argument("--share", type=share, default=1.0, help="of the usual number of images (default: 1)")
    parser.set_defaults(rounds=3)


CASES = [
    Case(
        name,
        f"reference / quorum, an epoch of {config.model} at {config.input_size} pixels",
        functools.partial(measure, name),
        Target(at_least=TARGETS[name]) if name in TARGETS else None,
    )
    for name, (_, _, config) in SETTINGS.items()
]

if __name__ == "__main__":
    sys.exit(main("throughput", __doc__, CASES, _options))
