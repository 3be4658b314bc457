"""A study run whole: all its stages over all seeds, its vote, and the run that holds them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.storages import BaseStorage

from quorum.config import TrialConfig, digest_of
from quorum.data.pixel_store import PixelStore
from quorum.engine.training import Progress
from quorum.errors import QuorumError
from quorum.study.file import StudyFile
from quorum.study.model import Study
from quorum.study.plan import PlannedTrial, plan
from quorum.study.results import StageResult
from quorum.sweeps import page
from quorum.sweeps.abandoned import end_abandoned
from quorum.sweeps.checkpoints import Checkpoints
from quorum.sweeps.cost import Cost
from quorum.sweeps.executors import Executor
from quorum.sweeps.optuna_stages import run_study
from quorum.sweeps.optuna_storage import open_storage, storage_url
from quorum.sweeps.progress import SweepProgress
from quorum.sweeps.runs import SweepRuns
from quorum.sweeps.seed_votes import log_vote, vote_of_study
from quorum.sweeps.trials import TrialRunner
from quorum.sweeps.weights import KeptWeights
from quorum.tracking import schema
from quorum.tracking.queries import Reuse, unfinished
from quorum.tracking.records import SweepRecord
from quorum.tracking.run_log import RunLog
from quorum.tracking.runs import begin_run
from quorum.tracking.system_metrics import system_metrics
from quorum.tracking.views import save_views
from quorum.training.check import check_trials
from quorum.training.folders import WorkFolders
from quorum.training.job import Job, Trained
from quorum.training.prepare import Preparer
from quorum.training.resolve import protocol
from quorum.versions import code_version
from quorum.voting.seed_votes import SeedVotes

GIGABYTE = 1e9


@dataclass(frozen=True)
class SweepSettings:
    """How a study is run.

    Attributes:
        seeds: of every trial.
        keep: trials whose best seed's weights are kept.
        reuse: whether stored trainings are linked instead of repeated, and which.
        state_gb: gigabytes of disk for states that trainings share, at most.
        optuna_storage: URL of the database for Optuna's studies; None: see `optuna_storage.storage_url`.
        system_metrics: whether this machine's are logged in the sweep's run.
        until: when trainings stop after their epoch and none is begun any more, in seconds since 1970.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    keep: int = 3
    reuse: Reuse = True
    state_gb: float = 20.0
    optuna_storage: str | None = None
    system_metrics: bool = False
    until: float = math.inf


@dataclass(frozen=True)
class SweepOutcome:
    """What a sweep gave.

    Attributes:
        run_id: of its run.
        study: what was run; without published rows where it was given other settings than the file's.
        results: its stages.
        vote: its vote, if it has one.
        cost: epochs written, trained, shared and reused.
        views: links to its trials and curves in the MLflow UI, by what they show.
    """

    run_id: str
    study: Study
    results: Sequence[StageResult]
    vote: SeedVotes | None
    cost: Cost
    views: Mapping[str, str]


