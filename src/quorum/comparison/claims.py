"""Whether our runs bear out what a report concludes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from quorum.comparison.trainings import StoredTrainings
from quorum.inference import CONFIDENCE, Interval, difference_interval, mean_interval, paired_interval
from quorum.metric_names import VAL_ACCURACY
from quorum.study.claims import Check, Claim, Gain, RowKey, System, row_key
from quorum.study.model import PublishedRow, Study
from quorum.summary import summarize
from quorum.voting.seed_votes import VOTE, SeedVotes

HOLDS, DOES_NOT_HOLD, UNDECIDED, NOT_RUN = "holds", "does not hold", "undecided", "not run"
OUTCOMES = (HOLDS, DOES_NOT_HOLD, UNDECIDED, NOT_RUN)
PAIRED = 3  # seeds that two systems have in common for their difference to be taken seed by seed

CLAIM_RULE = (
    "A claim holds if all of its effects do: the 95% interval of each (differences paired by seed, Welch where fewer "
    "than three seeds are common) lies where the claim says. It does not hold if an interval lies wholly elsewhere, "
    "and is undecided otherwise."
)


@dataclass(frozen=True)
class Known:
    """What is stored of a published row: its trainings, or its vote.

    Attributes:
        study: that has the row; says which epoch is meant.
        row: the published row.
        trainings: ours.
        vote: ours, where the row is a vote's.
    """

    study: Study
    row: PublishedRow
    trainings: StoredTrainings = field(default_factory=StoredTrainings)
    vote: SeedVotes | None = None


@dataclass(frozen=True)
class Effect:
    """One check of a claim.

    Attributes:
        says: what it is and what it has to be, on one line.
        value: of the effect; None where it cannot be computed.
        interval: at 95%.
        n: seeds that it rests on.
        outcome: one of OUTCOMES.
    """

    says: str
    value: float | None
    interval: Interval | None
    n: int
    outcome: str


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with the effects that it stands or falls with."""

    claim: Claim
    effects: tuple[Effect, ...]

    @property
    def outcome(self) -> str:
        """One of OUTCOMES."""
        found = [effect.outcome for effect in self.effects]
        if not found:
            return NOT_RUN
        return next((outcome for outcome in (DOES_NOT_HOLD, NOT_RUN, UNDECIDED) if outcome in found), HOLDS)

    def data(self) -> dict[str, Any]:
        """It as a JSON value."""
        return {
            "id": self.claim.id,
            "says": self.claim.says,
            "outcome": self.outcome,
            "effects": [
                {
                    "says": effect.says,
                    "value": effect.value,
                    "interval": _ends(effect.interval),
                    "n": effect.n,
                    "outcome": effect.outcome,
                }
                for effect in self.effects
            ],
        }


Histories = Callable[[str], pd.DataFrame]  # the epochs of a run by its id


def judge(claims: Sequence[Claim], known: Mapping[RowKey, Known], histories: Histories) -> list[JudgedClaim]:
    """Judge claims by what is stored.

    Args:
        claims: of a report.
        known: what is stored of each published row.
        histories: reads the epochs of a training's run.
    """
    return [JudgedClaim(claim, tuple(_effect(check, known, histories) for check in claim.checks)) for claim in claims]


def table(judged: Sequence[JudgedClaim]) -> pd.DataFrame:
    """Claims as a table of text, a line for each effect."""
    lines = []
    for one in judged:
        first = {"claim": one.claim.id, "says": one.claim.says, "verdict": one.outcome}
        for effect in one.effects or (Effect("no run of ours answers it", None, None, 0, NOT_RUN),):
            value = "–" if effect.value is None else f"{effect.value:+.4f}"
            ends = "–" if effect.interval is None else f"[{effect.interval.low:+.4f}, {effect.interval.high:+.4f}]"
            lines.append({**first, "check": effect.says, "effect": value, "95% interval": ends, "n": str(effect.n)})
            lines[-1]["outcome"] = effect.outcome
            first = {"claim": "", "says": "", "verdict": ""}
    return pd.DataFrame(lines)


