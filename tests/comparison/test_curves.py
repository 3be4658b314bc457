"""Recorded epochs beside ours."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from quorum.comparison.curves import distance, read_recorded, trajectory_line
from quorum.errors import StudyError
from quorum.reporting.bands import band
from quorum.study.model import Trajectory
from tests.conftest import REAL, ROOT

HEAD = "system,epoch,train_loss,train_accuracy,val_loss,val_accuracy\n"


def history(*accuracies: float) -> pd.DataFrame:
    epochs = range(1, len(accuracies) + 1)
    return pd.DataFrame({"epoch": epochs, "val/accuracy": accuracies, "train/loss": [4 - a for a in accuracies]})


def test_the_recorded_epochs_of_the_report_are_read() -> None:
    recorded = read_recorded(ROOT / "sweeps" / "cifar10" / "curves.csv")
    assert len(recorded) == 9
    simple = recorded["scratch-simple"]
    assert list(simple["epoch"]) == list(range(1, 31))
    assert simple["val/accuracy"].max() == 0.7553
    if (original := REAL / "published-curves" / "cifar10.csv").is_file():
        assert (ROOT / "sweeps" / "cifar10" / "curves.csv").read_text() == original.read_text()


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", HEAD, HEAD + "a,one,1,1,1,1\n", HEAD + "a,1,1,1,1\n"])
def test_another_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "curves.csv").write_text(text)
    with pytest.raises(StudyError, match=r"curves\.csv"):
        read_recorded(tmp_path / "curves.csv")
    with pytest.raises(StudyError, match="cannot be read"):
        read_recorded(tmp_path / "absent.csv")


def test_a_band_and_its_distance() -> None:
    ours = band([history(0.2, 0.4, 0.6), history(0.4, 0.6)], "val/accuracy")
    assert ours.epochs == [1, 2]  # that all seeds have
    assert (ours.mean, ours.low, ours.high) == ([pytest.approx(0.3), 0.5], [0.2, 0.4], [0.4, 0.6])
    away = distance(history(0.35, 0.7, 0.8), ours, "val/accuracy")
    assert [away.mean, away.largest, away.epoch] == pytest.approx([0.125, 0.2, 2])


def test_a_trajectory_is_first_and_last_epoch() -> None:
    one = Trajectory(id="a", stage="lr", at={"lr": 0.1}, loss=(4.62, 0.71), val_accuracy=(0.09, 0.446))
    line = trajectory_line(one, [history(0.1, 0.4), history(0.1, 0.5)])
    assert (line["row"], line["first train/loss"], line["last val/accuracy"]) == ("lr=0.1", "4.62", "0.446")
    assert line["ours last val/accuracy"] == "0.450 [0.400, 0.500]"
    assert trajectory_line(one, [])["ours last val/accuracy"] == "not run"
