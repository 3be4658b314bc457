"""Curves over seeds: the mean of several trainings with a band from the lowest to the highest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from quorum.metric_names import VAL_ACCURACY, VAL_LOSS, split_metric
from quorum.reporting.figures import dot, new_figure

LABELS = {"loss": "cross-entropy loss", "accuracy": "accuracy (fraction)"}


@dataclass(frozen=True)
class Band:
    """Curves of one metric over several trainings: a value for each epoch, mean, lowest and highest."""

    epochs: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


Bands = Mapping[str, Band]  # by metric


def band(histories: Sequence[pd.DataFrame], metric: str) -> Band:
    """The band of a metric over seeds, of the epochs that all of them have."""
    frame = pd.concat([history.set_index("epoch")[metric] for history in histories], axis=1, join="inner").sort_index()
    return Band([int(epoch) for epoch in frame.index], *(list(map(float, getattr(frame, of)(axis=1))) for of in _BAND))


_BAND = ("mean", "min", "max")


def published_curves(recorded: pd.DataFrame, ours: Bands, title: str) -> Figure:
    """Recorded curves beside ours: loss (left) and accuracy (right) by epoch, ours with a band over the seeds.

    Args:
        recorded: `epoch` and the columns of `figures.CURVES`.
        ours: by metric, epochs with mean, lowest and highest value.
        title: of the figure.
    """
    figure, axes = _panels(title)
    for axis, measure in zip(axes, LABELS, strict=True):
        for split, style in (("train", ":"), ("val", "-")):
            metric = split_metric(split, measure)
            name = "training" if split == "train" else "validation"
            axis.plot(recorded["epoch"], recorded[metric], style, color="C1", label=f"published, {name}")
            _draw(axis, ours[metric], color="C0", linestyle=style, label=f"ours, {name}")
    axes[0].legend(fontsize="small")
    return figure


def seed_curves(trials: Mapping[str, Bands], title: str) -> Figure:
    """Validation loss (left) and accuracy (right) of trials by epoch: means over the seeds, in a band over them.

    Args:
        trials: by name, bands of VAL_LOSS and VAL_ACCURACY.
        title: of the figure.
    """
    figure, axes = _panels(title)
    for axis, metric in zip(axes, (VAL_LOSS, VAL_ACCURACY), strict=True):
        for number, (name, bands) in enumerate(trials.items()):
            _draw(axis, bands[metric], color=f"C{number % 10}", marker=dot(bands[metric].epochs), label=name)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    return figure


def _panels(title: str) -> tuple[Figure, Sequence[Axes]]:
    figure = new_figure(11, 4.2)
    axes = figure.subplots(1, 2)
    figure.suptitle(title)
    for axis, label in zip(axes, LABELS.values(), strict=True):
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    return figure, axes


def _draw(axis: Axes, curve: Band, *, color: str, **style: Any) -> None:
    axis.plot(curve.epochs, curve.mean, color=color, **style)
    axis.fill_between(curve.epochs, curve.low, curve.high, color=color, alpha=0.2, linewidth=0)
