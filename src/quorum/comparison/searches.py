"""The trials of open searches, which no study file lists: as the newest sweep of a study has tried them."""

from __future__ import annotations

from quorum.config import TrialConfig, parse_config
from quorum.errors import QuorumError
from quorum.expressions import parse_calls
from quorum.study.model import Stage, Study
from quorum.study.plan import PlannedTrial
from quorum.study.values import Scalar, Settings
from quorum.tracking import schema
from quorum.tracking.queries import family, search
from quorum.tracking.records import SweepRecord, TrainingRecord
from quorum.tracking.store import TrackingStore


def tried(store: TrackingStore, study: Study, name: str) -> list[PlannedTrial]:
    """What the open searches of a study have tried, in the order of their turns. Nothing where no sweep was begun.

    Args:
        store: the tracking store.
        study: the study.
        name: of its file, without suffix.
    """
    searches = {stage.name: number for number, stage in enumerate(study.stages) if stage.search == "tpe"}
    sweeps = search(store, SweepRecord, kind=schema.SWEEP_KIND, dataset=study.dataset) if searches else ()
    newest = next((sweep for sweep in sweeps if sweep.params.get("study") == name), None)
    if newest is None:
        return []
    # Of two in one place the newest, which is the first, counts: the sweep went on with other settings there.
    trials = {one.key: one for one in reversed(family(store, newest.run_id)) if one.kind == schema.TRIAL_KIND}
    return [
        planned
        for trial in sorted(trials.values(), key=lambda one: one.number)
        if trial.stage in searches and (planned := _trial(study, searches[trial.stage], trial)) is not None
    ]


def _trial(study: Study, number: int, trial: TrainingRecord) -> PlannedTrial | None:
    """A trial of a search; None for one that was made with settings that are no longer known, or another range."""
    stage, settings = study.stages[number], {k: v for k, v in trial.params.items() if k in TrialConfig.model_fields}
    try:
        config = parse_config(TrialConfig, settings, "the store")
        varied = _varied(stage, config)
    except QuorumError:
        return None
    published = stage.published_at().get(frozenset(varied.items()), ())
    return None if published else PlannedTrial(number, varied, config, 1, ())


def _varied(stage: Stage, config: TrialConfig) -> Settings:
    """The settings of a trial that its search varies.

    Raises:
        ConfigError: for an argument of a call that the trial's expression does not have.
    """
    return {name: _value(config, name) for name in stage.varied}


def _value(config: TrialConfig, name: str) -> Scalar:
    setting, *inner = name.split(".")
    value: Scalar = getattr(config, setting)
    if not inner:
        return value
    call, argument = inner
    found = next((one for one in parse_calls(str(value), setting) if one.name == call and argument in one.kwargs), None)
    return "" if found is None else found.kwargs[argument]
