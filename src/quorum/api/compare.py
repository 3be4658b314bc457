"""`quorum.compare`: two trials or trainings side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from quorum import metric_names
from quorum.api.session import tracking
from quorum.errors import RegistryError
from quorum.inference import paired_interval
from quorum.summary import summarize
from quorum.tracking.queries import mean_history, run_beginning, seeds_of
from quorum.tracking.records import TrainingRecord
from quorum.tracking.store import TrackingStore

COMPARED = (metric_names.BEST_VAL_ACCURACY, metric_names.LAST_VAL_ACCURACY, metric_names.TEST_ACCURACY)
# What results depend on besides settings; two runs that differ in it were not made alike.
CIRCUMSTANCES = {"data": "data_digest", "code": "code_version", "machine": "numerics"}


@dataclass(frozen=True)
class Comparison:
    """Two trials or trainings, called `a` and `b`.

    Attributes:
        names: what they are called in MLflow, and their ids.
        settings: a row for each setting that differs, and for data, code and machine where they do:
            `setting`, `a`, `b`.
        curves: by name of the run, a row for each epoch: `epoch` (from 1) and each metric, the mean over the seeds.
        differences: a row for each metric: `metric`, the means `a` and `b` over the seeds that both have, `difference`
            (b - a, the mean of the seeds' own), `low` and `high` of its 95% interval (paired by seed, Student's t;
            infinite for one seed) and `n`, the number of those seeds. Accuracies are fractions.
    """

    names: tuple[str, str]
    settings: pd.DataFrame
    curves: Mapping[str, pd.DataFrame]
    differences: pd.DataFrame


def compare(run: str, other: str) -> Comparison:
    """Two trials or trainings side by side: the settings that differ, the epochs, and the difference paired by seed.

    Args:
        run: id of the first, or the first of its digits.
        other: of the second.

    Raises:
        RegistryError: for an id that no run has, or of one that is neither a trial nor a training, or has not ended.
    """
    with tracking() as store:
        return stored_comparison(store, run, other)


def stored_comparison(store: TrackingStore, run: str, other: str) -> Comparison:
    """`compare` with its store open."""
    first, second = run_beginning(store, run), run_beginning(store, other)
    if first.run_id == second.run_id:
        raise RegistryError(f"other: {other} is the same run as {run}")
    a, b = _seeds(store, first), _seeds(store, second)
    names = (f"{first.name} ({first.run_id[:8]})", f"{second.name} ({second.run_id[:8]})")
    curves = [mean_history(store, [training.run_id for training in seeds.values()]) for seeds in (a, b)]
    return Comparison(names, _differing(first, second), dict(zip(names, curves, strict=True)), _differences(a, b))


def _seeds(store: TrackingStore, record: TrainingRecord) -> dict[int, TrainingRecord]:
    found = {seed: training for seed, training in seeds_of(store, record).items() if training.finished}
    if not found:
        raise RegistryError(
            f"run {record.run_id} ({record.name}) is no finished trial or training; quorum results lists those that are"
        )
    return found


def _differing(first: TrainingRecord, second: TrainingRecord) -> pd.DataFrame:
    names = dict.fromkeys([*first.params, *second.params])
    pairs = {name: (first.params.get(name, ""), second.params.get(name, "")) for name in names}
    pairs |= {name: (getattr(first, field), getattr(second, field)) for name, field in CIRCUMSTANCES.items()}
    rows = [{"setting": name, "a": a, "b": b} for name, (a, b) in pairs.items() if a != b]
    return pd.DataFrame(rows, columns=["setting", "a", "b"])


def _differences(a: Mapping[int, TrainingRecord], b: Mapping[int, TrainingRecord]) -> pd.DataFrame:
    rows = []
    for metric in COMPARED:
        pairs = [
            (a[seed].metrics[metric], b[seed].metrics[metric])
            for seed in a.keys() & b.keys()
            if metric in a[seed].metrics and metric in b[seed].metrics
        ]
        between = [theirs - ours for ours, theirs in pairs]
        interval = paired_interval(between)
        means = [summarize(values).mean for values in ((x for x, _ in pairs), (y for _, y in pairs), between)]
        row = dict(zip(("a", "b", "difference"), means, strict=True))
        rows.append({"metric": metric, **row, "low": interval.low, "high": interval.high, "n": len(pairs)})
    return pd.DataFrame(rows)
