"""What a sweep's run shows: a table and a figure of each stage, its page, all curves in one figure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from quorum import metric_names
from quorum.console import say
from quorum.inference import plus_minus
from quorum.reporting import bands, figures, tables
from quorum.reporting.bands import Bands, band
from quorum.study.model import Stage, Study
from quorum.study.results import StageResult, TrialResult, collapsed, rank
from quorum.study.values import canonical
from quorum.sweeps.cost import Cost
from quorum.sweeps.runs import describe, title
from quorum.sweeps.seed_votes import vote_table
from quorum.temporary import temporary_folder
from quorum.tracking import schema
from quorum.tracking.queries import history_frame
from quorum.tracking.run_log import RunLog, artifact_url
from quorum.tracking.store import TrackingStore
from quorum.training.job import environment
from quorum.voting.seed_votes import SeedVotes
from quorum.voting.vote import VOTE_RULE

FOLDER = "stages"  # of the run's artifacts
CURVES_END = "-curves.png"  # of a file's name, after the stage's
INTERVAL = "± 95%"
DRAWN = 10  # trials of a stage whose curves are drawn: as many as there are colors
SHOWN = 8  # digits of a run's id in a table

MEAN_NOTE = (
    "mean is the validation accuracy over n seeds, of the {accuracy} epoch, ± 95% its interval (Student's t); best and "
    "last mean are those of the other kind of epoch. A collapse: the last epoch is more than 0.05 below the best. "
    "Near best: cannot be told from the best (paired by seed, Holm over the table; three seeds rarely can)."
)


def stage_table(result: StageResult) -> pd.DataFrame:
    """A stage's trials, a row each: the varied settings, `mean` and `std` of the validation accuracy (of the epoch that
    the study is about), `± 95%` half its interval, `n`, `last mean` (or `best mean`) of the other epoch, `test mean`,
    `test std`, and where there is something to say `published`, `published std`, `difference`, `reused` and `note`."""
    near = result.near_best
    return tables.stage_table([_row(result, trial, place in near) for place, trial in enumerate(result.trials)])


def _row(result: StageResult, trial: TrialResult, near_best: bool) -> dict[str, Any]:
    last = result.metric == metric_names.LAST_VAL_ACCURACY
    val = trial.of(result.metric)
    test = trial.of(metric_names.LAST_TEST_ACCURACY if last else metric_names.TEST_ACCURACY)
    other = trial.of(metric_names.BEST_VAL_ACCURACY if last else metric_names.LAST_VAL_ACCURACY)
    row: dict[str, Any] = {**trial.request.settings}
    row |= {"mean": val.mean, "std": val.std, INTERVAL: plus_minus(val), "n": val.n}
    row |= {"best mean" if last else "last mean": other.mean, "test mean": test.mean, "test std": test.std}
    published = next(
        (p for p in result.stage.published if p.val_accuracy is not None and canonical(p.at) == trial.request.settings),
        None,
    )
    if published is not None:
        row |= {"published": published.val_accuracy, "published std": published.std}
        row["difference"] = None if val.mean is None else val.mean - (published.val_accuracy or 0.0)
    row["reused"] = _reused(trial)
    reasons = "; ".join(dict.fromkeys(seed.reason for seed in trial.seeds if seed.reason))
    best, final = (other, val) if last else (val, other)
    elsewhere = sorted({seed.elsewhere for seed in trial.seeds} - {""})
    place = "best" if trial is result.best else "near best" if near_best else ""
    notes = [
        place,
        "collapse" if collapsed(best, final) else "",
        _stopped(trial),
        *(f"computed on {name}" for name in elsewhere),
        reasons,
    ]
    row["note"] = "; ".join(note for note in notes if note)
    return row


def _reused(trial: TrialResult) -> str:
    """How many of a trial's trainings were reused, and from which runs: the first digits of their ids."""
    counts = Counter(seed.source for seed in trial.seeds if seed.reused)
    return ", ".join(f"{count} from {source[:SHOWN]}" for source, count in counts.items())


def _stopped(trial: TrialResult) -> str:
    """After which epochs early stopping has ended a trial's trainings, of those that it has."""
    ends = {seed.last_epoch for seed in trial.seeds if seed.last_epoch is not None and not seed.reason}
    early = sorted(ends - {trial.request.config.epochs})
    return f"stopped after epoch {', '.join(map(str, early))}" if early else ""


def sweep_page(
    study: Study, results: Sequence[StageResult], vote: SeedVotes | None = None, cost: Cost | None = None
) -> str:
    """The sweep's description in the UI, Markdown: every stage's table, the vote's, and what it cost."""
    stages = [_stage(result) for result in results]
    note = f"{MEAN_NOTE.format(accuracy=study.accuracy)} {tables.STD_NOTE}"
    votes = [] if vote is None else [_vote(study, vote)]
    parts = [study.description.strip(), *stages, *votes, note, str(cost or "")]
    return "\n\n".join(part for part in parts if part)


