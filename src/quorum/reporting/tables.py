"""Tables of results as data frames, and their text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quorum.rounding import rounded

Labels = NDArray[np.int64]

STD_NOTE = "std is the sample standard deviation (n - 1) over the seeds; accuracies are fractions."


def confusion_table(labels: Labels, predictions: Labels, classes: Sequence[str]) -> pd.DataFrame:
    """Counts [true class, predicted class] with class names on both sides."""
    from sklearn.metrics import confusion_matrix  # a second to import, for commands that do without

    counts = confusion_matrix(labels, predictions, labels=np.arange(len(classes)))
    return pd.DataFrame(counts, index=pd.Index(classes, name="true"), columns=pd.Index(classes, name="predicted"))


def vote_confusions(member: str, answers: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Confusion matrices of a vote's best member and of the vote, for the first seed, by title.

    Args:
        member: the best member's name.
        answers: class names by image: `seed`, `true`, `best` and `vote`.
    """
    first = answers[answers["seed"] == answers["seed"].min()]
    classes = sorted(set(first[["true", "best", "vote"]].to_numpy().ravel()))
    true, best, vote = (
        pd.Categorical(first[name], classes).codes.astype(np.int64) for name in ("true", "best", "vote")
    )
    return {
        f"{name}: {(answer == true).mean():.4f}": confusion_table(true, answer, classes)
        for name, answer in ((member, best), ("vote", vote))
    }


def prediction_table(
    split: str, files: Sequence[str], labels: Labels, probabilities: NDArray[np.float32], classes: Sequence[str]
) -> pd.DataFrame:
    """Each image of a split: its file, its class, the predicted class, and that one's probability.

    Args:
        split: its name.
        files: [n] image names.
        labels: int64 [n].
        probabilities: float32 [n, classes].
        classes: class names.
    """
    names = np.array(classes, dtype=object)
    return pd.DataFrame(
        {
            "split": split,
            "file": list(files),
            "true": names[labels],
            "predicted": names[probabilities.argmax(axis=1)],
            "probability": probabilities.max(axis=1),
        }
    )


def class_table(labels: Labels, predictions: Labels, classes: Sequence[str]) -> pd.DataFrame:
    """Precision, recall, F1 (0 where undefined) and number of images of each class."""
    from sklearn.metrics import precision_recall_fscore_support  # a second to import, for commands that do without

    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predictions, labels=np.arange(len(classes)), zero_division=0
    )
    return pd.DataFrame({"class": classes, "precision": precision, "recall": recall, "f1": f1, "images": support})


def stage_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A stage's trials, one row each, without the columns that are empty in all of them."""
    table = pd.DataFrame(list(rows))
    optional = [name for name in ("published", "published std", "difference", "reused", "note") if name in table]
    empty = [name for name in optional if table[name].isin(["", 0]).all() or table[name].isna().all()]
    return table.drop(columns=empty)


def markdown(table: pd.DataFrame, exact: Sequence[str] = (), digits: int = 4) -> str:
    """A data frame as a Markdown table, its values as `as_text` has them."""
    return str(as_text(table, exact, digits).map(escape).to_markdown(index=False, disable_numparse=True))


def as_text(table: pd.DataFrame, exact: Sequence[str] = (), digits: int = 4) -> pd.DataFrame:
    """A data frame whose values are text; missing ones are a dash.

    Args:
        table: the data.
        exact: columns, such as settings, whose numbers are rounded only where they have many digits.
        digits: decimals that the others are rounded to.
    """
    shown = table.astype(object)
    for name in shown.columns:
        shown[name] = [_text(value, None if name in exact else digits) for value in shown[name]]
    return shown


def _text(value: Any, digits: int | None) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, float):
        return rounded(value) if digits is None else f"{value:.{digits}f}"
    return str(value)


def escape(text: str) -> str:
    """Text as a cell of a Markdown table shows it: on one line, its bars no ends of cells, its tags no tags."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def no_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """A frame whose texts no spreadsheet takes for a formula: an apostrophe stands before =, +, - and @."""
    texts = table.select_dtypes(exclude="number").columns
    return table.assign(**{name: table[name].map(_no_formula) for name in texts})


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
