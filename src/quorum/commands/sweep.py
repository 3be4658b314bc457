"""`quorum sweep`: a study file, every configuration over its seeds."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from quorum.commands.opening import open_data
from quorum.commands.options import SweepOptions
from quorum.commands.result import Result
from quorum.comparison.trainings import protocol
from quorum.config import TrialConfig, digest_of
from quorum.console import say
from quorum.engine.device import use_device
from quorum.report import figures, tables
from quorum.study.find import find_study
from quorum.study.model import Study, canonical
from quorum.study.plan import PlannedTrial, plan
from quorum.study.results import StageResult, TrialResult
from quorum.sweep.checkpoints import KeptStates
from quorum.sweep.cost import Effort
from quorum.sweep.optuna_stages import open_storage, run_study
from quorum.sweep.runs import SweepRuns, describe, title
from quorum.sweep.seed_votes import RULE, SeedVotes, log_vote, vote_data, vote_of_study, vote_table
from quorum.sweep.trials import SweepTrials
from quorum.sweep.weights import KeptWeights
from quorum.tracking import schema
from quorum.tracking.lock import exclusively
from quorum.tracking.queries import history_frame, unfinished
from quorum.tracking.runs import RunLog, begin_run
from quorum.tracking.store import Store
from quorum.training.check import check_settings, check_trials
from quorum.training.job import environment
from quorum.training.resolve import resolve
from quorum.training.run import Bench, check_trainable
from quorum.versions import code_version


def sweep(options: SweepOptions, overrides: Mapping[str, Any], store: Store) -> Result:
    """Run a study, or go on with it where it was interrupted.

    Args:
        options: which study, which seeds.
        overrides: settings of a trial that replace those of the study's base.
        store: the tracking store.
    """
    source = find_study(options.sweeps_dir, options.study, overrides)
    study, name = source.study, source.file.stem
    given = {key: value for key, value in overrides.items() if key != "dataset"}
    first = study.first_config(given)
    planned = plan(study, first)
    check_trials(source, planned, check_settings, given)
    device = use_device(options.device, options.threads)
    bench = Bench(open_data(options, study.dataset, first.split_seed), device, options.work_dir)
    check_trials(source, planned, lambda config: check_trainable(resolve(config, device, store), bench), given)
    pixels = bench.data.batches(resolve(planned[0].config, device, store).config, device).store
    digest = pixels.digest
    if _protocols(planned) != _protocols(plan(study, study.first_config({}))):
        study = study.changed_by(given)
    settings = [study.model_dump(mode="json"), first.model_dump(), options.seeds, options.keep, options.reuse]
    key = digest_of([*settings, digest, code_version()])
    values = {
        schema.KEY: key,
        schema.DATASET: study.dataset,
        schema.DATA_DIGEST: digest,
        schema.CODE_VERSION: code_version(),
    }
    with (
        exclusively(options.work_dir, key, "sweep"),
        begin_run(
            store, "sweep", f"sweep {study.dataset}/{name}", values, previous=unfinished(store, "sweep", key)
        ) as log,
    ):
        log.dataset(study.dataset, digest, bench.data.source, pixels.counts(), "training")
        log.params({"study": name, "dataset": study.dataset, "seeds": ",".join(map(str, options.seeds))})
        with sweep_trials(options, bench, log) as trials:
            results = _run(study, first, trials, log)
        vote = vote_of_study(store, study, results)
        if vote is not None:
            log_vote(study, vote, log)
        effort = Effort.of(results, trials.states.peak)
        log.metrics(effort.metrics())
        log.note(page(study, results, vote, effort))
        _write_end(study, results, log)
        return _answer(study, results, vote, effort, log.run_id)


def _protocols(planned: list[PlannedTrial]) -> list[str]:
    """What each trial repeats. The study's base alone may be no configuration that could be run."""
    return [protocol(trial.config) for trial in planned]


def _run(study: Study, first: TrialConfig, trials: SweepTrials, log: RunLog) -> list[StageResult]:
    """Run all stages, and write each down when it is done."""
    results: list[StageResult] = []

    def on_stage(result: StageResult) -> None:
        results.append(result)
        trials.weights.log()
        _write_stage(study, results, log)

    run_study(study, first, open_storage(log.store.folder / "optuna.db"), log.run_id, trials.execute, on_stage)
    return results


