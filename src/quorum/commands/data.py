"""`quorum data`: prints what `quorum.prepare` returns."""

from __future__ import annotations

from collections.abc import Mapping

from quorum.api.data import run_preparation
from quorum.api.options import PrepareOptions
from quorum.commands.result import Result
from quorum.tracking.store import TrackingStore


def data(options: PrepareOptions, _given: Mapping[str, str], store: TrackingStore) -> Result:
    """Unpack, download or verify a data set, and picture it."""
    ready = run_preparation(options, store)
    answer = {
        "run_id": ready.run_id,
        "dataset": ready.dataset,
        "classes": list(ready.classes),
        "splits": ready.splits,
        "digest": ready.digest,
        "skipped": list(ready.skipped),
    }
    return Result(answer, f"{ready.summary}\n\nclasses: {', '.join(ready.classes)}")
