"""Whether the new best trial may replace the champion: it may, unless it is shown to be worse."""

from __future__ import annotations

from collections.abc import Mapping

from quorum import metric_names
from quorum.errors import RegistryError
from quorum.inference import Interval, paired_interval
from quorum.promotion.recorded import seeds_of
from quorum.summary import Summary, summarize
from quorum.tracking.queries import get_record, get_training, predictions
from quorum.tracking.records import TrialRecord
from quorum.tracking.registry import Gate
from quorum.tracking.store import TrackingStore
from quorum.tracking.version_record import VersionRecord

ENOUGH = 3  # seeds that both have, for them to be paired by seed


def gate(store: TrackingStore, champion: VersionRecord, challenger: VersionRecord, metric: str) -> Gate:
    """Decide whether a challenger may replace the champion. It may, unless the 95% interval of their paired difference
    lies below zero.

    Paired by the fresh seeds that both have, else by any seeds that both have, if there are three; else by the
    validation images that the registered networks of both were right on. On other data nothing can be paired, and the
    challenger passes.

    Args:
        store: the tracking store.
        champion, challenger: versions of one registered model.
        metric: of a training, by which trials are ranked.
    """
    by, differences = _paired(store, champion, challenger, metric)
    found, interval = summarize(differences), paired_interval(differences)
    known = found.std is not None
    return Gate(
        champion=champion.version,
        challenger=challenger.version,
        passed=not interval.high < 0,
        by=by,
        n=found.n,
        difference=found.mean,
        low=interval.low if known else None,
        high=interval.high if known else None,
        reason=_reason(champion, challenger, by, found, interval),
    )


def _reason(champion: VersionRecord, challenger: VersionRecord, by: str, found: Summary, interval: Interval) -> str:
    names = f"version {challenger.version} against the champion, version {champion.version}"
    if not found.n:
        return f"{names}: nothing to compare them by, so it passes"
    worse = "is worse, so the champion stays (gate=off lets it go)"
    verdict = worse if interval.high < 0 else "is not shown to be worse, so it passes"
    ends = f"95% interval {interval.low:+.4f} to {interval.high:+.4f}"
    return f"{names}: {found.mean:+.4f} ({ends}, paired by {found.n} {by}s); it {verdict}"


def _paired(
    store: TrackingStore, champion: VersionRecord, challenger: VersionRecord, metric: str
) -> tuple[str, list[float]]:
    """What was paired, and the differences challenger - champion, better when higher."""
    if champion.data_digest != challenger.data_digest:
        return "nothing", []
    sign = -1 if metric_names.is_loss(metric) else 1
    for fresh in (True, False):
        ours, theirs = (_by_seed(store, version, metric, fresh=fresh) for version in (challenger, champion))
        common = sorted(ours.keys() & theirs.keys())
        if len(common) >= ENOUGH:
            return "seed", [sign * (ours[seed] - theirs[seed]) for seed in common]
    try:
        right = [_right(store, version.run_id) for version in (challenger, champion)]
    except RegistryError:
        return "nothing", []
    files = right[0].keys() & right[1].keys()
    return ("image" if files else "nothing"), [float(right[0][file]) - float(right[1][file]) for file in sorted(files)]


def _by_seed(store: TrackingStore, version: VersionRecord, metric: str, *, fresh: bool) -> Mapping[int, float]:
    """A metric by seed of a version's trial: of its fresh seeds, or of those by which it was chosen."""
    run_id = version.confirmed_run if fresh else version.trial_run_id
    if not run_id:
        return {}
    seeds = seeds_of(get_record(store, TrialRecord, run_id))
    values = {seed: get_training(store, run).metrics.get(metric) for seed, run in seeds.items()}
    return {seed: value for seed, value in values.items() if value is not None}


def _right(store: TrackingStore, run_id: str) -> Mapping[str, bool]:
    """Whether a training was right on each validation image, by file."""
    frame = predictions(store, run_id)
    frame = frame[frame["split"] == "val"]
    return dict(zip(frame["file"], frame["true"] == frame["predicted"], strict=True))
