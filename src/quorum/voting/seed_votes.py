"""The vote of several trials, seed by seed, by what their trainings predicted. Pure functions of data frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quorum.data.images import Pixels
from quorum.data.pixel_store import PixelStore
from quorum.errors import StudyError
from quorum.inference import mcnemar, paired_interval, plus_minus
from quorum.summary import Summary, summarize
from quorum.voting.vote import majority_vote

PICTURES = 24  # images that are shown
SPLITS = ("val", "test")
VOTE, BEST = "vote", "best"


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
        answers: a row for each seed and test image: `seed`, `file`, `true`, `best` (the best voter's class) and `vote`.
    """

    members: tuple[str, ...]
    accuracies: pd.DataFrame
    answers: pd.DataFrame

    @property
    def names(self) -> tuple[str, ...]:
        """The voters, best first, and the vote."""
        return (*self.members, VOTE)

    def of(self, name: str, split: str) -> Summary:
        """Accuracy of a voter, or of the vote, on a split, over the seeds."""
        return summarize(list(self.accuracies.loc[self.accuracies["split"] == split, name]))

    @property
    def test_right(self) -> NDArray[np.bool_]:
        """[seeds, test images], whether the vote was right."""
        right = self.answers[VOTE] == self.answers["true"]
        return np.stack([of_seed.to_numpy() for _, of_seed in right.groupby(self.answers["seed"])])

    def against_best(self) -> pd.DataFrame:
        """The vote against its best member on the test images, a row for each seed: how many images the vote or the
        best member alone has right, p of McNemar's exact test, and the difference of their accuracies."""
        rows = []
        for seed, frame in self.answers.groupby("seed"):
            vote, best = ((frame[name] == frame["true"]).to_numpy() for name in (VOTE, BEST))
            test = mcnemar(vote, best)
            counts = {"vote alone right": test.only_first, "best alone right": test.only_second}
            rows.append({"seed": seed, **counts, "p": test.p, "difference": float(vote.mean() - best.mean())})
        return pd.DataFrame(rows)

    def difference(self) -> str:
        """The vote's test accuracy less its best member's, paired over the seeds, on one line."""
        differences = list(self.against_best()["difference"])
        found, interval = summarize(differences), paired_interval(differences)
        ends = f"95% interval {interval.low:+.4f} to {interval.high:+.4f}" if found.std is not None else "one seed"
        return f"vote − {self.members[0]} on the test images, paired over {found.n} seeds: {found.mean:+.4f} ({ends})"

    def discordant(self) -> pd.DataFrame:
        """The rows of `answers` of which either the vote or the best member alone is right."""
        right = self.answers[[VOTE, BEST]].eq(self.answers["true"], axis=0)
        return self.answers[right[VOTE] != right[BEST]]

    def pictures(self, pixels: PixelStore) -> tuple[list[Pixels], pd.DataFrame]:
        """Discordant images of the first seed that the pixel store has, in turn from all classes, PICTURES of them at
        most: their pixels, and `true`, `vote` and `best`, a row for each. A file may be gone since the trainings
        predicted it."""
        found, places = self.discordant(), {file: place for place, file in enumerate(pixels.files)}
        there = found[(found["seed"] == self.answers["seed"].min()) & found["file"].isin(list(places))]
        shown = in_turn(there, "true").head(PICTURES)
        return [pixels.image(places[file]) for file in shown["file"]], shown[["true", VOTE, BEST]]

    def table(self, published: Mapping[str, float | None]) -> pd.DataFrame:
        """Voters and vote with mean, std and half the 95% interval over the seeds, and the published accuracies by name
        if there are any."""
        lines = []
        for name in self.names:
            line: dict[str, Any] = {"": name}
            for split in SPLITS:
                found = self.of(name, split)
                values = {"mean": found.mean, "std": found.std, "± 95%": plus_minus(found)}
                line |= {f"{split} {what}": value for what, value in values.items()}
            lines.append({**line, "n": found.n, "published": published.get(name)})
        table = pd.DataFrame(lines)
        return table.drop(columns="published") if table["published"].isna().all() else table


def in_turn(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """A frame's rows in another order: the first of each value of a column, then the second of each, and so on."""
    return frame.iloc[np.argsort(frame.groupby(column).cumcount().to_numpy(), kind="stable")]


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
    answered: list[pd.DataFrame] = []
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
        shown = pd.DataFrame(
            {"seed": seed, "file": first["file"], "true": first["true"], BEST: first["predicted"], VOTE: decided}
        )
        answered.append(shown[first["split"] == "test"])
    if not rows:
        return None
    members = tuple(voter.name for voter in ranked)
    return SeedVotes(members, pd.DataFrame(rows), pd.concat(answered, ignore_index=True))


def _decide(frames: Sequence[pd.DataFrame], seed: int, tie: int | None) -> pd.Series[str]:
    """The class that each image is given by the vote of some trainings, best first."""
    images = ["split", "file", "true"]
    first = frames[0]
    if any(not frame[images].equals(first[images]) for frame in frames):
        raise StudyError(f"vote: its members of seed {seed} were trained on different images")
    votes, classes = pd.factorize(pd.concat(frame["predicted"] for frame in frames))
    return pd.Series(classes.to_numpy()[majority_vote(votes.reshape(len(frames), len(first)), tie)])
