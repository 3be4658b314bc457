"""Trials vote seed by seed, by what their trainings predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quorum.data import load_catalogue
from quorum.data.pixel_store import open_store
from quorum.errors import StudyError
from quorum.voting.seed_votes import VotingTrial, in_turn, vote_by_seed

TRUE = ["x", "y", "z", "x"]


def answers(predicted: str, files: str = "abcd") -> pd.DataFrame:
    return pd.DataFrame(
        {"split": ["val", "test", "test", "test"], "file": list(files), "true": TRUE, "predicted": list(predicted)}
    )


def test_the_best_decides_where_all_differ_and_two_outvote_it() -> None:
    voters = [
        VotingTrial("second", 0.6, {0: answers("xzzx"), 1: answers("xyzx")}),
        VotingTrial("best", 0.7, {0: answers("xyxy"), 1: answers("xyzx")}),
        VotingTrial("third", 0.5, {0: answers("xxzx"), 2: answers("xyzx"), 1: answers("zzzz")}),
    ]
    vote = vote_by_seed(voters)
    assert vote is not None
    assert vote.members == ("best", "second", "third")
    assert list(vote.accuracies["seed"]) == [0, 0, 1, 1]  # seed 2 is not everybody's
    assert list(vote.answers.loc[vote.answers["seed"] == 0, "vote"]) == ["y", "z", "x"]
    assert vote.of("vote", "test").mean == pytest.approx(1.0)
    assert vote.of("best", "test").mean == pytest.approx((1 / 3 + 1) / 2)
    table = vote.table({"best": 0.71})
    assert list(table[""]) == ["best", "second", "third", "vote"]
    assert table["published"].count() == 1
    assert "published" not in vote.table({})


def test_the_vote_against_its_best_member_by_seed_and_over_seeds() -> None:
    wrong = {seed: answers("xyxy") for seed in (0, 1)}
    right = {seed: answers("xyzx") for seed in (0, 1)}
    vote = vote_by_seed([VotingTrial("best", 0.9, wrong), *(VotingTrial(n, 0.5, right) for n in ("b", "c"))])
    assert vote is not None
    against = vote.against_best()
    assert list(against["vote alone right"]) == [2, 2]
    assert list(against["best alone right"]) == [0, 0]
    assert list(against["p"]) == [0.5, 0.5]
    assert list(against["difference"]) == pytest.approx([2 / 3, 2 / 3])
    assert vote.difference() == (
        "vote − best on the test images, paired over 2 seeds: +0.6667 (95% interval +0.6667 to +0.6667)"
    )
    assert list(vote.discordant()["file"]) == ["c", "d", "c", "d"]


def test_rows_in_turn_from_all_classes() -> None:
    frame = pd.DataFrame({"true": list("aaabbc"), "number": range(6)}, index=range(10, 16))
    assert list(in_turn(frame, "true")["number"]) == [0, 3, 5, 1, 4, 2]
    assert list(in_turn(frame, "true").index[:2]) == [10, 13]


def test_pictures_are_of_the_files_that_are_still_there(image_tree: Path, tmp_path: Path) -> None:
    def of_files(predicted: str) -> dict[int, pd.DataFrame]:
        return {0: answers(predicted).assign(file=[f"blue/{n:02d}.png" for n in range(4)])}

    wrong, right = of_files("xxxy"), of_files("xyzx")  # all three test images are between them
    vote = vote_by_seed([VotingTrial("best", 0.9, wrong), *(VotingTrial(n, 0.5, right) for n in ("b", "c"))])
    assert vote is not None
    (image_tree / "blue" / "02.png").unlink()
    pixels = open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores")
    images, captions = vote.pictures(pixels)
    assert list(captions["true"]) == ["y", "x"]
    for image, file in zip(images, ("01.png", "03.png"), strict=True):
        np.testing.assert_array_equal(image, pixels.image(list(pixels.files).index(f"blue/{file}")))
    for path in list((image_tree / "blue").iterdir()):
        path.rename(path.with_stem(f"renamed-{path.stem}"))
    pixels = open_store(load_catalogue("folder", Path(), image_tree), tmp_path / "stores")
    assert vote.pictures(pixels)[0] == []


def test_without_a_common_seed_there_is_no_vote() -> None:
    voters = [VotingTrial(name, 0.6, {seed: answers("xyzx")}) for seed, name in enumerate("ab")]
    assert vote_by_seed(voters) is None


def test_other_images_are_refused() -> None:
    voters = [VotingTrial("a", 0.6, {0: answers("xyzx")}), VotingTrial("b", 0.5, {0: answers("xyzx", "abce")})]
    with pytest.raises(StudyError, match="seed 0 were trained on different images"):
        vote_by_seed(voters)
