"""Tables, figures and pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from quorum.reporting import figures, pages, tables

LABELS = np.array([0, 0, 1, 1, 2])
PREDICTIONS = np.array([0, 1, 1, 1, 0])
CLASSES = ("a", "b", "c")


def test_confusion_counts_true_by_predicted() -> None:
    table = tables.confusion_table(LABELS, PREDICTIONS, CLASSES)
    assert table.loc["a", "b"] == 1
    assert table.loc["b", "b"] == 2
    assert table.loc["c", "a"] == 1
    assert table.to_numpy().sum() == len(LABELS)


def test_class_figures() -> None:
    table = tables.class_table(LABELS, PREDICTIONS, CLASSES).set_index("class")
    assert table.loc["b", "precision"] == 2 / 3
    assert table.loc["b", "recall"] == 1
    assert table.loc["c", "f1"] == 0
    assert list(table["images"]) == [2, 2, 1]


def test_markdown_rounds_results_and_leaves_settings_alone() -> None:
    frame = pd.DataFrame({"lr": [0.001, 0.05], "mean": [0.123456, None], "n": [3, 0]})
    lines = tables.markdown(frame, ("lr",)).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == ["0.001", "0.1235", "3"]
    assert [cell.strip() for cell in lines[3].split("|")[1:-1]] == ["0.05", "–", "0"]


def test_empty_columns_are_left_out() -> None:
    rows: list[dict[str, Any]] = [
        {"mean": 0.5, "published": None, "reused": 0, "note": ""},
        {"mean": 0.4, "reused": 0, "note": ""},
    ]
    assert list(tables.stage_table(rows)) == ["mean"]
    assert list(tables.stage_table([{**rows[0], "published": 0.4, "reused": 2}])) == ["mean", "published", "reused"]


def test_no_text_breaks_a_table() -> None:
    frame = pd.DataFrame({"file": ["a|b", "two\nlines", "<script>", "back\\slash"], "n": [1, 2, 3, 4]})
    lines = tables.markdown(frame).splitlines()
    assert len(lines) == 6
    assert [line.replace("\\|", "").count("|") for line in lines] == [3] * 6
    assert "<script>" not in "".join(lines)


def test_no_spreadsheet_takes_a_text_for_a_formula() -> None:
    frame = pd.DataFrame({"file": ["=1+1", "+1", "-1", "@a", "a=1"], "p": [-0.5, 0.1, 0.2, 0.3, 0.4]})
    safe = tables.no_formulas(frame)
    assert list(safe["file"]) == ["'=1+1", "'+1", "'-1", "'@a", "a=1"]
    assert list(safe["p"]) == list(frame["p"])


def check_png(figure: Figure, file: Path) -> None:
    """Save a figure and see that something is drawn."""
    figures.save(figure, file)
    assert len(np.unique(np.asarray(Image.open(file).convert("L")))) > 10


@pytest.mark.slow
def test_every_figure_draws(tmp_path: Path) -> None:
    history = pd.DataFrame(
        {"epoch": [1, 2], "train/loss": [2, 1], "val/loss": [2, 1.5], "train/accuracy": [0, 1], "val/accuracy": [0, 1]}
    )
    small = tables.confusion_table(LABELS, PREDICTIONS, CLASSES)
    many = tables.confusion_table(np.arange(40), np.arange(40)[::-1].copy(), [f"class {i}" for i in range(40)])
    stage = pd.DataFrame({"lr": [0.1, 0.2], "mean": [0.5, None], "std": [0.1, None], "published": [0.4, 0.5]})
    bins = pd.DataFrame({"confidence": [0.4, 0.9], "accuracy": [0.5, 0.8], "images": [3, 9]})
    captions = pd.DataFrame({"true": ["$x_1", "b"], "vote": ["b", "b"]})
    drawn = {
        "curves": figures.curves({"one": history}, "one"),
        "many-curves": figures.curves({"one": history, "two": history[:1]}, "two"),
        "confusion": figures.confusion({"best": small, "vote": small}),
        "large-confusion": figures.confusion({"best": many}),
        "bars": figures.error_bars(stage, ["lr"], "lr"),
        "classes": figures.class_distribution(pd.DataFrame({"train": [3, 4], "test": [1, 2]}, index=["a", "b"]), "t"),
        "reliability": figures.reliability({"one": bins, "two": bins}, "reliability"),
        "coverage": figures.accuracy_coverage({"one": pd.DataFrame({"coverage": [0.5, 1], "accuracy": [1, 0.8]})}, "t"),
        "pictures": figures.pictures([np.zeros((8, 8, 3), np.uint8)] * 2, captions, "2 of 2"),
        "means": figures.mean_images({name: np.full((8, 8, 3), 40.0 * i) for i, name in enumerate("abcde")}, "means"),
    }
    for name, figure in drawn.items():
        check_png(figure, tmp_path / f"{name}.png")


@pytest.mark.slow
def test_names_are_no_formulas(tmp_path: Path) -> None:
    names = ["$$", "a$_$b", "c"]
    history = pd.DataFrame({name: [1.0] for name in ("epoch", *figures.CURVES)})
    table = tables.confusion_table(LABELS, PREDICTIONS, names)
    stage = pd.DataFrame({"weights": names, "mean": 0.5, "std": 0.1})
    drawn = {
        "curves": figures.curves(dict.fromkeys(names, history), "$$"),
        "confusion": figures.confusion({"$$": table}),
        "bars": figures.error_bars(stage, ["weights"], "$$"),
        "classes": figures.class_distribution(pd.DataFrame({"train": [3, 4, 5]}, index=names), "$$"),
        "means": figures.mean_images({name: np.full((8, 8, 3), 40.0) for name in names}, "$$"),
    }
    for name, figure in drawn.items():
        check_png(figure, tmp_path / f"{name}.png")


def test_a_bar_is_called_as_its_settings_are_written() -> None:
    stage = pd.DataFrame({"batch_size": [64, 128], "lr": [0.1, 1e-3], "mean": [0.5, 0.6], "std": [0.1, 0.1]})
    [axis] = figures.error_bars(stage, ["batch_size", "lr"], "sizes").axes
    labels = [label.get_text() for label in axis.get_xticklabels()]
    assert labels == ["batch_size=64\nlr=0.1", "batch_size=128\nlr=0.001"]


def test_the_page_is_self_contained_and_escaped(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "figure.png")
    scores = pd.DataFrame({"model": ["<b>"], "test accuracy": [0.5]})
    blocks = [
        pages.Block("Members", table=scores, total=True, figure=tmp_path / "figure.png", alt="a figure"),
        pages.Block("Files", "of <them>", pd.DataFrame({"file": ["<script>"]})),
        pages.Block("Nothing"),
    ]
    page = pages.vote_page("Vote on <digits>", {"images": "2"}, "the rule", blocks)
    assert "Nothing" not in page
    assert "&lt;them&gt;" in page
    assert "&lt;digits&gt;" in page
    assert "<script>" not in page
    assert "&lt;b&gt;" in page
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")


def test_numbers_as_text() -> None:
    frame = pd.DataFrame(
        {"seed": [0, 1], "p": [1.4128e-12, 0.25], "difference": [0.02061, None], "class": ["a|b", "<c>"]}
    )
    text = tables.as_text(frame, exact=("p",))
    shown = {"seed": ["0", "1"], "p": ["1.41e-12", "0.25"], "difference": ["0.0206", "–"]}
    assert text.to_dict("list") == {**shown, "class": ["a|b", "<c>"]}
    assert "a\\|b" in tables.markdown(frame, exact=("p",))
