"""The vote of a study: its members' predictions, put to the vote seed by seed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quorum.ensemble.vote import RULE, majority_vote
from quorum.errors import StudyError
from quorum.report import figures, tables
from quorum.study.model import Study
from quorum.study.results import VAL_ACCURACY, StageResult, summarize
from quorum.tracking.queries import artifact
from quorum.tracking.runs import RunLog
from quorum.tracking.store import Store
from quorum.training.job import PREDICTIONS

__all__ = ["RULE", "Member", "SeedVotes", "log_vote", "vote_data", "vote_of_seeds", "vote_of_study", "vote_table"]

SPLITS = ("val", "test")
VOTE = "vote"


@dataclass(frozen=True)
class Member:
    """A configuration that votes.

    Attributes:
        name: unique in the vote.
        mean: its mean validation accuracy, by which members are ranked.
        runs: ids of its trainings by seed.
    """

    name: str
    mean: float
    runs: Mapping[int, str]


@dataclass(frozen=True)
class SeedVotes:
    """What members and vote score.

    Attributes:
        members: their names, best first.
        accuracies: a row for each seed and split: `seed`, `split`, a column for each member, and `vote`; fractions.
        labels, best, decided: class names of the first seed's test images: the true ones, the best member's, the
            vote's.
    """

    members: tuple[str, ...]
    accuracies: pd.DataFrame
    labels: NDArray[np.object_]
    best: NDArray[np.object_]
    decided: NDArray[np.object_]


def vote_of_seeds(store: Store, members: Sequence[Member]) -> SeedVotes | None:
    """Let configurations vote, seed by seed, by what their trainings predicted for each image.

    Returns:
        The vote over the seeds that all members have; None where there is no such seed.

    Raises:
        StudyError: where a training's predictions are gone, or are of other images than the others'.
    """
    ranked = sorted(members, key=lambda member: -member.mean)
    seeds = sorted(set.intersection(*(set(member.runs) for member in ranked)))
    rows: list[dict[str, Any]] = []
    shown: list[NDArray[np.object_]] = []
    for seed in seeds:
        frames = [_predictions(store, member.runs[seed]) for member in ranked]
        first = frames[0]
        if any(not frame[["split", "file", "true"]].equals(first[["split", "file", "true"]]) for frame in frames):
            raise StudyError(f"vote: its members of seed {seed} were trained on different images")
        votes, classes = pd.factorize(pd.concat(frame["predicted"] for frame in frames))
        decided = classes.to_numpy()[majority_vote(votes.reshape(len(frames), len(first)))]
        answers = {
            **{member.name: frame["predicted"] for member, frame in zip(ranked, frames, strict=True)},
            VOTE: decided,
        }
        for split in SPLITS:
            of_split = first["split"] == split
            right = {name: float((answer == first["true"])[of_split].mean()) for name, answer in answers.items()}
            rows.append({"seed": seed, "split": split, **right})
        if not shown:
            test = first["split"] == "test"
            shown = [column[test].to_numpy() for column in (first["true"], first["predicted"], pd.Series(decided))]
    if not rows:
        return None
    return SeedVotes(tuple(member.name for member in ranked), pd.DataFrame(rows), *shown)


def vote_of_study(store: Store, study: Study, results: Sequence[StageResult]) -> SeedVotes | None:
    """The vote that a study asks for, by the best trials of its members' stages; None if it asks for none."""
    if study.vote is None:
        return None
    members = []
    for result in results:
        if result.stage.name in study.vote.members:
            assert result.best is not None
            runs = {seed.seed: seed.run_id for seed in result.best.seeds}
            members.append(Member(result.stage.name, result.best.of(VAL_ACCURACY).mean or 0.0, runs))
    return vote_of_seeds(store, members)


def vote_table(study: Study, vote: SeedVotes) -> pd.DataFrame:
    """Members and vote with mean and std over the seeds, beside what was published."""
    assert study.vote is not None
    rows = {stage.name: stage.published for stage in study.stages} | {VOTE: study.vote.published}
    published = {
        name: next((row.val_accuracy for row in rows[name] if row.val_accuracy is not None), None) for name in rows
    }
    return summary(vote, published)


def summary(vote: SeedVotes, published: Mapping[str, float | None]) -> pd.DataFrame:
    """Members and vote with mean and std over the seeds, and the published accuracies by name."""
    lines = []
    for name in (*vote.members, VOTE):
        line: dict[str, Any] = {"": name}
        for split in SPLITS:
            found = summarize(list(vote.accuracies.loc[vote.accuracies["split"] == split, name]))
            line |= {f"{split} mean": found.mean, f"{split} std": found.std}
        lines.append({**line, "n": found.n, "published": published.get(name)})
    table = pd.DataFrame(lines)
    return table.drop(columns="published") if table["published"].isna().all() else table


def confusions(vote: SeedVotes) -> dict[str, pd.DataFrame]:
    """Confusion matrices of the best member and of the vote on the first seed's test images, by title."""
    classes = sorted(set(vote.labels) | set(vote.best) | set(vote.decided))
    code = {name: number for number, name in enumerate(classes)}
    labels, best, decided = (
        np.array([code[name] for name in names], dtype=np.int64) for names in (vote.labels, vote.best, vote.decided)
    )
    return {
        f"{vote.members[0]}: {(best == labels).mean():.4f}": tables.confusion_table(labels, best, classes),
        f"vote: {(decided == labels).mean():.4f}": tables.confusion_table(labels, decided, classes),
    }


def vote_data(vote: SeedVotes) -> dict[str, Any]:
    """The vote as a JSON value: mean, std and n of members and vote on each split."""
    data: dict[str, Any] = {"members": list(vote.members)}
    for split in SPLITS:
        of_split = vote.accuracies[vote.accuracies["split"] == split]
        spreads = {name: summarize(list(of_split[name])) for name in (*vote.members, VOTE)}
        data[split] = {name: {"mean": s.mean, "std": s.std, "n": s.n} for name, s in spreads.items()}
    return data


def log_vote(study: Study, vote: SeedVotes, log: RunLog) -> None:
    """Write the vote into the sweep's run: its figures, its table and its confusion matrices."""
    table = vote_table(study, vote)
    with tempfile.TemporaryDirectory(prefix="quorum-") as temporary:
        folder = Path(temporary)
        vote.accuracies.to_csv(folder / "seeds.csv", index=False)
        table.to_csv(folder / "vote.csv", index=False)
        (folder / "vote.md").write_text(f"{tables.markdown(table)}\n\n{RULE}\n")
        figures.save(figures.confusion(confusions(vote)), folder / "confusion_matrices.png")
        log.artifacts(folder, "vote")
    for split in SPLITS:
        found = summarize(list(vote.accuracies.loc[vote.accuracies["split"] == split, VOTE]))
        name = f"vote/{split}_accuracy"
        log.metrics({f"{name}/mean": found.mean, f"{name}/std": found.std, f"{name}/n": found.n})


def _predictions(store: Store, run_id: str) -> pd.DataFrame:
    file = artifact(store, run_id, PREDICTIONS)
    if file is None:
        raise StudyError(f"vote: run {run_id} has no {PREDICTIONS}; train it again with reuse=false")
    return pd.read_csv(file, dtype={"split": str, "file": str, "true": str, "predicted": str}, keep_default_na=False)
