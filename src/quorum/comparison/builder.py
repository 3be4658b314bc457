"""The page of a report, put together from what is stored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from quorum.comparison import tables
from quorum.comparison.rows import Row, row_data, trial_row, vote_row
from quorum.comparison.trainings import StoredTrainings
from quorum.comparison.verdicts import VERDICT_RULE
from quorum.config import TrialConfig
from quorum.data.opened import OpenDataset
from quorum.data.summary import class_counts, mean_images
from quorum.errors import DataError
from quorum.reporting import figures
from quorum.reporting.pages import ComparisonPage, Part, Picture, Section
from quorum.reporting.tables import STD_NOTE, vote_confusions
from quorum.study.file import StudyFile
from quorum.study.model import PublishedRow, Study
from quorum.study.plan import PlannedTrial, plan
from quorum.study.results import SeedResult, best_seed
from quorum.summary import best_of
from quorum.tracking import schema
from quorum.tracking.queries import artifact, history_frame, predictions
from quorum.tracking.store import TrackingStore
from quorum.training.resolve import protocol
from quorum.voting.seed_votes import VOTE, VotingTrial, vote_by_seed
from quorum.voting.vote import VOTE_RULE

OURS_NOTE = f"ours: mean ± std of the best epoch's validation accuracy over n seeds. {STD_NOTE}"


@dataclass
class ReportBuilder:
    """Puts a report together, study by study.

    Attributes:
        store: the tracking store.
        dataset: name of the data set.
        folder: where page and figures are written.
        trainings: what is stored, by protocol.
        open_data: opens the data set, for its pictures. Raises DataError where it is not here.
        rows: all rows so far, each with its study and table.
        used: run ids of all trainings that a row rests on.
        best: each study's training with the best validation accuracy, of those that were run.
    """

    store: TrackingStore
    dataset: str
    folder: Path
    trainings: Mapping[str, StoredTrainings]
    open_data: Callable[[], OpenDataset]
    rows: list[tuple[str, str, Row]] = field(default_factory=list)
    used: dict[str, None] = field(default_factory=dict)
    best: dict[str, SeedResult] = field(default_factory=dict)

    def stored(self, config: TrialConfig) -> StoredTrainings:
        """The stored trainings of a configuration."""
        return self.trainings.get(protocol(config), StoredTrainings())

    def section(self, source: StudyFile) -> Section:
        """A study's tables and figures."""
        study, name = source.study, source.file.stem
        planned = [trial for trial in plan(study, study.first_config({}), self._best_trial) if trial.listed]
        parts = []
        for number, stage in enumerate(study.stages):
            trials = [trial for trial in planned if trial.stage == number]
            if trials:
                rows = [row for trial in trials for row in self._trial_rows(trial)]
                self._collect(rows, name, stage.name)
                parts.append(Part(stage.name, tables.table(rows), self._stage_figures(name, stage.name, trials, rows)))
        if study.vote is not None:
            parts.append(self._vote(study, name, planned))
        command = f"mlflow run . -e sweep -P dataset={study.dataset} -P study={name}"
        return Section(name, study.description.strip(), command, parts, self._confusion(name, planned))

    def page(self, sections: Sequence[Section]) -> ComparisonPage:
        """The whole page."""
        counts = self.counts()
        listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        note, pictures = self._data()
        return ComparisonPage(
            title=f"{self.dataset}: ours beside the published numbers",
            head=f"{sum(counts.values())} rows: {listed}.",
            overview=tables.overview(self.rows),
            figures=self._all_curves(),
            made_with=self._environments(),
            rules=[OURS_NOTE, VERDICT_RULE],
            sections=sections,
            data_note=note,
            data_figures=pictures,
        )

    def row_data(self) -> list[dict[str, Any]]:
        """Every row as a JSON value."""
        return [row_data(study, table, row) for study, table, row in self.rows]

    def counts(self) -> dict[str, int]:
        """Number of rows by verdict. A published row that two studies have, as a vote's member has, counts once."""
        distinct: dict[Any, Row] = {}
        for study, table, row in self.rows:
            distinct[(row.published.id, str(dict(row.settings))) if row.published.id else (study, table)] = row
        return tables.counts(list(distinct.values()))

    def _best_trial(self, trials: Sequence[PlannedTrial]) -> PlannedTrial:
        """The trial that a sweep would go on from: the highest mean of those that were run; the first if none was.

        What an open search found is not known here, so a stage after one is looked for around the search's base.
        """

        def mean(trial: PlannedTrial) -> float | None:
            stored = self.stored(trial.config)
            return None if stored.failed else stored.accuracy.mean

        return best_of(trials, mean) or trials[0]

    def _collect(self, rows: Sequence[Row], study: str, table: str) -> None:
        self.rows += [(study, table, row) for row in rows]

    def _trial_rows(self, trial: PlannedTrial) -> list[Row]:
        stored = self.stored(trial.config)
        self.used |= {seed.run_id: None for seed in stored.finished.values()}
        published: Sequence[PublishedRow | None] = trial.published or (None,)
        return [trial_row(row, trial, stored) for row in published]

    def _stage_figures(
        self, study: str, stage: str, trials: Sequence[PlannedTrial], rows: Sequence[Row]
    ) -> list[Picture]:
        run = {_title(trial): best for trial in trials if (best := self.stored(trial.config).best_seed)}
        if not run:
            return []
        bars = figures.error_bars(tables.bars(rows), list(trials[0].settings), f"{study}: {stage}", "ours")
        curves = figures.curves(self._histories(run), f"{study}: {stage}, the best seed of each")
        return [
            self._save(bars, f"{study}-{stage}", f"{study}, {stage}: mean ± std, ours and published"),
            self._save(curves, f"{study}-{stage}-curves", f"{study}, {stage}: loss and accuracy by epoch"),
        ]

    def _histories(self, seeds: Mapping[str, SeedResult]) -> dict[str, pd.DataFrame]:
        return {name: history_frame(self.store, seed.run_id, figures.CURVES) for name, seed in seeds.items()}

    def _all_curves(self) -> list[Picture]:
        """The best training of every study on one plot, where there are several."""
        if len(self.best) < 2:
            return []
        figure = figures.curves(self._histories(self.best), f"{self.dataset}: the best training of each study")
        return [self._save(figure, "curves", "Loss and accuracy by epoch of the best training of each study")]

    def _confusion(self, study: str, planned: Sequence[PlannedTrial]) -> list[Picture]:
        """The confusion matrix of the best of a study's trainings."""
        best = best_seed(seed for trial in planned if (seed := self.stored(trial.config).best_seed))
        if best is None:
            return []
        self.best[study] = best
        file = artifact(self.store, best.run_id, schema.CONFUSION)
        if file is None:
            return []
        matrix = pd.read_csv(file, index_col=0, keep_default_na=False)
        title = f"{study}, test split, accuracy {best.test_accuracy:.4f}"
        caption = f"Confusion matrix of the training with the best validation accuracy, run {best.run_id}"
        return [self._save(figures.confusion({title: matrix}), f"{study}-confusion", caption)]

    def _vote(self, study: Study, name: str, planned: Sequence[PlannedTrial]) -> Part:
        assert study.vote is not None
        voters = self._voters(study, planned)
        missing = [member for member, voter in voters.items() if voter is None]
        vote = None if missing else vote_by_seed([voter for voter in voters.values() if voter is not None])
        reason = "" if vote else f"not run yet: {', '.join(missing)}" if missing else "its members share no seed"
        rows = [vote_row(row, vote, reason) for row in study.vote.published or (None,)]
        self._collect(rows, name, VOTE)
        if vote is None:
            return Part(VOTE, tables.table(rows))
        published = {s.name: r.val_accuracy for s in study.stages if s.name in voters for r in s.published}
        published[VOTE] = next((row.val_accuracy for row in study.vote.published), None)
        figure = figures.confusion(vote_confusions(vote.members[0], vote.labels, vote.best, vote.decided))
        caption = f"Confusion matrices of the best member and of the vote. {VOTE_RULE}"
        return Part(VOTE, tables.as_text(vote.table(published)), [self._save(figure, f"{name}-vote", caption)])

    def _voters(self, study: Study, planned: Sequence[PlannedTrial]) -> dict[str, VotingTrial | None]:
        """The members of a study's vote by name; None for those that were not run."""
        assert study.vote is not None
        names = [stage.name for stage in study.stages]
        voters: dict[str, VotingTrial | None] = {}
        for member in study.vote.members:
            trials = [trial for trial in planned if trial.stage == names.index(member)]
            stored = self.stored(self._best_trial(trials).config)
            answers = {seed: predictions(self.store, result.run_id) for seed, result in stored.finished.items()}
            voters[member] = VotingTrial(member, stored.accuracy.mean or 0.0, answers) if answers else None
        return voters

    def _data(self) -> tuple[str, list[Picture]]:
        """What the data set looks like, if it is on this machine."""
        try:
            pixels = self.open_data().pixels()
        except DataError as error:
            return f"Not pictured, since it is not here: {' '.join(str(error).split())}", []
        counts = ", ".join(f"{count:,} {split}" for split, count in pixels.counts().items())
        name = self.dataset
        return f"{len(pixels.classes)} classes; {counts} images; digest {pixels.digest}.", [
            self._save(figures.class_distribution(class_counts(pixels), name), "classes", "Images of each class"),
            self._save(figures.mean_images(mean_images(pixels), name), "mean-images", "Average image of each class"),
        ]

    def _environments(self) -> list[str]:
        """Machine, packages and code of the trainings that the page rests on."""
        runs: dict[str, int] = {}
        for run_id in self.used:
            file = artifact(self.store, run_id, schema.ENVIRONMENT)
            if file is not None:
                text = _environment(json.loads(file.read_text()))
                runs[text] = runs.get(text, 0) + 1
        return [f"{count} training{'s' * (count > 1)}: {text}" for text, count in runs.items()]

    def _save(self, figure: Figure, name: str, caption: str) -> Picture:
        path = f"{self.dataset}/{name}.png"
        (self.folder / self.dataset).mkdir(exist_ok=True)
        figures.save(figure, self.folder / path)
        return Picture(self.folder, path, caption)


def _title(trial: PlannedTrial) -> str:
    return ", ".join(f"{name}={value}" for name, value in trial.settings.items()) or trial.config.model


def _environment(entry: Mapping[str, Any]) -> str:
    """One line of an environment.json: packages, machine, threads and commit."""
    packages, machine = entry["packages"], entry["machine"]
    listed = ", ".join(f"{name} {version}" for name, version in packages.items())
    place = f"{machine['processor']}, {machine['cores']} cores, {machine['torch_threads']} torch threads"
    card = "" if machine["accelerator"] == "none" else f", {machine['accelerator']}"
    commit = f"commit {entry['git_commit'][:12]}, " if entry["git_commit"] else ""
    return f"{commit}code {entry['code_version']}; {place}{card}; {listed}"
