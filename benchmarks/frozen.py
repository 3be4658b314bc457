"""A linear probe's whole study against the loop that computes the frozen network anew in each epoch, on real images.

`lite0` is the three tables of sweeps/caltech101/lite0-transfer.yaml (learning rates, step sizes, batch sizes: 13
trials of 60 epochs over three seeds, the last layer alone) as `quorum sweep` runs them, in a new folder, from the image
files on. There the usual loop is measured on a part of the images and multiplied by the images and by the epochs as
they are written; details have both factors. Our side is run whole.

`alexnet` is an epoch of AlexNet's classifier from kept activations by one of the usual loop, epoch about epoch, with
random weights. Its classifier has three layers and 55 million weights, so what is left is their training. The pass over
the images, which all trainings share, is in the first epoch; details have its seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from common import QUORUM, Case, Measured, Target, alternate, at_least, main, run_process
from images import WORK, folder_of, image_tree
from ours import SETTINGS, Ours
from quorum.data import load_catalogue
from quorum.study.model import Study
from quorum.study.plan import plan
from quorum.training.resolve import resolve_static
from reference import ReferenceProcess

STUDY = Path(__file__).parents[1] / "sweeps" / "caltech101" / "lite0-transfer.yaml"
TABLES = ("lr", "step-size", "batch-size")
SEEDS = 3


def tables() -> dict[str, Any]:
    """The three tables as a study."""
    study: dict[str, Any] = yaml.safe_load(STUDY.read_text())
    stages = [
        {key: stage[key] for key in ("name", "set", "vary")} for stage in study["stages"] if stage["name"] in TABLES
    ]
    return {"dataset": "caltech101", "base": study["base"], "stages": stages}


def lite0(options: argparse.Namespace) -> Measured:
    """The usual loop's time for a study by that of `quorum sweep`."""
    study = tables()
    planned = plan(Study.model_validate(study), Study.model_validate(study).first_config({}))
    epochs = SEEDS * sum(trial.config.epochs for trial in planned)
    catalogue = load_catalogue("caltech101", options.data, folder_of("caltech101", options.data))
    images = sum(len(catalogue.splits[split]) for split in ("train", "val"))
    config = resolve_static(planned[0].config.replace(weights="none", batch_size=128))
    tree = image_tree("caltech101", options.data, {"train": options.images, "val": options.images}, "frozen")
    with ReferenceProcess(config, tree) as reference:
        reference.epoch()  # not counted: workers start
        usual = [reference.epoch() for _ in range(options.rounds)]
    factor = epochs * images / (2 * options.images)
    seconds, answer = sweep(study, options.data)
    ratios = [factor * epoch / seconds for epoch in usual]
    details = {
        "usual_seconds_an_epoch_of_a_part": usual,
        "images_of_the_part": 2 * options.images,
        "images": images,
        "epochs_written": epochs,
        "usual_hours": factor * statistics.median(usual) / 3600,
        "quorum_seconds": seconds,
        "epochs_trained": answer["epochs"]["trained"],
        "threads": torch.get_num_threads(),
    }
    return Measured(statistics.median(ratios), min(ratios), max(ratios), details)


def sweep(study: dict[str, Any], data: Path) -> tuple[float, dict[str, Any]]:
    """Seconds that `quorum sweep` takes for a study in a new folder, and what it answers."""
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK, prefix="frozen-") as folder:
        (Path(folder) / "study.yaml").write_text(yaml.safe_dump(study))
        path = folder_of("caltech101", data).resolve()
        command = [*QUORUM, "sweep", "--json", "-P", "study=study.yaml", "-P", f"path={path}"]
        started = time.perf_counter()
        answer: dict[str, Any] = json.loads(run_process(command, Path(folder)))
        return time.perf_counter() - started, answer


def alexnet(options: argparse.Namespace) -> Measured:
    """The usual loop's epoch by ours."""
    dataset, _, usual = SETTINGS["alexnet-224"]
    batch_size = min(usual.batch_size, options.images)
    config = usual.replace(phases="classifier", activations="stored", batch_size=batch_size)
    tree = image_tree(dataset, options.data, {"train": options.images, "val": options.images}, "frozen-alexnet")
    with tempfile.TemporaryDirectory(dir=WORK) as folder, ReferenceProcess(config, tree) as reference:
        ours = Ours(config, tree, Path(folder), lambda _: None, torch.device("cpu"))
        first = ours.epoch()
        found = alternate(reference.epoch, ours.epoch, options.rounds)
        return Measured.of(found, first_epoch_seconds=first, images=2 * options.images, threads=torch.get_num_threads())


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds caltech101/")
    parser.add_argument(
        "--images", type=at_least(101), default=512, help="of each split, for the usual loop (default: 512)"
    )
    parser.set_defaults(rounds=3)


CASES = [
    Case("lite0", "the usual loop / quorum sweep, the tables of Lite0 at 128 pixels", lite0, Target(at_least=200)),
    Case("alexnet", "the usual loop / quorum, an epoch of AlexNet's classifier", alexnet, Target(at_least=10)),
]

if __name__ == "__main__":
    sys.exit(main("frozen", __doc__, CASES, _options))
