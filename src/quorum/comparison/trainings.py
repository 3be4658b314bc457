"""The stored trainings of a data set, by what they repeat."""

from __future__ import annotations

from dataclasses import dataclass, field

from quorum import metric_names
from quorum.config import TrialConfig, parse_config
from quorum.errors import QuorumError
from quorum.study.results import SeedResult, best_seed
from quorum.summary import Summary, summarize
from quorum.tracking import schema
from quorum.tracking.queries import trainings
from quorum.tracking.records import TrainingRecord
from quorum.tracking.store import TrackingStore
from quorum.training.resolve import protocol

COMPLETE = 3  # seeds that make a set of trainings complete


@dataclass(frozen=True)
class Origin:
    """What trainings have to have in common to be seeds of one trial, beside their protocol.

    Attributes:
        data_digest: of images, labels and splits.
        code_version: of the code that computed.
        numerics: class of the machine that computed.
        weights_digest: of the first weights; "" for random ones.
    """

    data_digest: str = ""
    code_version: str = ""
    numerics: str = ""
    weights_digest: str = ""


@dataclass
class StoredTrainings:
    """The stored trainings of one protocol and one origin.

    Attributes:
        origin: what they have in common.
        finished: the newest finished training of each seed.
        failed: the reason for each seed whose newest training diverged.
        ended: the reason for each seed without a result whose newest training ended with another error, as that of a
            full disk. This says nothing of the protocol, so the training counts as begun.
        begun: whether one of the protocol was begun that neither finished nor diverged.
        left_out: the sets of other origins, of those in which a seed finished or diverged.
    """

    origin: Origin = Origin()
    finished: dict[int, SeedResult] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)
    begun: bool = False
    left_out: list[StoredTrainings] = field(default_factory=list)

    def values(self, metric: str) -> list[float]:
        """A metric of the finished trainings, one a seed."""
        return list(self.by_seed(metric).values())

    def by_seed(self, metric: str) -> dict[int, float]:
        """A metric of the finished trainings by seed."""
        return {number: seed.metrics[metric] for number, seed in self.finished.items() if metric in seed.metrics}

    def of(self, metric: str) -> Summary:
        """A metric over the seeds that finished."""
        return summarize(self.values(metric))

    @property
    def best_seed(self) -> SeedResult | None:
        """The first of the seeds with the highest validation accuracy; None where none finished."""
        return best_seed(self.finished.values())

    @property
    def complete(self) -> bool:
        """Whether enough seeds finished or diverged for a verdict."""
        return len(self.finished) + len(self.failed) >= COMPLETE

    @property
    def run_id(self) -> str:
        """The run of a seed that finished; "" where none did."""
        return next((seed.run_id for seed in self.finished.values()), "")


def find_trainings(store: TrackingStore, dataset: str) -> dict[str, StoredTrainings]:
    """The stored trainings of a data set by their protocol. Reads each run once, newest first.

    Trainings of different origins are never mixed: the newest complete set counts, or the largest where none is
    complete; the others are listed with it.
    """
    sets: dict[str, dict[Origin, StoredTrainings]] = {}
    protocols: dict[tuple[tuple[str, str], ...], str | None] = {}
    for training in trainings(store, dataset):
        settings = {k: v for k, v in training.params.items() if k in TrialConfig.model_fields and k != "seed"}
        key = tuple(sorted(settings.items()))
        if key not in protocols:
            protocols[key] = _protocol(settings)
        if (name := protocols[key]) is not None:
            origin = _origin(training)
            of_origin = sets.setdefault(name, {}).setdefault(origin, StoredTrainings(origin))
            _add(of_origin, training)
    return {name: _chosen(list(found.values())) for name, found in sets.items()}


def _origin(training: TrainingRecord) -> Origin:
    digest = training.params.get("weights_digest", "")
    return Origin(training.data_digest, training.code_version, training.numerics, digest)


def _add(stored: StoredTrainings, training: TrainingRecord) -> None:
    seed = training.seed
    if training.finished and metric_names.BEST_VAL_ACCURACY in training.metrics:
        if seed not in stored.failed:
            stored.finished.setdefault(seed, training.result(reused=False))
    elif training.status == schema.FAILED and training.diverged:
        if seed not in stored.finished:
            stored.failed.setdefault(seed, training.diverged)
    else:
        stored.begun = True
        if training.status == schema.FAILED:
            stored.ended.setdefault(seed, training.reason or "failed")


def _chosen(sets: list[StoredTrainings]) -> StoredTrainings:
    """The set that counts, of those of a protocol, newest first."""
    complete = [one for one in sets if one.complete]
    chosen = complete[0] if complete else max(sets, key=lambda one: (len(one.finished), len(one.failed)))
    chosen.begun = any(one.begun for one in sets)
    known = chosen.finished.keys() | chosen.failed.keys()
    chosen.ended = {seed: reason for seed, reason in chosen.ended.items() if seed not in known}
    chosen.left_out = [other for other in sets if other is not chosen and (other.finished or other.failed)]
    return chosen


def _protocol(settings: dict[str, str]) -> str | None:
    """The protocol of a training; None for one that was made with settings that are no longer known."""
    try:
        return protocol(parse_config(TrialConfig, settings, "the store"))
    except QuorumError:
        return None
