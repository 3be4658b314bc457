"""The vote of several trials, seed by seed, by what their trainings predicted. Pure functions of data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quorum.errors import StudyError
from quorum.summary import Summary, summarize
from quorum.voting.vote import majority_vote

SPLITS = ("val", "test")
VOTE = "vote"


@dataclass(frozen=True)
class VotingTrial:
    """A trial that votes.

    Attributes:
        name: unique in the vote.
        mean: its mean validation accuracy, by which voters are ranked.
        predictions: by seed, frames with split, file, true and predicted, a row for each image.
    """

    name: str
    mean: float
    predictions: Mapping[int, pd.DataFrame]


@dataclass(frozen=True)
class SeedVotes:
    """What voters and vote score.

    Attributes:
        members: the voters' names, best first.
        accuracies: a row for each seed and split: `seed`, `split`, a column for each voter, and `vote`; fractions.
        labels, best, decided: class names of the first seed's test images: the true ones, the best voter's, the vote's.
    """

    members: tuple[str, ...]
    accuracies: pd.DataFrame
    labels: NDArray[np.object_]
    best: NDArray[np.object_]
    decided: NDArray[np.object_]

    @property
    def names(self) -> tuple[str, ...]:
        """The voters, best first, and the vote."""
        return (*self.members, VOTE)

    def of(self, name: str, split: str) -> Summary:
        """Accuracy of a voter, or of the vote, on a split, over the seeds."""
        return summarize(list(self.accuracies.loc[self.accuracies["split"] == split, name]))

    def table(self, published: Mapping[str, float | None]) -> pd.DataFrame:
        """Voters and vote with mean and std over the seeds, and the published accuracies by name if there are any."""
        lines = []
        for name in self.names:
            line: dict[str, Any] = {"": name}
            for split in SPLITS:
                found = self.of(name, split)
                line |= {f"{split} mean": found.mean, f"{split} std": found.std}
            lines.append({**line, "n": found.n, "published": published.get(name)})
        table = pd.DataFrame(lines)
        return table.drop(columns="published") if table["published"].isna().all() else table


def vote_by_seed(voters: Sequence[VotingTrial], tie: str | None = None) -> SeedVotes | None:
    """Let trials vote, seed by seed.

    Args:
        voters: the trials.
        tie: name of the one that decides where several classes have the most votes; by default the best of those who
            voted for one of them.

    Returns:
        The vote over the seeds that all of them have; None where there is no such seed.

    Raises:
        StudyError: where a training's predictions are of other images than the others'.
    """
    ranked = sorted(voters, key=lambda voter: -voter.mean)
    seeds = sorted(set.intersection(*(set(voter.predictions) for voter in ranked)))
    rows: list[dict[str, Any]] = []
    shown: list[NDArray[np.object_]] = []
    for seed in seeds:
        frames = [voter.predictions[seed] for voter in ranked]
        names = [voter.name for voter in ranked]
        first, decided = frames[0], _decide(frames, seed, None if tie is None else names.index(tie))
        answers = {voter.name: frame["predicted"] for voter, frame in zip(ranked, frames, strict=True)}
        answers[VOTE] = decided
        for split in SPLITS:
            of_split = first["split"] == split
            right = {name: float((answer == first["true"])[of_split].mean()) for name, answer in answers.items()}
            rows.append({"seed": seed, "split": split, **right})
        if not shown:
            test = first["split"] == "test"
            shown = [column[test].to_numpy() for column in (first["true"], first["predicted"], decided)]
    return SeedVotes(tuple(voter.name for voter in ranked), pd.DataFrame(rows), *shown) if rows else None


def _decide(frames: Sequence[pd.DataFrame], seed: int, tie: int | None) -> pd.Series[str]:
    """The class that each image is given by the vote of some trainings, best first."""
    images = ["split", "file", "true"]
    first = frames[0]
    if any(not frame[images].equals(first[images]) for frame in frames):
        raise StudyError(f"vote: its members of seed {seed} were trained on different images")
    votes, classes = pd.factorize(pd.concat(frame["predicted"] for frame in frames))
    return pd.Series(classes.to_numpy()[majority_vote(votes.reshape(len(frames), len(first)), tie)])