def _stage(result: StageResult) -> str:
    stage = result.stage
    parts = [f"### Stage {stage.name}", _search(stage), tables.markdown(stage_table(result), stage.varied)]
    if result.importances:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in result.importances.items())
        parts.append(f"Of the variance between trials, these explain (fANOVA): {shares}.")
    return "\n\n".join(part for part in parts if part)


def _search(stage: Stage) -> str:
    """How a search chose its trials; "" for a grid."""
    if stage.search == "grid":
        return ""
    return f"A search (TPE) of {stage.budget} trials, the first {stage.random_trials} of them drawn at random."


def sweep_note(
    study: Study,
    results: Sequence[StageResult],
    run_id: str,
    vote: SeedVotes | None = None,
    cost: Cost | None = None,
) -> str:
    """The sweep's page as its run shows it: the stages' figures first, and links to the runs that it reused."""
    shown = [
        f"![{what} of stage {result.stage.name}]({artifact_url(run_id, f'{FOLDER}/{result.stage.name}{end}')})"
        for result in results
        for what, end in (("Means", ".png"), ("Curves", CURVES_END))
        if end == ".png" or _drawn(result)
    ]
    sources = dict.fromkeys(s.source for r in results for t in r.trials for s in t.seeds if s.source)
    links = ", ".join(f"[{source[:SHOWN]}](#/runs/{source})" for source in sources)
    reused = [f"Reused trainings are from {links}."] if links else []
    return "\n\n".join([*shown, sweep_page(study, results, vote, cost), *reused])


def _vote(study: Study, vote: SeedVotes) -> str:
    against = tables.markdown(vote.against_best(), exact=("p",))
    return f"### Vote\n\n{tables.markdown(vote_table(study, vote))}\n\n{VOTE_RULE}\n\n{vote.difference()}\n\n{against}"


def log_stage(study: Study, results: Sequence[StageResult], log: RunLog) -> None:
    """Log the last stage's table and figure, and the sweep's page as far as it is."""
    result = results[-1]
    name, table = result.stage.name, stage_table(result)
    with temporary_folder() as folder:
        table.to_csv(folder / f"{name}.csv", index=False)
        (folder / f"{name}.md").write_text(tables.markdown(table, result.stage.varied) + "\n")
        heading = f"{study.dataset}: {name}"
        figures.save(figures.error_bars(table, result.stage.varied, heading, spread=INTERVAL), folder / f"{name}.png")
        if drawn := _drawn(result):
            curves = {title(trial.request): _bands(log.store, trial) for trial in drawn}
            figure = bands.seed_curves(curves, f"{heading}, mean over the seeds, from the lowest to the highest")
            figures.save(figure, folder / f"{name}{CURVES_END}")
        log.artifacts(folder, FOLDER)
    log.note(sweep_note(study, results, log.run_id))
    if result.best is not None:
        best, mean = describe(result.best.request), result.best.of(study.metric).mean
        log.metrics({metric_names.stage_metric(name): mean}, step=len(results), changed=True)
        say(f"stage {name} is done: {best} is the best of {len(result.trials)} trials, at {mean:.4f}")


def _drawn(result: StageResult) -> Sequence[TrialResult]:
    """The trials whose curves are shown: the best of those that did not fail."""
    return rank(result.trials, result.metric)[:DRAWN]


def _bands(store: TrackingStore, trial: TrialResult) -> Bands:
    shown = (metric_names.VAL_LOSS, metric_names.VAL_ACCURACY)
    histories = [history_frame(store, seed.run_id, shown) for seed in trial.seeds]
    return {metric: band(histories, metric) for metric in shown}


def log_end(study: Study, results: Sequence[StageResult], log: RunLog) -> None:
    """Log all curves in one figure, and what the sweep was made with."""
    trials = [trial for result in results for trial in result.trials]
    runs = {title(trial.request): trial.best_seed.run_id for trial in trials}
    histories = {name: history_frame(log.store, run_id, figures.CURVES) for name, run_id in runs.items()}
    drawn = {name: history for name, history in histories.items() if len(history)}
    models = {trial.request.config.model for trial in trials}
    with temporary_folder() as folder:
        (folder / schema.ENVIRONMENT).write_text(json.dumps(environment(*models), indent=2))
        figure = figures.curves(drawn, f"{study.dataset}: every trial's best seed")
        figures.save(figure, folder / "curves.png")
        log.artifacts(folder)
