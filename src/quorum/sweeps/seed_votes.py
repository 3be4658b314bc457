"""The vote that a study ends in: by the best trials of its members' stages, seed by seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pandas as pd

from quorum.data.pixel_store import PixelStore
from quorum.metric_names import vote_metric
from quorum.reporting import figures, tables
from quorum.study.model import Study
from quorum.study.results import StageResult
from quorum.temporary import temporary_folder
from quorum.tracking.queries import predictions
from quorum.tracking.run_log import RunLog
from quorum.tracking.store import TrackingStore
from quorum.voting.seed_votes import SPLITS, VOTE, SeedVotes, VotingTrial, vote_by_seed
from quorum.voting.vote import VOTE_RULE

PICTURES_TITLE = "Test images of which either the vote or its best member alone is right, first seed"


def vote_of_study(store: TrackingStore, study: Study, results: Sequence[StageResult]) -> SeedVotes | None:
    """The vote that a study asks for, by the best trials of its members' stages; None if it asks for none."""
    if study.vote is None:
        return None
    voters = []
    for result in results:
        if result.stage.name in study.vote.members:
            assert result.best is not None
            answers = {seed.seed: predictions(store, seed.run_id) for seed in result.best.seeds}
            mean = result.best.of(study.metric).mean or 0.0
            voters.append(VotingTrial(result.stage.name, mean, answers))
    return vote_by_seed(voters, study.vote.tie)


def vote_table(study: Study, vote: SeedVotes) -> pd.DataFrame:
    """Members and vote with mean and std over the seeds, beside what was published."""
    assert study.vote is not None
    rows = {stage.name: stage.published for stage in study.stages} | {VOTE: study.vote.published}
    published = {
        name: next((row.val_accuracy for row in rows[name] if row.val_accuracy is not None), None) for name in rows
    }
    return vote.table(published)


def vote_data(vote: SeedVotes) -> dict[str, Any]:
    """The vote as a JSON value: mean, std and n of members and vote on each split."""
    data: dict[str, Any] = {"members": list(vote.members)}
    for split in SPLITS:
        data[split] = {name: dataclasses.asdict(vote.of(name, split)) for name in vote.names}
    return data


def log_vote(study: Study, vote: SeedVotes, pixels: PixelStore, log: RunLog) -> None:
    """Log the vote in the sweep's run: its figures, its table, its confusion matrices, and its audit: McNemar's test
    and the images of which either it or its best member alone is right, those of the first seed with their pictures."""
    table, against, discordant = vote_table(study, vote), vote.against_best(), vote.discordant()
    with temporary_folder() as folder:
        vote.accuracies.to_csv(folder / "seeds.csv", index=False)
        table.to_csv(folder / "vote.csv", index=False)
        (folder / "vote.md").write_text(f"{tables.markdown(table)}\n\n{VOTE_RULE}\n")
        against.to_csv(folder / "against_best.csv", index=False)
        discordant.to_csv(folder / "discordant.csv", index=False)
        confusions = tables.vote_confusions(vote.members[0], vote.answers)
        figures.save(figures.confusion(confusions), folder / "confusion_matrices.png")
        images, captions = vote.pictures(pixels)
        if images:
            figures.save(figures.pictures(images, captions, PICTURES_TITLE), folder / "discordant.png")
        log.artifacts(folder, "vote")
    for split in SPLITS:
        found, name = vote.of(VOTE, split), vote_metric(split)
        log.metrics({f"{name}/mean": found.mean, f"{name}/std": found.std, f"{name}/n": found.n})
    for row in against.to_dict("records"):
        log.metrics({"vote/mcnemar_p": row["p"]}, step=row["seed"])
