"""Self-contained HTML pages: styles and figures are inside, so a page opens anywhere, the MLflow UI included."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from quorum.reporting.tables import markdown

_LOADER = jinja2.PackageLoader("quorum.reporting")
_ENVIRONMENT = jinja2.Environment(loader=_LOADER, autoescape=True, undefined=jinja2.StrictUndefined)
_TEXT = jinja2.Environment(
    loader=_LOADER, autoescape=False, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
)
_TEXT.filters["markdown"] = markdown


@dataclass(frozen=True)
class Picture:
    """A figure of a page.

    Attributes:
        folder: the folder that the page is written to.
        path: of the PNG file, relative to that folder.
        caption: what it shows.
    """

    folder: Path
    path: str
    caption: str

    @property
    def source(self) -> str:
        """The file itself, as the source of an image element."""
        return data_uri(self.folder / self.path)


@dataclass(frozen=True)
class Part:
    """A table of a study, with its figures."""

    name: str
    table: pd.DataFrame
    figures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Section:
    """A study: what it repeats, the command that runs it, what it does otherwise than published or assumes, its tables,
    and the figures of all of it."""

    name: str
    description: str
    command: str
    deviations: Sequence[str]
    parts: Sequence[Part]
    figures: Sequence[Picture] = ()


@dataclass(frozen=True)
class ComparisonPage:
    """What the studies of a data set gave beside what was published.

    Attributes:
        title, head: first lines.
        overview: every row in one table.
        claims: what the report concludes, judged; None where there is no file of claims.
        figures: what compares the studies.
        made_with: machines, packages and code of the trainings.
        rules: how to read the tables.
        sections: the studies.
        data_note, data_figures: the data set.
    """

    title: str
    head: str
    overview: pd.DataFrame
    claims: pd.DataFrame | None
    figures: Sequence[Picture]
    made_with: Sequence[str]
    rules: Sequence[str]
    sections: Sequence[Section]
    data_note: str
    data_figures: Sequence[Picture]

    def html(self) -> str:
        """The page with its figures inside."""
        return _ENVIRONMENT.get_template("comparison.html").render(title=self.title, page=self)

    def markdown(self) -> str:
        """The same as Markdown, its figures beside it."""
        return _TEXT.get_template("comparison.md").render(page=self)


def data_uri(png: Path) -> str:
    """A PNG file as the source of an image element."""
    return "data:image/png;base64," + base64.b64encode(png.read_bytes()).decode()


def html_table(table: pd.DataFrame, digits: int = 4) -> str:
    """A data frame as an HTML table; text is escaped."""
    return str(table.to_html(index=False, border=0, float_format=lambda value: f"{value:.{digits}f}", na_rep="–"))


@dataclass(frozen=True)
class Block:
    """A part of a page under a heading of its own.

    Attributes:
        heading: of it.
        note: how to read it; may be empty.
        table: its table; None or empty for none.
        total: whether the table's last row stands for all others.
        figure: its PNG file.
        alt: what the figure shows, for those who do not see it.
    """

    heading: str
    note: str = ""
    table: pd.DataFrame | None = None
    total: bool = False
    figure: Path | None = None
    alt: str = ""

    @property
    def html(self) -> str:
        """The table; "" for none."""
        return "" if self.table is None or self.table.empty else html_table(self.table)

    @property
    def source(self) -> str:
        """The figure, as the source of an image element; "" for none."""
        return "" if self.figure is None else data_uri(self.figure)


def vote_page(title: str, facts: Mapping[str, Any], rule: str, blocks: Sequence[Block]) -> str:
    """The page of a vote.

    Args:
        title: of the page.
        facts: short lines by name.
        rule: how the vote is decided.
        blocks: what it says, in order.
    """
    shown = [block for block in blocks if block.html or block.figure]
    return _ENVIRONMENT.get_template("vote.html").render(title=title, facts=facts, rule=rule, blocks=shown)
