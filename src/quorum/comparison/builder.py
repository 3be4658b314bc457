"""The page of a report, put together from what is stored."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from quorum.comparison import tables
from quorum.comparison.claims import CLAIM_RULE, JudgedClaim, Known, judge
from quorum.comparison.claims import table as claims_table
from quorum.comparison.curves import distance_lines, read_recorded, trajectory_line
from quorum.comparison.evidence import environments, origins, test_interval
from quorum.comparison.pictures import ReportPictures
from quorum.comparison.rows import Row, row_data, trial_row, vote_row
from quorum.comparison.searches import tried
from quorum.comparison.trainings import StoredTrainings
from quorum.comparison.verdicts import VERDICT_RULE
from quorum.config import AUTO, TrialConfig
from quorum.data.opened import OpenDataset
from quorum.errors import DataError
from quorum.inference import not_told_from_best
from quorum.metric_names import VAL_ACCURACY
from quorum.reporting import bands, figures
from quorum.reporting.pages import ComparisonPage, Part, Picture, Section
from quorum.reporting.tables import STD_NOTE, as_text, vote_confusions
from quorum.study.claims import Claim, RowKey, row_key
from quorum.study.file import StudyFile
from quorum.study.model import PublishedRow, Study
from quorum.study.plan import PlannedTrial, plan
from quorum.study.results import SeedResult, best_seed
from quorum.study.values import canonical
from quorum.summary import best_of
from quorum.tracking.queries import history_frame, predictions
from quorum.tracking.store import TrackingStore
from quorum.training.resolve import protocol, with_batch_size
from quorum.voting.seed_votes import VOTE, SeedVotes, VotingTrial, vote_by_seed
from quorum.voting.vote import VOTE_RULE

OURS_NOTE = (
    "ours: mean ± std of the validation accuracy over n seeds, of the best epoch or, where the study says so, of the "
    "last; its 95% interval is Student's t, that of a test accuracy (of best epochs alone) a bootstrap over seeds and "
    "images. near best: cannot be told from the best of its table (paired by seed, Holm over it; three seeds rarely "
    f"can). collapse: the last epoch is more than 0.05 below the best. {STD_NOTE}"
)


@dataclass
class ReportBuilder:
    """Puts a report together, study by study.

    Attributes:
        store: the tracking store.
        dataset: name of the data set.
        pictures: draws and writes its figures.
        trainings: what is stored, by protocol.
        open_data: opens the data set, for its pictures. Raises DataError where it is not here.
        claims: what the reports conclude.
        rows: all rows so far, each with its study and table.
        used: run ids of all trainings that a row rests on.
        best: each study's training with the best validation accuracy, of those that were run.
        known: what is stored of each published row.
    """

    store: TrackingStore
    dataset: str
    pictures: ReportPictures
    trainings: Mapping[str, StoredTrainings]
    open_data: Callable[[], OpenDataset]
    claims: Sequence[Claim] = ()
    rows: list[tuple[str, str, Row]] = field(default_factory=list)
    used: dict[str, None] = field(default_factory=dict)
    best: dict[str, SeedResult] = field(default_factory=dict)
    known: dict[RowKey, Known] = field(default_factory=dict)

    def stored(self, config: TrialConfig) -> StoredTrainings:
        """The stored trainings of a configuration. Raises DataError where its batch size depends on images that are not
        here."""
        if config.batch_size == AUTO:
            config = with_batch_size(config, self._data_set.catalogue)
        return self.trainings.get(protocol(config), StoredTrainings())

    @property
    def _published(self) -> bool:
        return any(row.published.id for _, _, row in self.rows)

    @functools.cached_property
    def _data_set(self) -> OpenDataset:
        return self.open_data()

    def section(self, source: StudyFile) -> Section:
        """A study's tables and figures."""
        study, name = source.study, source.file.stem
        searched = tried(self.store, study, name)
        best = functools.partial(self._best_trial, study, searched)
        planned = [trial for trial in plan(study, study.first_config({}), best) if trial.listed] + searched
        parts = []
        for number, stage in enumerate(study.stages):
            trials = [trial for trial in planned if trial.stage == number]
            if trials:
                near = self._near_best(study, trials)
                rows = [row for trial in trials for row in self._trial_rows(study, trial, trial in near)]
                figures_of_stage = self._stage_figures(name, stage.name, trials, rows)
            else:
                rows, figures_of_stage = [Row({}, reason="not run yet")], []
            self._collect(rows, name, stage.name)
            parts.append(Part(stage.name, tables.table(rows), figures_of_stage))
        if study.vote is not None:
            parts += self._vote(study, name, planned)
        if study.trajectories:
            parts.append(self._trajectories(study, planned))
        if study.curves is not None:
            parts += self._recorded(source, planned)
        command = f"mlflow run . -e sweep -P dataset={study.dataset} -P study={name}"
        description, confusion = study.description.strip(), self._confusion(name, planned)
        return Section(name, description, command, study.deviations, parts, confusion)

    def page(self, sections: Sequence[Section]) -> ComparisonPage:
        """The whole page."""
        counts = self.counts()
        listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        note, pictures = self._data()
        judged = self.judged_claims()
        return ComparisonPage(
            title=f"{self.dataset}: {'ours beside the published numbers' if self._published else 'what was trained'}",
            head=f"{sum(counts.values())} rows: {listed}.",
            overview=tables.overview(self.rows),
            claims=claims_table(judged) if judged else None,
            figures=self.pictures.studies(self.best),
            made_with=environments(self.store, self.used),
            rules=[OURS_NOTE, VERDICT_RULE, *([CLAIM_RULE] if judged else [])],
            sections=sections,
            data_note=note,
            data_figures=pictures,
        )

    def row_data(self) -> list[dict[str, Any]]:
        """Every row as a JSON value."""
        return [row_data(study, table, row) for study, table, row in self.rows]

    @functools.cached_property
    def _judged(self) -> list[JudgedClaim]:
        return judge(self.claims, self.known, functools.partial(history_frame, self.store, names=[VAL_ACCURACY]))

    def judged_claims(self) -> list[JudgedClaim]:
        """The claims, judged by what all sections so far have found."""
        return self._judged

    def counts(self) -> dict[str, int]:
        """Number of rows by verdict. A published row that two studies have, as a vote's member has, counts once."""
        distinct: dict[Any, Row] = {}
        for study, table, row in self.rows:
            of = (row.published.id,) if row.published.id else (study, table)
            distinct[(*of, str(dict(row.settings)))] = row
        return tables.counts(list(distinct.values()))

    def _best_trial(
        self, study: Study, searched: Sequence[PlannedTrial], trials: Sequence[PlannedTrial]
    ) -> PlannedTrial:
        """The trial that a sweep would go on from: the highest mean of those that were run; the first if none was.

        Args:
            study: the study.
            searched: what its open searches have tried.
            trials: those of a stage that its file says.
        """

        def mean(trial: PlannedTrial) -> float | None:
            stored = self.stored(trial.config)
            return None if stored.failed else stored.of(study.metric).mean

        return best_of([*trials, *(one for one in searched if one.stage == trials[0].stage)], mean) or trials[0]

    def _collect(self, rows: Sequence[Row], study: str, table: str) -> None:
        self.rows += [(study, table, row) for row in rows]

    def _near_best(self, study: Study, trials: Sequence[PlannedTrial]) -> list[PlannedTrial]:
        """The trials of a table that cannot be told from its best."""
        stored = [self.stored(trial.config) for trial in trials]
        values = {str(n): one.by_seed(study.metric) for n, one in enumerate(stored) if not one.failed}
        near = not_told_from_best(values) if sum(map(bool, values.values())) > 1 else set()
        return [trial for n, trial in enumerate(trials) if str(n) in near]

    def _trial_rows(self, study: Study, trial: PlannedTrial, near_best: bool) -> list[Row]:
        stored = self.stored(trial.config)
        self.used |= {seed.run_id: None for seed in stored.finished.values()}
        published: Sequence[PublishedRow | None] = trial.published or (None,)
        for row in trial.published:
            self.known[row_key(row.id, row.at)] = Known(study, row, stored)
        notes, interval = origins(self.store, stored, trial.config.model), test_interval(self.store, stored, study)
        rows = [trial_row(row, trial, stored, study, notes) for row in published]
        return [dataclasses.replace(row, near_best=near_best, test_interval=interval) for row in rows]

    def _seed_histories(self, config: TrialConfig) -> list[pd.DataFrame]:
        runs = [seed.run_id for seed in self.stored(config).finished.values()]
        return [history_frame(self.store, run_id, figures.CURVES) for run_id in runs]

    def _trajectories(self, study: Study, planned: Sequence[PlannedTrial]) -> Part:
        """How published trainings went, beside ours."""
        names = [stage.name for stage in study.stages]
        lines = []
        for one in study.trajectories:
            trial = next(
                trial for trial in planned if names[trial.stage] == one.stage and trial.settings == canonical(one.at)
            )
            lines.append(trajectory_line(one, self._seed_histories(trial.config)))
        return Part("trajectories", pd.DataFrame(lines))

    def _recorded(self, source: StudyFile, planned: Sequence[PlannedTrial]) -> list[Part]:
        """Curves that a report's author recorded, beside ours."""
        assert source.study.curves is not None
        recorded = read_recorded(source.file.parent / source.study.curves)
        lines: list[dict[str, str]] = []
        pictures = []
        for trial, row in [(one, row) for one in planned for row in one.published]:
            histories = self._seed_histories(trial.config)
            if row.id not in recorded or not histories:
                continue
            ours = {metric: bands.band(histories, metric) for metric in figures.CURVES}
            pictures.append(self.pictures.recorded(source.file.stem, row.id, recorded[row.id], ours, len(histories)))
            lines += distance_lines(row.id, recorded[row.id], ours)
        return [Part("recorded curves", pd.DataFrame(lines), pictures)] if lines else []

    def _stage_figures(
        self, study: str, stage: str, trials: Sequence[PlannedTrial], rows: Sequence[Row]
    ) -> list[Picture]:
        run = {_title(trial): best for trial in trials if (best := self.stored(trial.config).best_seed)}
        if not run:
            return []
        return self.pictures.stage(study, stage, tables.bars(rows), list(trials[0].settings), run)

    def _confusion(self, study: str, planned: Sequence[PlannedTrial]) -> list[Picture]:
        """The confusion matrix of the best of a study's trainings."""
        best = best_seed(seed for trial in planned if (seed := self.stored(trial.config).best_seed))
        if best is None:
            return []
        self.best[study] = best
        return self.pictures.confusion(study, best)

    def _vote(self, study: Study, name: str, planned: Sequence[PlannedTrial]) -> list[Part]:
        assert study.vote is not None
        voters = self._voters(study, planned)
        missing = [member for member, voter in voters.items() if voter is None]
        present = [voter for voter in voters.values() if voter is not None]
        vote = None if missing else vote_by_seed(present, study.vote.tie)
        for row in study.vote.published:
            self.known[row_key(row.id, row.at)] = Known(study, row, vote=vote)
        reason = "" if vote else f"not run yet: {', '.join(missing)}" if missing else "its members share no seed"
        rows = [vote_row(row, vote, reason, study.margin) for row in study.vote.published or (None,)]
        self._collect(rows, name, VOTE)
        if vote is None:
            return [Part(VOTE, tables.table(rows))]
        published = {s.name: r.val_accuracy for s in study.stages if s.name in voters for r in s.published}
        published[VOTE] = next((row.val_accuracy for row in study.vote.published), None)
        figure = figures.confusion(vote_confusions(vote.members[0], vote.answers))
        caption = f"Confusion matrices of the best member and of the vote. {VOTE_RULE}"
        table = as_text(vote.table(published))
        return [Part(VOTE, table, [self.pictures.save(figure, f"{name}-vote", caption)]), self._vote_audit(vote, name)]

    def _vote_audit(self, vote: SeedVotes, name: str) -> Part:
        """The vote against its best member, with the images that are between them."""
        try:
            images, captions = vote.pictures(self._data_set.pixels())
        except DataError:
            images = []  # `_data` says so
        pictures = []
        if images:
            figure = figures.pictures(images, captions, "Test images of which one of the two alone is right")
            pictures = [self.pictures.save(figure, f"{name}-discordant", vote.difference())]
        return Part("vote against its best member (McNemar)", as_text(vote.against_best(), exact=("p",)), pictures)

    def _voters(self, study: Study, planned: Sequence[PlannedTrial]) -> dict[str, VotingTrial | None]:
        """The members of a study's vote by name; None for those that were not run."""
        assert study.vote is not None
        names = [stage.name for stage in study.stages]
        voters: dict[str, VotingTrial | None] = {}
        for member in study.vote.members:
            trials = [trial for trial in planned if trial.stage == names.index(member)]
            stored = self.stored(self._best_trial(study, (), trials).config)
            answers = {seed: predictions(self.store, result.run_id) for seed, result in stored.finished.items()}
            voters[member] = VotingTrial(member, stored.of(study.metric).mean or 0.0, answers) if answers else None
        return voters

    def _data(self) -> tuple[str, list[Picture]]:
        """What the data set looks like, if it is on this machine."""
        try:
            pixels = self._data_set.pixels()
        except DataError as error:
            return f"Not pictured, since it is not here: {' '.join(str(error).split())}", []
        counts = ", ".join(f"{count:,} {split}" for split, count in pixels.counts().items())
        note = f"{len(pixels.classes)} classes; {counts} images; digest {pixels.digest}."
        return note, self.pictures.data(pixels)


def _title(trial: PlannedTrial) -> str:
    return ", ".join(f"{name}={value}" for name, value in trial.settings.items()) or trial.config.model
