"""The finished trials of a data set that can be promoted."""

from __future__ import annotations

import collections
import hashlib
from dataclasses import dataclass

import pandas as pd

from quorum import metric_names
from quorum.errors import RegistryError
from quorum.promotion.recorded import best_training
from quorum.study.results import TrialResult
from quorum.tracking import schema
from quorum.tracking.queries import artifact, trials
from quorum.tracking.records import TrialRecord
from quorum.tracking.store import TrackingStore

ENOUGH_SEEDS = 3  # of a trial, for its mean to be compared with others
SEEDS = f"metrics.`{metric_names.TRIAL_N}`"


@dataclass(frozen=True)
class Candidate:
    """A finished trial that can be promoted.

    Attributes:
        trial: its record.
        value: the metric it is ranked by.
        fresh: the same trial over fresh seeds, where there are any.
    """

    trial: TrialRecord
    value: float
    fresh: TrialResult | None = None


@dataclass(frozen=True)
class Selection:
    """The candidates for a promotion, and what was left out.

    Attributes:
        chosen: the candidates, best first.
        seeds: of each of them.
        on_other_data: better trials that saw other data, or the same in other folds.
        of_other_seeds: better trials of another number of seeds.
        answering_alike: better trials that answer every image as one that is chosen does.
    """

    chosen: tuple[Candidate, ...]
    seeds: int
    on_other_data: int = 0
    of_other_seeds: int = 0
    answering_alike: int = 0

    def notes(self) -> list[str]:
        """What was left out, a line each."""
        lines = {
            "other data or folds than the newest one's": self.on_other_data,
            f"another number of seeds than {self.seeds}": self.of_other_seeds,
            "the same answer to every image as a better one": self.answering_alike,
        }
        return [f"left out: {count} with {what}" for what, count in lines.items() if count]


def candidates(store: TrackingStore, dataset: str, metric: str, count: int, least: int | None = None) -> Selection:
    """The best finished trials of a data set, over all sweeps, models and single trainings.

    A configuration counts once, however often it was run, and so do configurations whose best seeds answer every image
    alike: an epochs table can hold one network several times. All candidates saw the same data, that of the trial that
    finished last, and have the same number of seeds: a mean of one is luckier than a mean of three. That number is the
    one of the newest trial of three seeds or more; where there is none, of the newest trial.

    Args:
        store: the tracking store.
        dataset: name of the data set.
        metric: a trial's metric; losses are better when lower.
        count: how many.
        least: how many will do where there are fewer, after those that answer alike have made up the number; by default
            as many as `count`, and none of those.

    Returns:
        The candidates and what was left out.

    Raises:
        RegistryError: where there are fewer.
    """
    lower = metric_names.is_loss(metric)
    seeds, digest = _comparable(store, dataset, metric)
    found: dict[str, Candidate] = {}
    spare: dict[str, Candidate] = {}
    answers: set[str] = set()
    left_out = collections.Counter[str]()
    order, alike = f"metrics.`{metric}` {'ASC' if lower else 'DESC'}", f"{SEEDS} = {seeds}"
    for trial in trials(store, dataset, metric=metric, having=[alike], order_by=order):
        if trial.data_digest != digest:
            left_out["on_other_data"] += 1
        elif trial.trial_fingerprint not in found:
            if (given := _answers(store, trial)) in answers:
                spare.setdefault(trial.trial_fingerprint, Candidate(trial, trial.metrics[metric]))
                left_out["answering_alike"] += 1
                continue
            answers.add(given)
            found[trial.trial_fingerprint] = Candidate(trial, trial.metrics[metric])
            if len(found) == count:
                break
    if least is not None:
        for name in [name for name in spare if name not in found][: count - len(found)]:
            found[name] = spare[name]
            left_out["answering_alike"] -= 1
    bound = [f"metrics.`{metric}` {'<' if lower else '>'} {one.value!r}" for one in list(found.values())[-1:]]
    others = trials(store, dataset, metric=metric, having=[f"{SEEDS} != {seeds}", *bound])
    left_out["of_other_seeds"] = sum(trial.data_digest == digest for trial in others)
    selection = Selection(tuple(found.values()), seeds, **left_out)
    if len(found) < (count if least is None else least):
        why = "".join(f"; {note}" for note in selection.notes())
        raise RegistryError(
            f"{dataset}: {len(found)} finished trials with different settings and a {metric}, where {count} are "
            f"wanted; run a sweep first{f', or give top={len(found)}' if found else ''}{why}"
        )
    return selection


def _comparable(store: TrackingStore, dataset: str, metric: str) -> tuple[int, str]:
    """Number of seeds and data digest of candidates: those of the newest trial of enough seeds, else of the newest."""
    enough = next(trials(store, dataset, metric=metric, having=[f"{SEEDS} >= {ENOUGH_SEEDS}"]), None)
    newest = next(trials(store, dataset, metric=metric), None)
    if newest is None:
        return 0, ""
    of = enough if enough is not None and enough.data_digest == newest.data_digest else newest
    return int(of.metrics.get(metric_names.TRIAL_N, 1)), newest.data_digest


def _answers(store: TrackingStore, trial: TrialRecord) -> str:
    """What a trial's best seed answers, as a digest; a name of its own where its predictions were not kept."""
    best = best_training(store, trial)
    run_id = best.run_id if best else trial.run_id
    file = artifact(store, run_id, schema.PREDICTIONS)
    if file is None:
        return run_id
    frame = pd.read_csv(file, usecols=["split", "file", "predicted"], dtype=str, keep_default_na=False)
    return hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()
