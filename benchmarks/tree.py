"""A study as a tree against its trainings one by one.

The study has the three tables of sweeps/caltech101/alexnet.yaml (15 configurations over three seeds, 1,950 epochs as
written), with a small network on a part of CIFAR-10 in the place of AlexNet on Caltech-101, so that it can be run whole
both ways: `quorum sweep` as it is, and with `state_gb=0`, which shares no beginnings. Both link the two configurations
that a later table repeats.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from common import QUORUM, Case, Measured, Target, at_least, main, run_process
from images import WORK, image_tree

STUDY = Path(__file__).parents[1] / "sweeps" / "caltech101" / "alexnet.yaml"
BASE = {
    "model": "scratch-simple",
    "input_size": 32,
    "resize": 0,
    "normalize": "half",
    "batch_size": 256,
    "gamma": 0.1,
}
WRITTEN, SHARED = 1950, 960


def seconds(options: argparse.Namespace) -> Measured:
    """Wall time of the whole command."""
    images = _images(options.data, options.images)
    pairs = [(sweep(images, number, True), sweep(images, number, False)) for number in range(options.rounds)]
    ratios = [shared["seconds"] / alone["seconds"] for shared, alone in pairs]
    return Measured(
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        {
            "shared_seconds": [shared["seconds"] for shared, _ in pairs],
            "alone_seconds": [alone["seconds"] for _, alone in pairs],
            "same_results": [_results(shared) == _results(alone) for shared, alone in pairs],
        },
    )


def epochs(options: argparse.Namespace) -> Measured:
    """Epochs that the sweep trained, as it counted them."""
    answer = sweep(_images(options.data, options.images), 0, True)
    counts = answer["epochs"]
    ratio = counts["trained"] / counts["written"]
    return Measured(ratio, ratio, ratio, {**counts, "kept_states_peak_bytes": answer["kept_states_peak_bytes"]})


@functools.cache
def _images(data: Path, count: int) -> Path:
    return image_tree("cifar10", data, {"train": count, "val": 64}, "tree")


@functools.cache  # both cases look at the first round's sweep
def sweep(images: Path, number: int, share: bool) -> dict[str, Any]:
    """What `quorum sweep` answers in a round, with beginnings shared or not, and its wall time in `seconds`."""
    more = [] if share else ["-P", "state_gb=0"]
    with tempfile.TemporaryDirectory(dir=WORK, prefix=f"round-{number}-") as folder:
        (Path(folder) / "study.yaml").write_text(yaml.safe_dump(_study()))
        arguments = ["sweep", "--json", "-P", "study=study.yaml", "-P", f"path={images}", *more]
        started = time.perf_counter()
        answer: dict[str, Any] = json.loads(run_process([*QUORUM, *arguments], Path(folder)))
        return {**answer, "seconds": time.perf_counter() - started}


def _study() -> dict[str, Any]:
    study = yaml.safe_load(STUDY.read_text())
    stages = [{key: stage[key] for key in ("name", "set", "vary")} for stage in study["stages"]]
    return {"dataset": "folder", "base": {**study["base"], **BASE}, "stages": stages}


def _results(answer: dict[str, Any]) -> list[Any]:
    return [[(t["mean"], t["std"], t["test_mean"]) for t in stage["trials"]] for stage in answer["stages"]]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds cifar10/")
    parser.add_argument("--images", type=at_least(10), default=256, help="to train on (default: 256)")
    parser.set_defaults(rounds=1)


CASES = [
    Case("epochs", "epochs trained / epochs written", epochs, Target(at_most=SHARED / WRITTEN)),
    Case("seconds", "time as a tree / time with no beginnings shared", seconds),
]

if __name__ == "__main__":
    sys.exit(main("tree", __doc__, CASES, _options))
