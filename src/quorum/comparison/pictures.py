"""The figures of a report, drawn from what is stored and written beside its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from quorum.data.pixel_store import PixelStore
from quorum.data.summary import class_counts, mean_images
from quorum.reporting import bands, figures
from quorum.reporting.pages import Picture
from quorum.study.results import SeedResult
from quorum.tracking import schema
from quorum.tracking.queries import artifact, history_frame
from quorum.tracking.store import TrackingStore


@dataclass(frozen=True)
class ReportPictures:
    """Draws the figures of one data set's report.

    Attributes:
        store: the tracking store.
        dataset: name of the data set.
        folder: of the page, below which a folder with the data set's name holds the figures.
    """

    store: TrackingStore
    dataset: str
    folder: Path

    def stage(
        self, study: str, stage: str, bars: pd.DataFrame, settings: Sequence[str], best: Mapping[str, SeedResult]
    ) -> list[Picture]:
        """A stage's means, and the curves of the best seed of each of its trials.

        Args:
            study: name of the study.
            stage: name of the stage.
            bars: its trials as `figures.error_bars` takes them.
            settings: that it varies.
            best: the best seed of each trial that was run, by what the trial is called.
        """
        return [
            self.save(
                figures.error_bars(bars, settings, f"{study}: {stage}", "ours"),
                f"{study}-{stage}",
                f"{study}, {stage}: mean ± std, ours and published",
            ),
            self.save(
                figures.curves(self._histories(best), f"{study}: {stage}, the best seed of each"),
                f"{study}-{stage}-curves",
                f"{study}, {stage}: loss and accuracy by epoch",
            ),
        ]

    def recorded(
        self, study: str, identity: str, theirs: pd.DataFrame, ours: Mapping[str, bands.Band], seeds: int
    ) -> Picture:
        """Curves that a report's author recorded, beside ours."""
        title = f"{identity}: published and ours, {seeds} seeds"
        caption = f"{title}; ours is the mean, with a band from the lowest to the highest seed"
        return self.save(bands.published_curves(theirs, ours, title), f"{study}-{identity}-recorded", caption)

    def studies(self, best: Mapping[str, SeedResult]) -> list[Picture]:
        """The curves of the best training of every study on one plot, where there are several."""
        if len(best) < 2:
            return []
        figure = figures.curves(self._histories(best), f"{self.dataset}: the best training of each study")
        return [self.save(figure, "curves", "Loss and accuracy by epoch of the best training of each study")]

    def confusion(self, study: str, best: SeedResult) -> list[Picture]:
        """The confusion matrix of the best of a study's trainings, where it is stored."""
        file = artifact(self.store, best.run_id, schema.CONFUSION)
        if file is None:
            return []
        matrix = pd.read_csv(file, index_col=0, keep_default_na=False)
        title = f"{study}, test split, accuracy {best.test_accuracy:.4f}"
        caption = f"Confusion matrix of the training with the best validation accuracy, run {best.run_id}"
        return [self.save(figures.confusion({title: matrix}), f"{study}-confusion", caption)]

    def data(self, pixels: PixelStore) -> list[Picture]:
        """What the data set looks like."""
        name = self.dataset
        return [
            self.save(figures.class_distribution(class_counts(pixels), name), "classes", "Images of each class"),
            self.save(figures.mean_images(mean_images(pixels), name), "mean-images", "Average image of each class"),
        ]

    def save(self, figure: Figure, name: str, caption: str) -> Picture:
        """Write a figure."""
        path = f"{self.dataset}/{name}.png"
        (self.folder / self.dataset).mkdir(exist_ok=True)
        figures.save(figure, self.folder / path)
        return Picture(self.folder, path, caption)

    def _histories(self, seeds: Mapping[str, SeedResult]) -> dict[str, pd.DataFrame]:
        return {name: history_frame(self.store, seed.run_id, figures.CURVES) for name, seed in seeds.items()}
