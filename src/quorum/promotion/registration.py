"""Candidates as versions of the registered model, and the aliases that point at them."""

from __future__ import annotations

from collections.abc import Sequence

from quorum import metric_names
from quorum.console import say
from quorum.promotion.candidates import Candidate
from quorum.promotion.gate import gate
from quorum.promotion.recorded import seeds_of, whole_number
from quorum.rounding import rounded
from quorum.tracking import registry
from quorum.tracking.class_names import check_registered_classes, classes_of_training
from quorum.tracking.registry import Promotion
from quorum.tracking.store import TrackingStore
from quorum.tracking.version_record import VersionRecord


def promote_candidates(
    store: TrackingStore, name: str, description: str, chosen: Sequence[Candidate], gated_by: str | None
) -> Promotion:
    """Register candidates, ask the gate whether the best of them may replace the champion, and point the aliases.

    Args:
        store: the tracking store.
        name: of the registered model.
        description: of it.
        chosen: the candidates, best first, with weights.
        gated_by: the metric of a training that the gate compares by; None for no gate.

    Raises:
        RegistryError: for a candidate whose classes are not those of the versions before.
    """
    best = chosen[0].trial  # all of them were trained on the same data
    if (classes := classes_of_training(store, best.best_seed_run or best.run_id)) is not None:
        check_registered_classes(store, name, classes)
    registry.undo_interrupted(store, name)
    versions = [registry.register_trial(store, _version(name, candidate)) for candidate in chosen]
    champion, decision = registry.champion(store, name), None
    if gated_by is not None and champion is not None and champion.version != versions[0].version:
        decision = gate(store, champion, versions[0], gated_by)
        say(decision.reason)
        if not decision.passed:
            versions = [champion, *(one for one in versions if one.version != champion.version)][: len(versions)]
    after = {f"best-{place}": version.version for place, version in enumerate(versions, 1)}
    return registry.point_aliases(store, name, description, after, decision)


def _version(name: str, candidate: Candidate) -> VersionRecord:
    """The version that a candidate's best seed would be."""
    trial, fresh = candidate.trial, candidate.fresh
    confirmed = fresh.of(metric_names.BEST_VAL_ACCURACY) if fresh else None
    accuracy = metric_names.trial_metric(metric_names.BEST_VAL_ACCURACY)
    return VersionRecord(
        name=name,
        version="",
        model_id=trial.model_id,
        description=_description(candidate),
        mean=trial.metrics[accuracy + metric_names.MEAN],
        std=trial.metrics.get(accuracy + metric_names.STD),
        n=int(trial.metrics[metric_names.TRIAL_N]),
        confirmed=confirmed.mean if confirmed else None,
        confirmed_std=confirmed.std if confirmed else None,
        confirmed_n=confirmed.n if confirmed else 0,
        confirmed_run=fresh.run_id if fresh else "",
        run_id=trial.best_seed_run or trial.run_id,
        trial_run_id=trial.run_id,
        data_digest=trial.data_digest,
        model=trial.params.get("model", ""),
    )


def _description(candidate: Candidate) -> str:
    """A candidate on one line: network, settings, mean ± std of the validation accuracy, that of fresh seeds, test
    accuracy, and the seed whose weights are registered."""
    trial, fresh = candidate.trial, candidate.fresh
    params, accuracy = trial.params, metric_names.trial_metric(metric_names.BEST_VAL_ACCURACY)
    epochs = whole_number(params["epochs"])
    settings = f"lr {rounded(float(params['lr']))}, {epochs} epoch{'s' if epochs > 1 else ''}"
    std, n = trial.metrics.get(accuracy + metric_names.STD), int(trial.metrics[metric_names.TRIAL_N])
    mean = f"{trial.metrics[accuracy + metric_names.MEAN]:.3f}" + (f" ± {std:.3f}" if std is not None else "")
    confirmed = fresh.of(metric_names.BEST_VAL_ACCURACY).mean if fresh else None
    test = trial.metrics.get(metric_names.trial_metric(metric_names.TEST_ACCURACY) + metric_names.MEAN)
    seed = next((seed for seed, run_id in seeds_of(trial).items() if run_id == trial.best_seed_run), None)
    parts = [
        f"{params['model']}, {settings}: {mean}, n = {n}",
        "" if confirmed is None else f"confirmed {confirmed:.3f}",
        "" if test is None else f"test {test:.3f}",
        "" if seed is None else f"seed {seed} is registered",
    ]
    return "; ".join(part for part in parts if part)
