"""`quorum show`: prints what `quorum.show` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorum.api.reading_options import ShowOptions
from quorum.api.show import StoredRun
from quorum.commands.result import Result, records
from quorum.reporting import tables
from quorum.reporting.runs import changed_settings, epochs_table, metrics_table, results_table
from quorum.tracking.queries import run_beginning
from quorum.tracking.store import TrackingStore


def show(options: ShowOptions, _given: Mapping[str, str], store: TrackingStore) -> Result:
    """Show what a run holds."""
    run = StoredRun.of(store, run_beginning(store, options.run))
    data: dict[str, Any] = {
        "run_id": run.run_id,
        "name": run.name,
        "kind": run.kind,
        "status": run.status,
        "dataset": run.dataset,
        "reason": run.reason,
        "settings": dict(run.settings),
        "metrics": dict(run.metrics),
        "runs": records(run.runs),
        "history": records(run.history),
    }
    on = f" on {run.dataset}" if run.dataset else ""
    parts = [
        f"{run.kind} {run.run_id}: {run.name}{on}, {run.status}{f' ({run.reason})' if run.reason else ''}",
        changed_settings(run.settings),
        tables.markdown(metrics_table(run.metrics)) if run.metrics else "",
        tables.markdown(results_table(run.runs)) if len(run.runs) else "",
        tables.markdown(epochs_table(run.history)) if len(run.history) else "",
    ]
    return Result(data, "\n\n".join(part for part in parts if part))
