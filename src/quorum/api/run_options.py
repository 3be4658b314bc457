"""What all commands take, and what those take that make runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationInfo, field_validator

from quorum.api.option_types import Boolean, Tags, Texts
from quorum.config import Closed

if TYPE_CHECKING:
    from quorum.console import Verbosity

WORK_DIR = Path(".quorum")


class Options(Closed):
    """Options that all commands have."""

    json_: Boolean = Field(False, alias="json", description="print one JSON object on standard output and nothing else")
    verbose: Boolean = Field(False, description="say more: the store, settings that differ from the defaults, reuse")
    quiet: Boolean = Field(False, description="say nothing but the answer and errors")
    work_dir: Path = Field(WORK_DIR, description="folder for pixel stores and the states of unfinished runs")
    plugins: Texts = Field(
        (), description="modules or files of your own that register networks, data sets, ..., separated by commas"
    )

    @field_validator("quiet")
    @classmethod
    def _one_of_both(cls, quiet: bool, given: ValidationInfo) -> bool:
        if quiet and given.data.get("verbose"):
            raise ValueError("does not go with verbose")
        return quiet

    @property
    def verbosity(self) -> Verbosity:
        """How much is said."""
        return "quiet" if self.quiet else "verbose" if self.verbose else "normal"


class RunOptions(Options):
    """Options of commands that make runs."""

    tags: Tags = Field("", description="tags of your own for the command's runs, as NAME=VALUE,NAME=VALUE")
    note: str = Field("", max_length=5000, description="a note of your own, first in what describes the command's run")

    @property
    def own_tags(self) -> dict[str, str]:
        """The tags by name."""
        return dict(pair.split("=", 1) for pair in self.tags.split(",")) if self.tags else {}
