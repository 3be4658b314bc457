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


@dataclass
class StoredTrainings:
    """The stored trainings of one protocol.

    Attributes:
        digest: of the data of its newest finished training; those on other data are left out.
        finished: the newest finished training of each seed.
        failed: the reason for each seed whose newest training failed, as one that diverged does.
        begun: whether one was begun that neither finished nor failed.
    """

    digest: str = ""
    finished: dict[int, SeedResult] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    begun: bool = False

    def values(self, metric: str) -> list[float]:
        """A metric of the finished trainings, one a seed."""
        return [seed.metrics[metric] for seed in self.finished.values() if metric in seed.metrics]

    @property
    def accuracy(self) -> Summary:
        """Validation accuracy of the best epoch over the seeds that finished."""
        return summarize(self.values(metric_names.BEST_VAL_ACCURACY))

    @property
    def best_seed(self) -> SeedResult | None:
        """The first of the seeds with the highest validation accuracy; None where none finished."""
        return best_seed(self.finished.values())


def find_trainings(store: TrackingStore, dataset: str) -> dict[str, StoredTrainings]:
    """All stored trainings of a data set by their protocol. Reads each run once, newest first."""
    found: dict[str, StoredTrainings] = {}
    protocols: dict[tuple[tuple[str, str], ...], str | None] = {}
    for training in trainings(store, dataset):
        settings = {k: v for k, v in training.params.items() if k in TrialConfig.model_fields and k != "seed"}
        key = tuple(sorted(settings.items()))
        if key not in protocols:
            protocols[key] = _protocol(settings)
        if (name := protocols[key]) is not None:
            _add(found.setdefault(name, StoredTrainings()), training)
    return found


def _add(stored: StoredTrainings, training: TrainingRecord) -> None:
    seed = training.seed
    if training.finished and metric_names.BEST_VAL_ACCURACY in training.metrics:
        stored.digest = stored.digest or training.data_digest
        if training.data_digest == stored.digest and seed not in stored.failed:
            stored.finished.setdefault(seed, training.result(reused=False))
    elif training.status == schema.FAILED:
        if seed not in stored.finished:
            stored.failed.setdefault(seed, training.reason or "failed")
    else:
        stored.begun = True


def _protocol(settings: dict[str, str]) -> str | None:
    """The protocol of a training; None for one that was made with settings that are no longer known."""
    try:
        return protocol(parse_config(TrialConfig, settings, "the store"))
    except QuorumError:
        return None
