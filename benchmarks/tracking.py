"""What tracking costs: an epoch beside the second that it takes, and a trial beside 50 ms.

`epoch`: epochs are logged one a second into a new SQLite store; the ratio is the share of the time.

`trial`: small sweeps are run, and every call into MLflow is timed. The ratio is, for one training, the time of the
calls for its seed run and its share of those for its trial run, without the epochs, divided by 50 ms. The details also
give the time for a whole trial, each call, what logging a model takes (`_log`: once for each of the few that a sweep
keeps), and what drawing a training's figures takes.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from mlflow import artifacts
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from common import Case, Measured, Target, at_least, main, timed
from quorum.engine.history import EpochRecord
from quorum.engine.metrics import METRICS
from quorum.metric_names import EPOCH_SECONDS, IMAGES_PER_SECOND, LR, split_metric
from quorum.reporting import figures
from quorum.tracking import logged_models, queries, schema
from quorum.tracking.records import Record
from quorum.tracking.run_log import RunLog
from quorum.tracking.runs import begin_run
from quorum.tracking.store import connect
from sandbox import quorum, sandbox, write_study

ALLOWED = 0.05  # seconds a training
SECOND = 1.0
PART = 5  # epochs
EPOCH_METRICS = (
    *(split_metric("train", name) for name in ("loss", "accuracy")),
    *(split_metric("val", name) for name in ("loss", *METRICS)),
    *(LR, EPOCH_SECONDS, IMAGES_PER_SECOND),
)
EPOCHS, MODEL = ("epochs", "flush"), "_log"  # the calls that log epochs, and a model


@dataclass
class Calls:
    """Outermost calls into MLflow: name, seconds, and the run that they are for where they say so."""

    made: list[tuple[str, float, object]] = field(default_factory=list)
    _inside: bool = False

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A function that does the same and is timed unless another timed one has called it."""

        @functools.wraps(call)
        def timed_call(*arguments: Any, **named: Any) -> Any:
            if self._inside:
                return call(*arguments, **named)
            self._inside = True
            start = time.perf_counter()
            answer = None
            try:
                answer = call(*arguments, **named)
            finally:
                self._inside = False
                self.made.append((name, time.perf_counter() - start, _run_of(arguments, named, answer)))
            return answer

        return timed_call

    def within(self, run_ids: Sequence[str]) -> dict[str, list[float]]:
        """Seconds of each call that is not for one of some runs, by name."""
        found = defaultdict(list)
        for name, seconds, run_id in self.made:
            if run_id not in run_ids:
                found[name].append(seconds)
        return found


def _run_of(arguments: tuple[Any, ...], named: dict[str, Any], answer: object) -> object:
    """The run that a call is for: its log's, the one that it has made, or the one that it names first."""
    if arguments and isinstance(arguments[0], RunLog):
        return arguments[0].run_id
    if isinstance(answer, Run):
        return answer.info.run_id
    return arguments[1] if len(arguments) > 1 else named.get("run_id")


@contextlib.contextmanager
def watched() -> Iterator[Calls]:
    """Time every call into MLflow."""
    calls = Calls()
    names = [name for name, call in vars(MlflowClient).items() if callable(call) and not name.startswith("_")]
    places: list[tuple[Any, str]] = [(MlflowClient, name) for name in names]
    places += [(RunLog, name) for name in (*EPOCHS, "artifacts")]
    places += [(logged_models, MODEL), (artifacts, "download_artifacts"), (queries, "artifact")]
    originals = [(owner, name, getattr(owner, name)) for owner, name in places]
    for owner, name, call in originals:
        setattr(owner, name, calls.around(name, call))
    try:
        yield calls
    finally:
        for owner, name, call in originals:
            setattr(owner, name, call)


