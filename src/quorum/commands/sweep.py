"""`quorum sweep`: prints what `quorum.sweep` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from quorum.api.options import SweepOptions
from quorum.commands.result import Result

if TYPE_CHECKING:
    from quorum.tracking.store import TrackingStore


def sweep(options: SweepOptions, given: Mapping[str, str], store: TrackingStore) -> Result:
    """Run a study file: every configuration over its seeds."""
    if options.jobs > 1 and options.engine == "local":  # workers import what they need while this process does
        from quorum.sweeps.executors.pool import start_server
        from quorum.sweeps.worker import WORK

        start_server(WORK)
    from quorum.api.sweep import run_study_file

    run = run_study_file(options, given, store)
    return Result(run.data(), f"{run.page}\n\nsweep run {run.run_id}; best of the last stage: {run.best}")
