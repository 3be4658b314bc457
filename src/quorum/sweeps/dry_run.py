"""What a sweep would do: its trainings gone through in their order, without training any of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from quorum.config import TrialConfig
from quorum.study.model import Study
from quorum.study.plan import PlannedTrial, possible
from quorum.study.prefix import TrainingPath
from quorum.sweeps.checkpoints import state_bytes
from quorum.sweeps.run import SweepSettings
from quorum.sweeps.schedule import Schedule
from quorum.sweeps.trials import paths_ahead
from quorum.tracking.queries import epoch_seconds, finished_trainings
from quorum.tracking.records import TrialRecord, trial_identity
from quorum.training.prepare import Preparer


@dataclass(frozen=True)
class TrialForecast:
    """What is known of a trial before it is run.

    Attributes:
        stage: number of its stage, from 0.
        trial: as it was planned, with no setting left open.
        reused: trainings that need not be done: the store holds them, or a trial before has done them.
    """

    stage: int
    trial: PlannedTrial
    reused: int


@dataclass(frozen=True)
class Forecast:
    """What a sweep would do, each stage after the first taken to go on from the first trial of the one before.

    Attributes:
        trials: all of them, in order. A search is one that stands for `count`, each as long as its longest.
        trainings: of all trials and seeds.
        written: epochs of all of them.
        to_train: epochs that would be trained.
        shared: epochs that trainings would take over from one another.
        reused: epochs of trainings that need not be done.
        states: states that are kept to be shared, at most at one time.
        state_bytes: bytes of disk for those and for the states of the trainings under way.
        seconds: the time of those epochs one after the other, by the last runs on this kind of machine; None where a
            network has none.
        unknown: networks that have no such run.
    """

    trials: Sequence[TrialForecast]
    trainings: int
    written: int
    to_train: int
    shared: int
    reused: int
    states: int
    state_bytes: int
    seconds: float | None
    unknown: Sequence[str]


@dataclass
class _Kept:
    """States that would be on disk; see `quorum.sweeps.schedule.Kept`."""

    limit: float
    sizes: dict[str, int] = field(default_factory=dict)
    peak: int = 0
    most: int = 0

    @property
    def nodes(self) -> Set[str]:
        return self.sizes.keys()

    def reserve(self, node: str, config: TrialConfig) -> bool:
        size = state_bytes(config)
        if sum(self.sizes.values()) + size > self.limit:
            return False
        self.sizes[node] = size
        self.peak, self.most = max(self.peak, sum(self.sizes.values())), max(self.most, len(self.sizes))
        return True

    def drop(self, nodes: Iterable[str]) -> None:
        for node in list(nodes):
            self.sizes.pop(node, None)


def forecast(
    study: Study, planned: Sequence[PlannedTrial], settings: SweepSettings, preparer: Preparer, jobs: int, limit: float
) -> Forecast:
    """What a sweep would do.

    Args:
        study: the stages.
        planned: its trials.
        settings: seeds, and what is reused.
        preparer: prepares trainings, and knows the store.
        jobs: trainings side by side.
        limit: bytes of disk for states that trainings share.
    """
    kept, left, trials = _Kept(limit), Counter[TrialConfig](), []
    schedule: Schedule[None] = Schedule(kept)
    done: set[str] = set()  # last nodes of trainings that were gone through
    written = shared = reused = 0
    for number in range(len(study.stages)):
        wanted: dict[TrainingPath, None] = {}
        here = [trial for trial in planned if trial.stage == number and trial.count]
        for trial in (dataclasses.replace(trial, config=preparer.resolve(trial.config)) for trial in here):
            written += trial.count * len(settings.seeds) * trial.config.epochs
            paths = [TrainingPath(trial.config.replace(seed=seed), preparer.numerics) for seed in settings.seeds]
            stored = _stored(trial, settings, preparer) if trial.listed else set()
            again = [path for path in paths if trial.listed and (path.config.seed in stored or path.nodes[-1] in done)]
            reused += len(again) * trial.config.epochs
            trials.append(TrialForecast(number, trial, len(again)))
            if trial.listed:
                wanted |= dict.fromkeys(path for path in paths if path not in again)
                done |= {path.nodes[-1] for path in paths}
            else:
                left[trial.config] += trial.count * len(paths) * trial.config.epochs
        configs = [trial.config for trial in here if trial.listed]  # of a search nothing can be known
        schedule.plan(wanted, paths_ahead(possible(study, number, configs), settings.seeds, preparer))
        while (running := schedule.start()) is not None:
            config = running.path.config.replace(seed=0)
            left[config] += config.epochs - running.start
            shared += running.start
            schedule.end(running)
    seconds = {config: epoch_seconds(preparer.store, config, preparer.numerics) for config in left}
    unknown = sorted({config.model for config, found in seconds.items() if found is None})
    under_way = jobs * max((state_bytes(config) for config in left), default=0)
    return Forecast(
        trials=trials,
        trainings=len(settings.seeds) * sum(one.trial.count for one in trials),
        written=written,
        to_train=sum(left.values()),
        shared=shared,
        reused=reused,
        states=kept.most,
        state_bytes=kept.peak + under_way,
        seconds=None if unknown else sum(epochs * (seconds[config] or 0.0) for config, epochs in left.items()),
        unknown=unknown,
    )


def _stored(trial: PlannedTrial, settings: SweepSettings, preparer: Preparer) -> Set[int]:
    """The seeds of a trial whose trainings the store holds."""
    if not settings.reuse:
        return set()
    prepared = preparer.prepare(trial.config)
    wanted = TrialRecord(**trial_identity(prepared.config, prepared.data_digest, prepared.numerics))
    return finished_trainings(preparer.store, wanted, settings.reuse).keys()