def epoch(options: argparse.Namespace) -> Measured:
    """Share of the time that logging takes at one epoch a second."""
    logging = []
    with sandbox():
        store = connect()
        with begin_run(store, "epochs", Record(kind="train")) as log:
            start = time.perf_counter()
            for number in range(1, options.epochs + 1):
                record = EpochRecord(number, dict.fromkeys(EPOCH_METRICS, 1 / number))
                logging.append(timed(functools.partial(log.epoch, record))())
                time.sleep(max(0.0, number * SECOND - (time.perf_counter() - start)))
            logging[-1] += timed(log.flush)()
            wall = time.perf_counter() - start
    # Quick epochs are written several at a time, so one second says nothing: the spread is that of parts of the run.
    parts = [sum(logging[start : start + PART]) / PART / SECOND for start in range(0, len(logging) - PART + 1, PART)]
    shares = parts or [sum(logging) / wall]
    return Measured(sum(logging) / wall, min(shares), max(shares), {"first_seconds": logging, "wall_seconds": wall})


def trial(options: argparse.Namespace) -> Measured:
    """Time of MLflow's calls outside training for one training of a sweep / 50 ms."""
    rounds: list[dict[str, list[float]]] = []
    seeds = ",".join(map(str, range(options.seeds)))
    with sandbox() as folder:
        for number in range(options.rounds + 1):  # the first one warms up
            study = write_study(folder, options.trials, epochs=2, skip=number * options.trials)
            with watched() as calls:
                quorum([*study, "-P", f"seeds={seeds}", "-P", "keep=1"])
            sweeps = [run.run_id for run in queries.search(connect(), Record, kind=schema.SWEEP_KIND)]
            rounds.append(calls.within(sweeps))
    trainings = options.trials * options.seeds
    spent = [sum(sum(v) for k, v in one.items() if k not in (*EPOCHS, MODEL)) for one in rounds[1:]]
    share = [seconds / trainings for seconds in spent]
    details = {
        "first_seconds": share,
        "second_seconds": ALLOWED,
        "trial_seconds": statistics.median(spent) / options.trials,
        "seeds": options.seeds,
        "calls_of_a_trial": _by_call(rounds[1:], options.trials),
        "figures_milliseconds": drawing(),
    }
    ratios = [seconds / ALLOWED for seconds in share]
    return Measured(statistics.median(ratios), min(ratios), max(ratios), details)


def _by_call(rounds: Sequence[dict[str, list[float]]], trials: int) -> dict[str, dict[str, float]]:
    """Number and milliseconds of each call in a trial, the costliest first."""
    names = {name for one in rounds for name in one}
    table = {
        name: {
            "calls": statistics.mean(len(one[name]) for one in rounds) / trials,
            "milliseconds": 1000 * statistics.median(sum(one[name]) for one in rounds) / trials,
        }
        for name in names
    }
    return dict(sorted(table.items(), key=lambda item: -item[1]["milliseconds"]))


def drawing() -> dict[str, float]:
    """Milliseconds to draw and write the figures of one training, by figure."""
    random = np.random.default_rng(0)
    history = pd.DataFrame({"epoch": range(1, 31), **{name: random.random(30) for name in figures.CURVES}})
    draw: dict[str, Callable[[], Figure]] = {"curves": lambda: figures.curves({"": history}, "curves")}
    for classes in (10, 101):
        names = [f"class {number}" for number in range(classes)]
        counts = pd.DataFrame(random.integers(0, 30, (classes, classes)), names, names)
        draw[f"confusion of {classes}"] = functools.partial(figures.confusion, {"confusion": counts})
    spent = {}
    with tempfile.TemporaryDirectory(prefix="quorum-benchmark-") as folder:
        for name, make in draw.items():
            measure = timed(functools.partial(_draw, make, Path(folder, "figure.png")))
            spent[name] = 1000 * statistics.median(measure() for _ in range(3))
    return spent


def _draw(make: Callable[[], Figure], file: Path) -> None:
    figures.save(make(), file)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Sizes."""
    parser.add_argument("--epochs", type=at_least(1), default=15, help="to log, one a second (default: 15)")
    parser.add_argument("--trials", type=at_least(1), default=3, help="trials of each sweep (default: 3)")
    parser.add_argument("--seeds", type=at_least(1), default=3, help="seeds of each trial (default: 3)")


CASES = [
    Case("epoch", "logging an epoch / a second, at one epoch a second", epoch, Target(at_most=0.01)),
    Case("trial", "MLflow outside training, for one training of a sweep / 50 ms", trial, Target(at_most=1.0)),
]

if __name__ == "__main__":
    sys.exit(main("tracking", __doc__, CASES, add_options))