def _effect(check: Check, known: Mapping[RowKey, Known], histories: Histories) -> Effect:
    says = describe(check)
    systems = [known.get(row_key(system.id, system.at)) for system in check.systems]
    found = [system for system in systems if system is not None]
    if len(found) < len(systems):
        return Effect(says, None, None, 0, NOT_RUN)
    if check.fails is not None:
        return _fails(says, found[0])
    if check.difference is not None:
        one, other = found
        value, interval, n = _difference(one, other, check.metric)
    else:
        values = _values(check, found[0], histories)
        value, interval, n = summarize(values).mean, paired_interval(values), len(values)
    if value is None:
        return Effect(says, None, None, 0, NOT_RUN)
    return Effect(says, value, interval if math.isfinite(interval.low) else None, n, _outcome(check, interval))


def _outcome(check: Check, interval: Interval) -> str:
    low, high = _claimed(check)
    if low <= interval.low and interval.high <= high:
        return HOLDS
    return DOES_NOT_HOLD if interval.high < low or interval.low > high else UNDECIDED


def _claimed(check: Check) -> tuple[float, float]:
    if check.within is not None:
        return -check.within, check.within
    return (-math.inf if check.above is None else check.above), (math.inf if check.below is None else check.below)


def _difference(one: Known, other: Known, metric: str) -> tuple[float | None, Interval, int]:
    ours, theirs = (known.trainings.by_seed(known.study.metric_of(metric)) for known in (one, other))
    common = sorted(ours.keys() & theirs.keys())
    if len(common) >= PAIRED:
        paired = [ours[seed] - theirs[seed] for seed in common]
        return summarize(paired).mean, paired_interval(paired), len(common)
    a, b = summarize(ours.values()), summarize(theirs.values())
    value = None if a.mean is None or b.mean is None else a.mean - b.mean
    interval = difference_interval(a, b, CONFIDENCE) if b.std is not None else mean_interval(summarize([]))
    return value, interval, min(a.n, b.n)


def _values(check: Check, known: Known, histories: Histories) -> list[float]:
    """The effect of each seed."""
    stored, study = known.trainings, known.study
    if check.vote_minus_best is not None:
        if known.vote is None:
            return []
        frame = known.vote.accuracies[known.vote.accuracies["split"] == "val"]
        return [float(value) for value in frame[VOTE] - frame[known.vote.members[0]]]
    if check.gain is not None:
        return [_gain(histories(seed.run_id), check.gain) for seed in stored.finished.values()]
    if check.test_minus_validation is not None:
        val, test = stored.by_seed(study.metric), stored.by_seed(study.test_metric)
        return [test[seed] - val[seed] for seed in val.keys() & test.keys()]
    return stored.values(study.metric_of(check.metric))


def _gain(history: pd.DataFrame, gain: Gain) -> float:
    later = history["epoch"] > gain.epoch
    return float(np.max(history.loc[later, VAL_ACCURACY]) - np.max(history.loc[~later, VAL_ACCURACY]))


def _fails(says: str, known: Known) -> Effect:
    """Every seed has to have diverged, or not to have learned."""
    stored, bound = known.trainings, known.row.fails_below
    learned = [value for value in stored.values(known.study.metric) if bound is None or value >= bound]
    seeds = len(stored.finished) + len(stored.failed)
    if not seeds:
        return Effect(says, None, None, 0, NOT_RUN)
    outcome = DOES_NOT_HOLD if len(learned) == seeds else UNDECIDED if learned or seeds < PAIRED else HOLDS
    return Effect(says, 1 - len(learned) / seeds, None, seeds, outcome)


def describe(check: Check) -> str:
    """A check on one line, such as `scratch-simple above 0.8`."""
    names = [_name(system) for system in check.systems]
    if check.fails is not None:
        return f"{names[0]} fails"
    if check.difference is not None:
        text = " − ".join(names)
    elif check.gain is not None:
        text = f"{names[0]}, gain after epoch {check.gain.epoch}"
    elif check.test_minus_validation is not None:
        text = f"{names[0]}, test − validation"
    elif check.vote_minus_best is not None:
        text = f"{names[0]} − its best member"
    else:
        text = names[0]
    if check.metric != Check.model_fields["metric"].default:
        text = f"{text}, {check.metric.replace('_', ' ')}"
    bound = next(name for name in ("above", "below", "within") if getattr(check, name) is not None)
    return f"{text} {bound} {'± ' if bound == 'within' else ''}{getattr(check, bound):g}"


def _name(system: System) -> str:
    at = ", ".join(f"{name}={value}" for name, value in system.at.items())
    return f"{system.id} at {at}" if at else system.id


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
