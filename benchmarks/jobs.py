"""Two trainings side by side against one after the other: `quorum sweep` of a small network, as whole processes.

`default` is what a user types: with jobs=1 a training has all cores, with jobs=2 each has half of them. In `one-thread`
each training has one thread either way, and what comes out has to be the same bit for bit.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from common import QUORUM, Case, Measured, Target, alternate, at_least, main, run_process
from images import WORK, image_tree

STUDY = {
    "dataset": "folder",
    "base": {
        "model": "scratch-simple",
        "input_size": 32,
        "resize": 0,
        "normalize": "half",
        "augment": "flip-rotate10-jitter20-shift10",
        "optimizer": "adam",
        "lr": 0.0005,
        "batch_size": 32,
        "epochs": 6,
    },
    "stages": [{"name": "lr", "vary": {"lr": [0.0002, 0.0005, 0.001, 0.002]}}],
}


def jobs(threads: int, options: argparse.Namespace) -> Measured:
    """The time of two jobs by that of one."""
    tree = image_tree("cifar10", options.data, {"train": options.images, "val": 512}, "jobs")
    with tempfile.TemporaryDirectory(dir=WORK) as name:
        folder = Path(name)
        (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))
        answers: dict[int, list[Any]] = {1: [], 2: []}

        def sweep(count: int) -> float:
            place = Path(tempfile.mkdtemp(dir=folder))
            settings = {"study": folder / "study.yaml", "path": tree, "jobs": count, "threads": threads}
            given = [word for key, value in settings.items() for word in ("-P", f"{key}={value}")]
            started = time.perf_counter()
            answer = json.loads(run_process([*QUORUM, "sweep", "--json", *given], place))
            taken = time.perf_counter() - started
            answers[count].append([[t["mean"], t["test_mean"]] for stage in answer["stages"] for t in stage["trials"]])
            return taken

        found = alternate(lambda: sweep(2), lambda: sweep(1), options.rounds, warm_up=False)
    return Measured.of(found, same_results=answers[1] == answers[2])


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds cifar10/")
    parser.add_argument("--images", type=at_least(10), default=4096, help="to train on (default: 4096)")
    parser.set_defaults(rounds=1)


CASES = [
    Case("default", "two jobs / one, cores divided", functools.partial(jobs, 0), Target(at_most=0.65)),
    Case("one-thread", "two jobs / one, a thread each", functools.partial(jobs, 1), Target(at_most=0.65)),
]

if __name__ == "__main__":
    sys.exit(main("jobs", __doc__, CASES, _options))
