"""Self-contained HTML pages: styles and figures are inside, so a page opens anywhere, the MLflow UI included."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("quorum.report"), autoescape=True, undefined=jinja2.StrictUndefined
)


def data_uri(png: Path) -> str:
    """A PNG file as the source of an image element."""
    return "data:image/png;base64," + base64.b64encode(png.read_bytes()).decode()


def html_table(table: pd.DataFrame, digits: int = 4) -> str:
    """A data frame as an HTML table; text is escaped."""
    return str(table.to_html(index=False, border=0, float_format=lambda value: f"{value:.{digits}f}", na_rep="–"))


def ensemble_page(
    *,
    title: str,
    facts: Mapping[str, Any],
    scores: pd.DataFrame | None,
    figure: Path | None,
    disagreements: pd.DataFrame,
    rule: str,
) -> str:
    """The page of a vote.

    Args:
        title: of the page.
        facts: short lines by name.
        scores: members' and vote's accuracies; None for unlabelled images.
        figure: PNG of the confusion matrices.
        disagreements: the images on which the members agreed least.
        rule: how the vote is decided.
    """
    return _ENVIRONMENT.get_template("ensemble.html").render(
        title=title,
        facts=facts,
        scores=html_table(scores) if scores is not None else "",
        figure=data_uri(figure) if figure is not None else "",
        disagreements=html_table(disagreements) if len(disagreements) else "",
        rule=rule,
    )
