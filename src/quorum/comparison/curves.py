"""Epoch by epoch: published curves and trajectories beside ours."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from quorum.errors import StudyError
from quorum.metric_names import TRAIN_ACCURACY, TRAIN_LOSS, VAL_ACCURACY, VAL_LOSS
from quorum.reporting.bands import Band
from quorum.study.model import Trajectory

RECORDED = {
    "train_loss": TRAIN_LOSS,
    "train_accuracy": TRAIN_ACCURACY,
    "val_loss": VAL_LOSS,
    "val_accuracy": VAL_ACCURACY,
}


def read_recorded(file: Path) -> dict[str, pd.DataFrame]:
    """The recorded epochs of published systems by id: `epoch` and the columns of `reporting.figures.CURVES`.

    Args:
        file: CSV with system, epoch, train_loss, train_accuracy, val_loss and val_accuracy.

    Raises:
        StudyError: where it is missing or is no such file.
    """
    wanted = ["system", "epoch", *RECORDED]
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            rows = list(csv.DictReader(opened))
        if not rows or list(rows[0]) != wanted:
            raise StudyError(f"{file}: is no file of recorded epochs; its columns are {', '.join(wanted)}")
        frame = pd.DataFrame(rows, columns=wanted).astype({"epoch": int, **dict.fromkeys(RECORDED, float)})
        if frame.isna().any(axis=None):
            raise ValueError("a row lacks a value")
    except (OSError, ValueError, csv.Error) as error:
        raise StudyError(f"{file}: cannot be read ({' '.join(str(error).split())})") from error
    return {
        str(system): part.drop(columns="system").rename(columns=RECORDED).reset_index(drop=True)
        for system, part in frame.groupby("system", sort=False)
    }


@dataclass(frozen=True)
class Distance:
    """How far our mean curve is from the recorded one: the mean and the largest absolute difference over the epochs."""

    mean: float
    largest: float
    epoch: int  # of the largest


def distance(recorded: pd.DataFrame, ours: Band, metric: str) -> Distance:
    """The distance of a metric's curves, over the epochs that both have."""
    theirs = recorded.set_index("epoch")[metric]
    common = [(epoch, abs(value - float(theirs[epoch]))) for epoch, value in _values(ours).items() if epoch in theirs]
    epoch, largest = max(common, key=lambda pair: pair[1])
    return Distance(sum(value for _, value in common) / len(common), largest, epoch)


def distance_lines(identity: str, recorded: pd.DataFrame, ours: Mapping[str, Band]) -> list[dict[str, str]]:
    """The distance of each metric's curves, as lines of a table of text."""
    lines = []
    for metric, band in ours.items():
        away = distance(recorded, band, metric)
        measured = {"mean distance": f"{away.mean:.4f}", "largest": f"{away.largest:.4f}", "in epoch": str(away.epoch)}
        lines.append({"id": identity, "metric": metric, **measured})
    return lines


def _values(ours: Band) -> Mapping[int, float]:
    return dict(zip(ours.epochs, ours.mean, strict=True))


def trajectory_line(one: Trajectory, histories: Sequence[pd.DataFrame]) -> dict[str, str]:
    """A published trajectory beside ours, as a line of a table of text: first and last training loss and validation
    accuracy, ours as the mean over the seeds with the lowest and highest."""
    at = ", ".join(f"{name}={value}" for name, value in one.at.items())
    line = {"id": one.id, "row": at or "–"}
    for metric, stated in ((TRAIN_LOSS, one.loss), (VAL_ACCURACY, one.val_accuracy)):
        for place, value in zip(("first", "last"), stated, strict=True):
            found = [float(history[metric].iloc[0 if place == "first" else -1]) for history in histories]
            ours = f"{sum(found) / len(found):.3f} [{min(found):.3f}, {max(found):.3f}]" if found else "not run"
            line |= {f"{place} {metric}": f"{value:g}", f"ours {place} {metric}": ours}
    return line
