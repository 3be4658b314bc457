"""Figures. Each function returns a figure; `save` writes it. No global plotting state is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from numpy.typing import NDArray

from quorum.metric_names import TRAIN_ACCURACY, TRAIN_LOSS, VAL_ACCURACY, VAL_LOSS, split_metric
from quorum.rounding import rounded

ANNOTATED = 25  # classes up to which a confusion matrix has its numbers and every name written in
DPI = 110
CURVES = (TRAIN_LOSS, TRAIN_ACCURACY, VAL_LOSS, VAL_ACCURACY)  # metrics that `curves` draws
POINTS = 10  # of a curve that are each marked, at most
MARGIN = 0.08  # inches around a figure


def save(figure: Figure, file: Path) -> None:
    """Write a figure as PNG. Its text is text: two `$` in a name make no formula."""
    figure.set_dpi(DPI)
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    # `savefig` would draw everything twice: once to lay it out and once to paint it.
    FigureCanvasAgg(figure).print_png(str(file))


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches that finds room for all its labels when it is drawn."""
    x, y = MARGIN / width, MARGIN / height
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(rect=(x, y, 1 - 2 * x, 1 - 2 * y)))


def curves(histories: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Loss (left) and accuracy (right) by epoch of one or more trainings.

    Args:
        histories: by name, frames with `epoch` and the columns of CURVES.
        title: of the figure.
    """
    figure = new_figure(11, 4.2)
    axes = figure.subplots(1, 2)
    figure.suptitle(title)
    for number, (name, history) in enumerate(histories.items()):
        for axis, measure in zip(axes, ("loss", "accuracy"), strict=True):
            color = f"C{number % 10}"
            epoch = history["epoch"]
            style: dict[str, Any] = {"color": color, "marker": dot(epoch)}
            axis.plot(epoch, history[split_metric("train", measure)], linestyle=":", linewidth=1.2, **style)
            axis.plot(epoch, history[split_metric("val", measure)], linewidth=1.5, label=name, **style)
    for axis, label in zip(axes, ("cross-entropy loss", "accuracy (fraction)"), strict=True):
        axis.set(xlabel="epoch", ylabel=label)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[1].set_ylim(0, 1)
    # Early validation losses of batch-normalized networks can be huge and would flatten everything else.
    highest = max(float(history[TRAIN_LOSS].max()) for history in histories.values())
    if highest > 0 and axes[0].get_ylim()[1] > 2 * highest:
        axes[0].set_ylim(0, 1.5 * highest)
    axes[0].plot([], [], color="gray", linestyle=":", label="training")
    axes[0].plot([], [], color="gray", label="validation")
    axes[0].legend(*_last(axes[0], 2), fontsize="small")
    if len(histories) > 1:
        figure.legend(*axes[1].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    return figure


def dot(epochs: Sized) -> str | None:
    """The marker of a curve: one epoch alone makes no line."""
    return "o" if len(epochs) == 1 else None


def _last(axis: Axes, count: int) -> tuple[list[Any], list[Any]]:
    handles, labels = axis.get_legend_handles_labels()
    return handles[-count:], labels[-count:]


def confusion(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Confusion matrices side by side, each row scaled to its class; counts are written in where there is room.

    Args:
        tables: by title, counts [true class, predicted class].
    """
    first = next(iter(tables.values()))
    side, height = (6.0, 6.0) if len(first) <= ANNOTATED else (11.0, 10.6)
    figure = new_figure(side * len(tables) + 0.6, height)
    axes = np.atleast_1d(figure.subplots(1, len(tables)))
    image = None
    for axis, (title, table) in zip(axes, tables.items(), strict=True):
        counts = table.to_numpy()
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axis.set(title=title, xlabel="predicted class", ylabel="true class")
        small = len(table) > ANNOTATED
        size = 4.5 if small else 9
        axis.set_xticks(range(len(table)), list(table.columns), rotation=90, fontsize=size)
        axis.set_yticks(range(len(table)), list(table.index), fontsize=size)
        if not small:
            for row, column in np.argwhere(counts > 0):
                color = "white" if shares[row, column] > 0.5 else "black"
                text = axis.text(column, row, str(counts[row, column]), ha="center", va="center", color=color)
                text.set(fontsize=8, in_layout=False)  # inside the panel, where it needs no room
    assert image is not None
    figure.colorbar(image, ax=list(axes), label="share of the true class", shrink=0.7)
    return figure


def error_bars(
    table: pd.DataFrame, names: Sequence[str], title: str, ours: str = "this sweep", spread: str = "std"
) -> Figure:
    """Mean validation accuracy with its spread of a stage's trials, beside the published values where there are any.

    Args:
        table: rows with the varied settings, `mean`, the spread, and possibly `published` and `published std`.
        names: the varied settings.
        title: of the figure.
        ours: what the figures that are not published are called.
        spread: the column that the bars are of: `std`, or `± 95%`, half the interval of the mean.
    """
    rows = table.to_dict("records")  # `iterrows` would make floats of a row's integers
    labels = ["\n".join(f"{name}={rounded(row[name])}" for name in names) or "base" for row in rows]
    places = np.arange(len(table))
    figure = new_figure(max(5.0, 1.3 * len(table) + 1.5), 4.2)
    axis = figure.subplots()
    shift = 0.08 if "published" in table else 0.0
    _bars(axis, places - shift, table["mean"], table[spread], ours, "C0", "o")
    if "published" in table:
        std = table["published std"] if "published std" in table else pd.Series(np.nan, index=table.index)
        _bars(axis, places + shift, table["published"], std, "published", "C1", "s")
        axis.legend()
    axis.set_xticks(places, labels)
    axis.set_xlim(-0.5, len(table) - 0.5)
    axis.set(title=title, ylabel=f"validation accuracy (mean {'± std' if spread == 'std' else spread})")
    axis.grid(axis="y", alpha=0.3)
    low, high = axis.get_ylim()
    room = max(0.0, 0.1 - (high - low)) / 2  # differences below a few hundredths are not blown up
    low, high = max(0.0, low - room), min(1.0, high + room)
    edge = 0.02 * (high - low)  # for the half of a marker at 0 or 1
    axis.set_ylim(low - edge, high + edge)
    return figure


def _bars(
    axis: Axes,
    places: NDArray[Any],
    mean: pd.Series,
    std: pd.Series,
    label: str,
    color: str,
    marker: str,
) -> None:
    y, error = mean.astype(float).to_numpy(), std.astype(float).fillna(0.0).to_numpy()
    axis.errorbar(places, y, yerr=error, fmt=marker, color=color, capsize=4, label=label)


def class_distribution(counts: pd.DataFrame, title: str) -> Figure:
    """Number of images per class, a panel for each split.

    Args:
        counts: a row per class (its index), a column per split.
        title: of the figure.
    """
    width = min(max(6.0, 0.16 * len(counts)), 18.0)
    figure = new_figure(width, 2.6 * len(counts.columns))
    axes = np.atleast_1d(figure.subplots(len(counts.columns), 1, sharex=True))
    for number, (axis, split) in enumerate(zip(axes, counts.columns, strict=True)):
        axis.bar(range(len(counts)), counts[split], color=f"C{number}")
        axis.set(ylabel="images", title=f"{split}: {int(counts[split].sum()):,} images")
        axis.margins(x=0.01)
    size = 6 if len(counts) > ANNOTATED else 9
    axes[-1].set_xticks(range(len(counts)), list(counts.index), rotation=90, fontsize=size)
    figure.suptitle(title)
    return figure


def mean_images(means: Mapping[str, NDArray[np.float64]], title: str) -> Figure:
    """Average image of every class in one composite.

    Args:
        means: by class, [h, w, 3] with values 0..255.
        title: of the figure.
    """
    images = [np.clip(mean, 0, 255).astype(np.uint8) for mean in means.values()]
    return _grid(images, list(means), title, columns=10, size=(1.25, 1.42), fontsize=6)


def reliability(bins: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Accuracy by confidence, a panel for each classifier: on the diagonal where probabilities mean what they say.

    Args:
        bins: by name, frames with `confidence`, `accuracy` and `images`, a row for each bin of the confidence.
        title: of the figure.
    """
    figure = new_figure(3.1 * len(bins) + 0.4, 3.7)
    axes = np.atleast_1d(figure.subplots(1, len(bins), sharey=True))
    figure.suptitle(title)
    for axis, (name, frame) in zip(axes, bins.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="gray", linestyle=":", linewidth=1)
        area = 12 + 250 * frame["images"] / frame["images"].sum()
        axis.plot(frame["confidence"], frame["accuracy"], color="C0", linewidth=1)
        axis.scatter(frame["confidence"], frame["accuracy"], s=area, color="C0", alpha=0.6)
        axis.set(title=name, xlabel="confidence", xlim=(0, 1.03), ylim=(0, 1.03))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("accuracy (fraction)")
    return figure


def accuracy_coverage(curves_by_name: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Accuracy on the images that are decided, by how many of all they are.

    Args:
        curves_by_name: frames with `coverage` and `accuracy`, fractions.
        title: of the figure.
    """
    figure = new_figure(6.5, 4.2)
    axis = figure.subplots()
    for number, (name, frame) in enumerate(curves_by_name.items()):
        few = len(frame) <= POINTS
        axis.plot(frame["coverage"], frame["accuracy"], "o-" if few else "-", color=f"C{number}", label=name)
    axis.set(title=title, xlabel="coverage (fraction of the images)", ylabel="accuracy on them (fraction)")
    axis.set_xlim(0, 1.02)
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small", loc="lower left")
    return figure


def pictures(images: Sequence[NDArray[np.uint8]], captions: pd.DataFrame, title: str) -> Figure:
    """Images with a caption each.

    Args:
        images: uint8 [height, width, 3], of any sizes; one at least.
        captions: a row for each image; every column is a line of its caption.
        title: of the figure.
    """
    texts = ["\n".join(f"{name}: {value}" for name, value in row.items()) for row in captions.to_dict("records")]
    return _grid(images, texts, title, columns=6, size=(1.8, 2.4), fontsize=7)


def _grid(
    images: Sequence[NDArray[np.uint8]],
    captions: Sequence[str],
    title: str,
    *,
    columns: int,
    size: tuple[float, float],
    fontsize: float,
) -> Figure:
    """Images in rows, each below its caption.

    Args:
        images: uint8 [height, width, 3], of any sizes; one at least.
        captions: a text for each.
        title: of the figure.
        columns: in a row, at most.
        size: width and height of a place in inches.
        fontsize: of the captions.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(size[0] * columns, size[1] * rows + 0.5)
    figure.suptitle(title)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, image, caption in zip(axes, images, captions, strict=False):
        axis.imshow(image)
        axis.set_title(caption, fontsize=fontsize, pad=3)
    return figure
