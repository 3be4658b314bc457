"""The trainings of a data set that stand in the store, by what they repeat."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from quorum.config import TrialConfig, parse_config
from quorum.errors import QuorumError
from quorum.study.results import SeedResult
from quorum.tracking import schema
from quorum.tracking.queries import TRAINING, search
from quorum.tracking.runs import FAILED, FINISHED, Run
from quorum.tracking.store import Store
from quorum.training.resolve import settle
from quorum.training.run import seed_result

# What does not make another protocol of a training: seeds are repetitions, and the machine decides the others.
_FREE = ("seed", "precision", "weights_digest")


@dataclass
class Trainings:
    """What stands of one protocol.

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


def protocol(config: TrialConfig) -> str:
    """What two configurations have in common if one repeats the other: all but seed, arithmetic and weights file."""
    return json.dumps(settle(config).model_dump(exclude=set(_FREE)), sort_keys=True)


def find_trainings(store: Store, dataset: str) -> dict[str, Trainings]:
    """All trainings of a data set by their protocol. Reads each run once, newest first."""
    found: dict[str, Trainings] = {}
    protocols: dict[tuple[tuple[str, str], ...], str | None] = {}
    for run in search(store, {schema.DATASET: dataset}, having=[TRAINING]):
        settings = {k: v for k, v in run.data.params.items() if k in TrialConfig.model_fields and k != "seed"}
        key = tuple(sorted(settings.items()))
        if key not in protocols:
            protocols[key] = _protocol(settings)
        if (name := protocols[key]) is not None:
            _add(found.setdefault(name, Trainings()), run, int(run.data.tags[schema.SEED]))
    return found


def _add(trainings: Trainings, run: Run, seed: int) -> None:
    if run.info.status == FINISHED and "best/val_accuracy" in run.data.metrics:
        digest = run.data.tags.get(schema.DATA_DIGEST, "")
        trainings.digest = trainings.digest or digest
        if digest == trainings.digest and seed not in trainings.failed:
            trainings.finished.setdefault(seed, seed_result(run, seed, reused=False))
    elif run.info.status == FAILED:
        if seed not in trainings.finished:
            trainings.failed.setdefault(seed, run.data.tags.get(schema.REASON, "failed"))
    else:
        trainings.begun = True


def _protocol(settings: dict[str, str]) -> str | None:
    """The protocol of a training; None for one that was made with settings that are no longer known."""
    try:
        return protocol(parse_config(TrialConfig, settings, "the store"))
    except QuorumError:
        return None
