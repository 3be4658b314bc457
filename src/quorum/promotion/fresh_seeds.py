"""Fresh seeds for candidates: what was chosen for its mean has been lucky, and only seeds it was not chosen by tell how
much (the winner's curse)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from quorum import metric_names
from quorum.promotion.candidates import Candidate
from quorum.promotion.recorded import config_of, seeds_of
from quorum.study.results import TrialRequest, TrialResult
from quorum.tracking.store import TrackingStore

STAGE = "confirm"
RunTrials = Callable[[Sequence[TrialRequest], tuple[int, ...]], Sequence[TrialResult]]  # trials over some seeds


def confirm(
    store: TrackingStore, chosen: Sequence[Candidate], metric: str, count: int, run_trials: RunTrials
) -> list[Candidate]:
    """Candidates with fresh seeds, ranked by those alone.

    The seeds are the first ones above all that any of the candidates was trained with, so that the same command finds
    them again.

    Args:
        store: the tracking store.
        chosen: the candidates.
        metric: of a training, by which they are ranked.
        count: number of fresh seeds.
        run_trials: trains trials over seeds.

    Returns:
        The candidates, the best first; those with a seed that failed are left out.

    Raises:
        QuorumError: where a candidate's settings were not kept, or it cannot be trained here.
    """
    first = 1 + max(seed for candidate in chosen for seed in seeds_of(candidate.trial))
    seeds = tuple(range(first, first + count))
    requests = [
        TrialRequest(STAGE, place, {"candidate": place + 1}, config_of(store, one.trial).replace(seed=0))
        for place, one in enumerate(chosen)
    ]
    results = run_trials(requests, seeds)
    confirmed = [
        dataclasses.replace(candidate, fresh=result)
        for candidate, result in zip(chosen, results, strict=True)
        if not result.failed
    ]
    sign = 1 if metric_names.is_loss(metric) else -1
    return sorted(confirmed, key=lambda one: sign * _mean(one, metric))


def _mean(candidate: Candidate, metric: str) -> float:
    mean = None if candidate.fresh is None else candidate.fresh.of(metric).mean
    assert mean is not None, "a trial without a failed seed has a mean"
    return mean