def sweep_trials(options: SweepOptions, bench: Bench, log: RunLog) -> SweepTrials:
    """What runs the trials."""
    states = KeptStates(options.work_dir / "kept" / log.run_id, options.state_gb * 1e9)
    weights = KeptWeights(bench, log.store, log.run_id, options.keep)
    threads = options.threads or max(1, (os.cpu_count() or 1) // options.jobs)
    runs = SweepRuns(bench, log, options.seeds, options.reuse)
    return SweepTrials(runs, options.jobs, threads, states, weights)


def _write_stage(study: Study, results: list[StageResult], log: RunLog) -> None:
    """Write the last stage's table and figure, and the sweep's page as far as it is."""
    result = results[-1]
    name, table = result.stage.name, stage_table(result)
    with tempfile.TemporaryDirectory(prefix="quorum-") as temporary:
        folder = Path(temporary)
        table.to_csv(folder / f"{name}.csv", index=False)
        (folder / f"{name}.md").write_text(tables.markdown(table, result.stage.varied) + "\n")
        figure = figures.error_bars(table, result.stage.varied, f"{study.dataset}: {name}")
        figures.save(figure, folder / f"{name}.png")
        log.artifacts(folder, "stages")
    log.note(page(study, results))
    if result.best is not None:
        log.metrics({f"{name}/val_accuracy/mean": result.best.of("val_accuracy").mean}, step=len(results))
    say(f"\nstage {name}\n{tables.markdown(table, result.stage.varied)}\n")


def _write_end(study: Study, results: list[StageResult], log: RunLog) -> None:
    """Write all curves in one figure, and what the sweep was made with."""
    histories = {
        title(trial.request): history_frame(log.store, trial.best_seed.run_id, figures.CURVES)
        for result in results
        for trial in result.trials
    }
    drawn = {name: history for name, history in histories.items() if len(history)}
    with tempfile.TemporaryDirectory(prefix="quorum-") as temporary:
        folder = Path(temporary)
        (folder / "environment.json").write_text(json.dumps(environment(), indent=2))
        figure = figures.curves(drawn, f"{study.dataset}: every trial's best seed")
        figures.save(figure, folder / "curves.png")
        log.artifacts(folder)


def stage_table(result: StageResult) -> pd.DataFrame:
    """A stage's trials with what was published for them."""
    return tables.stage_table([_row(result, trial) for trial in result.trials])


def _row(result: StageResult, trial: TrialResult) -> dict[str, Any]:
    val, test = trial.of("val_accuracy"), trial.of("test_accuracy")
    row: dict[str, Any] = {**trial.request.settings}
    row |= {"mean": val.mean, "std": val.std, "n": val.n, "test mean": test.mean, "test std": test.std}
    published = next(
        (p for p in result.stage.published if p.val_accuracy is not None and canonical(p.at) == trial.request.settings),
        None,
    )
    if published is not None:
        row |= {"published": published.val_accuracy, "published std": published.std}
        row["difference"] = None if val.mean is None else val.mean - (published.val_accuracy or 0.0)
    row["reused"] = sum(seed.reused for seed in trial.seeds)
    row["note"] = (
        "best" if trial is result.best else "; ".join(dict.fromkeys(s.reason for s in trial.seeds if s.reason))
    )
    return row


def page(study: Study, results: list[StageResult], vote: SeedVotes | None = None, effort: Effort | None = None) -> str:
    """The sweep's description in the UI: every stage's table, the vote's, and what it cost."""
    stages = [
        f"### Stage {result.stage.name}\n\n{tables.markdown(stage_table(result), result.stage.varied)}"
        for result in results
    ]
    note = f"mean is the validation accuracy of the best epoch over n seeds. {tables.STD_NOTE}"
    votes = [] if vote is None else [f"### Vote\n\n{tables.markdown(vote_table(study, vote))}\n\n{RULE}"]
    parts = [study.description.strip(), *stages, *votes, note, str(effort or "")]
    return "\n\n".join(part for part in parts if part)


def _answer(study: Study, results: list[StageResult], vote: SeedVotes | None, effort: Effort, run_id: str) -> Result:
    stages = [
        {"name": result.stage.name, "trials": [_trial_data(trial) for trial in result.trials]} for result in results
    ]
    best = results[-1].best
    assert best is not None
    mean = best.of("val_accuracy").mean
    ending = f"sweep run {run_id}; best of the last stage: {describe(best.request)} at {mean:.4f}"
    text = f"{page(study, results, vote, effort)}\n\n{ending}"
    data: dict[str, Any] = {"run_id": run_id, "dataset": study.dataset, "stages": stages, **effort.data()}
    if vote is not None:
        data["vote"] = vote_data(vote)
    return Result(data, text)


def _trial_data(trial: TrialResult) -> dict[str, Any]:
    val, test = trial.of("val_accuracy"), trial.of("test_accuracy")
    return {
        "settings": trial.request.settings,
        "mean": val.mean,
        "std": val.std,
        "n": val.n,
        "test_mean": test.mean,
        "test_std": test.std,
        "run_id": trial.run_id,
        "reused": sum(seed.reused for seed in trial.seeds),
        "failed": [f"seed {seed.seed}: {seed.reason}" for seed in trial.seeds if seed.reason],
    }
