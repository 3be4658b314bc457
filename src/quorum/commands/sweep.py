"""`quorum sweep`: prints what `quorum.sweep` returns, or, with `--dry-run`, what `quorum.dry_run` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from quorum.api.reading_options import SweepCommandOptions
from quorum.commands.result import Result, records
from quorum.console import duration

if TYPE_CHECKING:
    from quorum.api.dry_run import DryRun
    from quorum.tracking.store import TrackingStore


def sweep(options: SweepCommandOptions, given: Mapping[str, str], store: TrackingStore) -> Result:
    """Run a study file: every configuration over its seeds."""
    if options.dry_run:
        from quorum.api.dry_run import forecast_study_file

        return _forecast(forecast_study_file(options, given, store))
    if options.jobs > 1 and options.engine == "local":  # workers import what they need while this process does
        from quorum.sweeps.executors.pool import start_server
        from quorum.sweeps.worker import WORK

        start_server(WORK)
    from quorum.api.sweep import run_study_file
    from quorum.commands.links import look_at

    run = run_study_file(options, given, store)
    best = f"sweep run {run.run_id}; best of the last stage: {run.best}"
    return Result(run.data(), f"{run.page}\n\n{best}\n\n{look_at(store, run.views)}")


def _forecast(found: DryRun) -> Result:
    from quorum.reporting import tables

    data = {
        "study": found.study,
        "dataset": found.dataset,
        "trials": records(found.trials),
        "trainings": found.trainings,
        "epochs": dict(found.epochs),
        "states": found.states,
        "state_bytes": found.state_bytes,
        "minutes": found.minutes,
        "unknown": list(found.unknown),
    }
    epochs = found.epochs
    time = f"not known: no finished run of {', '.join(found.unknown)} on {found.dataset} by this kind of machine"
    if found.minutes is not None:
        time = f"about {duration(60 * found.minutes)}, by the last runs on this kind of machine"
    text = (
        f"{tables.markdown(found.trials)}\n\n"
        f"{found.dataset}/{found.study}: {found.trainings} trainings, {epochs['written']:,} epochs written: "
        f"{epochs['trained']:,} to train, {epochs['shared']:,} shared with another training of this sweep, "
        f"{epochs['reused']:,} reused from finished ones\n"
        f"disk: {found.state_bytes / 1e9:.2g} GB at most for states; {found.states} of them are kept to be shared\n"
        f"time: {time}\n"
        "Stages after the first are taken to go on from the first trial of the one before. Nothing was trained."
    )
    return Result(data, text)
