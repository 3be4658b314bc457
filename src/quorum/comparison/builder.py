"""The page of a report as it is put together from what stands in the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from quorum.commands.opening import open_data
from quorum.commands.options import ReportOptions
from quorum.comparison import verdicts as comparison
from quorum.comparison.rows import accuracies, best_seed, trial_row, vote_row
from quorum.comparison.trainings import Trainings, protocol
from quorum.comparison.verdicts import Row
from quorum.config import TrialConfig
from quorum.data.summary import class_counts, mean_images
from quorum.errors import DataError
from quorum.report import figures, tables
from quorum.report.pages import ComparisonPage, Part, Picture, Section
from quorum.study.file import StudyFile
from quorum.study.model import PublishedRow, Study
from quorum.study.plan import PlannedTrial, plan
from quorum.study.results import SeedResult, spread
from quorum.sweep.seed_votes import RULE as VOTE_RULE
from quorum.sweep.seed_votes import VOTE, Member, confusions, summary, vote_of_seeds
from quorum.tracking.queries import artifact, history_frame
from quorum.tracking.store import Store

STD_NOTE = f"ours: mean ± std of the best epoch's validation accuracy over n seeds. {tables.STD_NOTE}"


@dataclass
class Draft:
    """The page as it is put together.

    Attributes:
        options: of the command.
        store: the tracking store.
        folder: where page and figures are written.
        trainings: what stands in the store, by protocol.
        rows: all rows so far.
        places: the study and stage that each is of.
        used: run ids of all trainings that a row rests on.
        best: each study's training with the best validation accuracy, of those that were run.
    """

    options: ReportOptions
    store: Store
    folder: Path
    trainings: dict[str, Trainings]
    rows: list[Row] = field(default_factory=list)
    places: list[tuple[str, str]] = field(default_factory=list)
    used: dict[str, None] = field(default_factory=dict)
    best: dict[str, SeedResult] = field(default_factory=dict)

    def standing(self, config: TrialConfig) -> Trainings:
        """What stands in the store of a configuration."""
        return self.trainings.get(protocol(config), Trainings())

    def section(self, source: StudyFile) -> Section:
        """A study's tables and figures."""
        study, name = source.study, source.file.stem
        planned = [trial for trial in plan(study, study.first_config({}), self._best) if trial.listed]
        parts = []
        for number, stage in enumerate(study.stages):
            trials = [trial for trial in planned if trial.stage == number]
            if trials:
                rows = [row for trial in trials for row in self._rows(trial)]
                self._collect(rows, name, stage.name)
                parts.append(Part(stage.name, comparison.table(rows), self._figures(name, stage.name, trials, rows)))
        if study.vote is not None:
            parts.append(self._vote(study, name, planned))
        command = f"mlflow run . -e sweep -P dataset={study.dataset} -P study={name}"
        return Section(name, study.description.strip(), command, parts, self._confusion(name, planned))

    def page(self, sections: Sequence[Section]) -> ComparisonPage:
        """The whole page."""
        listed = ", ".join(f"{count} {verdict}" for verdict, count in self.counts().items())
        note, pictures = self._data()
        return ComparisonPage(
            title=f"{self.options.dataset}: ours beside the published numbers",
            head=f"{sum(self.counts().values())} rows: {listed}.",
            overview=comparison.overview(self.places, self.rows),
            figures=self._all_curves(),
            made_with=self._environments(),
            rules=[STD_NOTE, comparison.RULE],
            sections=sections,
            data_note=note,
            data_figures=pictures,
        )

    def row_data(self) -> list[dict[str, Any]]:
        """Every row as a JSON value."""
        return [
            {
                "study": study,
                "table": table,
                "id": row.id,
                "settings": dict(row.settings),
                "published": row.published,
                "published_std": row.published_std,
                "mean": row.mean,
                "std": row.std,
                "n": len(row.values),
                "verdict": row.verdict,
                "reason": row.reason,
            }
            for (study, table), row in zip(self.places, self.rows, strict=True)
        ]

    def counts(self) -> dict[str, int]:
        """Number of rows by verdict. A published row that two studies have, as a vote's member has, counts once."""
        distinct = {
            (row.id, str(dict(row.settings))) if row.id else place: row
            for place, row in zip(self.places, self.rows, strict=True)
        }
        return comparison.counts(list(distinct.values()))

    def frame(self) -> pd.DataFrame:
        """Every row with its figures."""
        return pd.DataFrame(self.row_data())

    def _best(self, trials: list[PlannedTrial]) -> PlannedTrial:
        """The trial that a sweep would go on from: the highest mean of those that were run; the first if none was.

        What an open search found is not known here, so a stage after one is looked for around the search's base.
        """

        def mean(trial: PlannedTrial) -> float:
            stands = self.standing(trial.config)
            return 0.0 if stands.failed else spread(accuracies(stands)).mean or 0.0

        return max(trials, key=mean)

    def _collect(self, rows: Sequence[Row], study: str, stage: str) -> None:
        self.rows += rows
        self.places += [(study, stage)] * len(rows)

    def _rows(self, trial: PlannedTrial) -> list[Row]:
        stands = self.standing(trial.config)
        self.used |= {seed.run_id: None for seed in stands.finished.values()}
        published: Sequence[PublishedRow | None] = trial.published or (None,)
        return [trial_row(row, trial, stands) for row in published]

    def _figures(self, study: str, stage: str, trials: Sequence[PlannedTrial], rows: Sequence[Row]) -> list[Picture]:
        run = {_title(trial): best for trial in trials if (best := best_seed(self.standing(trial.config)))}
        if not run:
            return []
        names = list(trials[0].settings)
        bars = figures.error_bars(comparison.bars(rows), names, f"{study}: {stage}", "ours")
        histories = {title: history_frame(self.store, seed.run_id, figures.CURVES) for title, seed in run.items()}
        curves = figures.curves(histories, f"{study}: {stage}, the best seed of each")
        return [
            self._save(bars, f"{study}-{stage}", f"{study}, {stage}: mean ± std, ours and published"),
            self._save(curves, f"{study}-{stage}-curves", f"{study}, {stage}: loss and accuracy by epoch"),
        ]

    def _all_curves(self) -> list[Picture]:
        """The best training of every study on one plot, where there are several."""
        if len(self.best) < 2:
            return []
        histories = {study: history_frame(self.store, seed.run_id, figures.CURVES) for study, seed in self.best.items()}
        name = self.options.dataset
        figure = figures.curves(histories, f"{name}: the best training of each study")
        return [self._save(figure, "curves", "Loss and accuracy by epoch of the best training of each study")]

    def _confusion(self, study: str, planned: Sequence[PlannedTrial]) -> list[Picture]:
        """The confusion matrix of the best of a study's trainings."""
        run = [seed for trial in planned if (seed := best_seed(self.standing(trial.config)))]
        if not run:
            return []
        best = self.best[study] = max(run, key=lambda seed: seed.val_accuracy or 0.0)
        file = artifact(self.store, best.run_id, "confusion_matrix.csv")
        if file is None:
            return []
        matrix = pd.read_csv(file, index_col=0, keep_default_na=False)
        title = f"{study}, test split, accuracy {best.test_accuracy:.4f}"
        return [
            self._save(
                figures.confusion({title: matrix}),
                f"{study}-confusion",
                f"Confusion matrix of the training with the best validation accuracy, run {best.run_id}",
            )
        ]

    def _vote(self, study: Study, name: str, planned: Sequence[PlannedTrial]) -> Part:
        assert study.vote is not None
        names = [stage.name for stage in study.stages]
        members, missing = [], []
        for member in study.vote.members:
            stands = self.standing(self._best([t for t in planned if t.stage == names.index(member)]).config)
            runs = {seed: result.run_id for seed, result in stands.finished.items()}
            if runs:
                members.append(Member(member, spread(accuracies(stands)).mean or 0.0, runs))
            else:
                missing.append(member)
        vote = None if missing else vote_of_seeds(self.store, members)
        reason = "" if vote else f"not run yet: {', '.join(missing)}" if missing else "its members share no seed"
        rows = [vote_row(row, vote, reason) for row in study.vote.published or (None,)]
        self._collect(rows, name, "vote")
        if vote is None:
            return Part("vote", comparison.table(rows))
        by_name = {member.name: member for member in members}
        published = {n: r.val_accuracy for n in by_name for r in study.stages[names.index(n)].published}
        published[VOTE] = next((row.val_accuracy for row in study.vote.published), None)
        table = summary(vote, published)
        shown = table.astype(object).map(lambda v: f"{v:.4f}" if isinstance(v, float) and v == v else v).fillna("–")
        figure = figures.confusion(confusions(vote))
        caption = f"Confusion matrices of the best member and of the vote. {VOTE_RULE}"
        return Part("vote", shown, [self._save(figure, f"{name}-vote", caption)])

    def _data(self) -> tuple[str, list[Picture]]:
        """What the data set looks like, if it is on this machine."""
        try:
            data = open_data(self.options, self.options.dataset, self.options.split_seed)
            pixels = data.pixels()
        except DataError as error:
            return f"Not pictured, since it is not here: {' '.join(str(error).split())}", []
        counts = ", ".join(f"{count:,} {split}" for split, count in pixels.counts().items())
        name = self.options.dataset
        return f"{len(pixels.classes)} classes; {counts} images; digest {pixels.digest}.", [
            self._save(figures.class_distribution(class_counts(pixels), name), "classes", "Images of each class"),
            self._save(figures.mean_images(mean_images(pixels), name), "mean-images", "Average image of each class"),
        ]

    def _environments(self) -> list[str]:
        """Machine, packages and code of the trainings that the page rests on."""
        runs: dict[str, int] = {}
        for run_id in self.used:
            file = artifact(self.store, run_id, "environment.json")
            if file is not None:
                text = _environment(json.loads(file.read_text()))
                runs[text] = runs.get(text, 0) + 1
        return [f"{count} training{'s' * (count > 1)}: {text}" for text, count in runs.items()]

    def _save(self, figure: Figure, name: str, caption: str) -> Picture:
        path = f"{self.options.dataset}/{name}.png"
        (self.folder / self.options.dataset).mkdir(exist_ok=True)
        figures.save(figure, self.folder / path)
        return Picture(self.folder, path, caption)


def _title(trial: PlannedTrial) -> str:
    return ", ".join(f"{name}={value}" for name, value in trial.settings.items()) or trial.config.model


def _environment(entry: dict[str, Any]) -> str:
    """One line of an environment.json: packages, machine, threads and commit."""
    packages, machine = entry["packages"], entry["machine"]
    listed = ", ".join(f"{name} {version}" for name, version in packages.items())
    place = f"{machine['processor']}, {machine['cores']} cores, {machine['torch_threads']} torch threads"
    card = "" if machine["accelerator"] == "none" else f", {machine['accelerator']}"
    commit = f"commit {entry['git_commit'][:12]}, " if entry["git_commit"] else ""
    return f"{commit}code {entry['code_version']}; {place}{card}; {listed}"