def run_sweep(
    source: StudyFile,
    overrides: Mapping[str, Any],
    settings: SweepSettings,
    preparer: Preparer,
    folders: WorkFolders,
    make_executor: Callable[[], Executor[Job, Progress | Trained]],
) -> SweepOutcome:
    """Run a study, or go on with it where it was interrupted.

    Args:
        source: the study's file.
        overrides: settings that replace those of its base.
        settings: seeds and what is kept.
        preparer: prepares its trainings.
        folders: where they keep what is not tracked yet.
        make_executor: makes what does the trainings, once it is known that the study can be run.

    Raises:
        OutOfTimeError: where it has stopped since its time was up.
        QuorumError: for a study that cannot be run, or that another process works on.
    """
    first = source.study.first_config(overrides)
    planned = plan(source.study, first)
    check_trials(source, planned, preparer.prepare, overrides)
    study, prepared = _as_run(source.study, planned, overrides), preparer.prepare(planned[0].config)
    code = code_version(*(trial.config.model for trial in planned))
    digests = sorted({preparer.resolve(trial.config).weights_digest for trial in planned} - {""})
    identity = [study.model_dump(mode="json"), first.model_dump(), settings.seeds, settings.keep, settings.reuse]
    record = SweepRecord(
        kind=schema.SWEEP_KIND,
        study_key=digest_of(identity),
        key=digest_of([*identity, prepared.data_digest, code, prepared.numerics, *digests]),
        dataset=study.dataset,
        data_digest=prepared.data_digest,
        data_source=prepared.source,
        code_version=code,
        numerics=prepared.numerics,
    )
    name, store = source.file.stem, preparer.store
    with store.leases.hold(record.key, "sweep"):
        storage = open_storage(storage_url(store, folders.work_dir, settings.optuna_storage))
        previous = unfinished(store, SweepRecord, schema.SWEEP_KIND, record.key)
        if previous is None:
            end_abandoned(store, record, folders)
        with (
            begin_run(store, f"sweep {study.dataset}/{name}", record, previous=previous) as log,
            system_metrics(log, settings.system_metrics),
        ):
            log.dataset(study.dataset, prepared.data_digest, prepared.source, prepared.counts, "training")
            log.params({"study": name, "dataset": study.dataset, "seeds": ",".join(map(str, settings.seeds))})
            views = save_views(log, name, [stage.varied for stage in study.stages])
            progress = SweepProgress(settings.seeds, resolved(planned, preparer), preparer.numerics)
            with make_runner(log, settings, preparer, folders, make_executor(), progress) as runner:
                results = _run_stages(study, first, storage, name, runner, log)
            cost = Cost.of(results, runner.checkpoints.peak)
            vote = _finish(study, results, prepared.pixels, cost, log)
            return SweepOutcome(log.run_id, study, results, vote, cost, views)


def resolved(planned: Sequence[PlannedTrial], preparer: Preparer) -> list[PlannedTrial]:
    """Planned trials with no setting left open, so that they are known where they are asked for."""
    return [dataclasses.replace(trial, config=preparer.resolve(trial.config)) for trial in planned]


def make_runner(
    log: RunLog,
    settings: SweepSettings,
    preparer: Preparer,
    folders: WorkFolders,
    executor: Executor[Job, Progress | Trained],
    progress: SweepProgress,
    kind: str = schema.TRIAL_KIND,
) -> TrialRunner:
    """What runs the trials of one run.

    Args:
        log: of that run.
        settings: seeds and what is kept.
        preparer: prepares their trainings.
        folders: where they keep what is not tracked yet.
        executor: does the trainings.
        progress: says how far they are.
        kind: of the trials' runs.
    """
    checkpoints = Checkpoints(folders.checkpoints(log.run_id), settings.state_gb * GIGABYTE)
    weights = KeptWeights(preparer, folders, log.store, log.run_id, settings.keep)
    runs = SweepRuns(log, settings.seeds, settings.reuse, kind)
    return TrialRunner(preparer, runs, folders, checkpoints, weights, executor, progress, settings.until)


def _as_run(study: Study, planned: Sequence[PlannedTrial], overrides: Mapping[str, Any]) -> Study:
    """The study, without its published rows where other settings make it another study than the file's."""
    here = [protocol(trial.config) for trial in planned]
    # Only listed trials are compared: the study's base alone may be no configuration that could be run.
    try:
        same = here == [protocol(trial.config) for trial in plan(study, study.first_config({}))]
    except QuorumError:  # the file's own trials cannot be run here, where those with other settings can
        same = False
    return study if same else study.changed_by(overrides)


def _run_stages(
    study: Study, first: TrialConfig, storage: BaseStorage, name: str, runner: TrialRunner, log: RunLog
) -> list[StageResult]:
    """Run all stages, and log each when it is done."""
    results: list[StageResult] = []

    def on_stage(result: StageResult) -> None:
        results.append(result)
        runner.weights.log()
        page.log_stage(study, results, log)

    run_study(study, first, storage, name, runner.execute, log.run_id, on_stage, log.store.patiently)
    return results


def _finish(
    study: Study, results: Sequence[StageResult], pixels: PixelStore, cost: Cost, log: RunLog
) -> SeedVotes | None:
    """Take the study's vote if it has one, and log what belongs to all of the sweep."""
    vote = vote_of_study(log.store, study, results)
    if vote is not None:
        log_vote(study, vote, pixels, log)
    log.metrics(cost.metrics())
    log.note(page.sweep_note(study, results, log.run_id, vote, cost))
    page.log_end(study, results, log)
    return vote
