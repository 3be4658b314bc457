"""`quorum.report`: every published row of a data set's studies, ours beside theirs, as one page."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from quorum.api.computing import open_data
from quorum.api.options import ReportOptions
from quorum.api.own_folders import with_dataset
from quorum.api.session import divide, documented, make_output_folder, named, tracking
from quorum.comparison.builder import ReportBuilder
from quorum.comparison.pictures import ReportPictures
from quorum.comparison.trainings import find_trainings
from quorum.comparison.verdicts import VERDICT_RULE
from quorum.console import say
from quorum.data import FOLDER, is_folder
from quorum.engine.metrics import METRICS
from quorum.errors import DataError, StudyError, unknown
from quorum.reporting import tables
from quorum.reporting.pages import ComparisonPage
from quorum.study.claims import Claim, load_claims
from quorum.study.file import StudyFile
from quorum.study.find import find_studies
from quorum.temporary import temporary_folder
from quorum.tracking import schema
from quorum.tracking.records import Record
from quorum.tracking.run_log import RunLog
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore
from quorum.training.check import check_study


@dataclass(frozen=True)
class Report:
    """Ours beside theirs.

    Attributes:
        run_id: of its MLflow run.
        dataset: name of the data set.
        rows: every row as a JSON value: study, table, id, settings, published, mean, std, n, verdict, reason and more.
        claims: what the reports conclude, judged: id, says, outcome and effects.
        verdicts: number of rows by verdict. A published row that two studies have counts once.
        overview: all rows as one table of text.
        head: the verdicts on one line.
        html, markdown: the files of the page.
    """

    run_id: str
    dataset: str
    rows: list[dict[str, Any]]
    claims: list[dict[str, Any]]
    verdicts: dict[str, int]
    overview: pd.DataFrame
    head: str
    html: Path
    markdown: Path


@documented(ReportOptions, "dataset")
def report(dataset: str | None = None, **settings: Any) -> Report:
    """Compare the stored results of a data set's studies with what was published; write the page and log it.

    Args:
        dataset: its name; by default the one of `path` or `name`, or `digits`.

    Raises:
        QuorumError: for a setting that is wrong, or a study that cannot be read.
    """
    options, _ = divide(ReportOptions, named(dataset, settings), trial=False)
    with tracking(options) as store:
        return run_report(options, store)


def run_report(options: ReportOptions, store: TrackingStore) -> Report:
    """`report` with its options checked and its store open."""
    options = with_dataset(options, store)
    if options.path is not None and not options.path.is_dir():  # images are opened only where a figure needs them
        raise DataError(f"path: {options.path}: no such folder")
    if options.output.exists() and not options.output.is_dir():
        raise DataError(f"output: {options.output} is not a folder")
    make_output_folder(options.output)
    sources, claims = _studies(options)
    record = Record(kind=schema.REPORT_KIND, dataset=options.dataset)
    with (
        begin_run(store, f"report {options.dataset}", record) as log,
        temporary_folder() as temporary,
    ):
        log.params({"dataset": options.dataset, "studies": " ".join(source.file.stem for source in sources)})
        folder = Path(temporary, "page")
        folder.mkdir()
        builder = ReportBuilder(
            store,
            options.dataset,
            ReportPictures(store, options.dataset, folder),
            find_trainings(store, options.dataset),
            lambda: open_data(options, options.dataset, options.split_seed),
            claims,
        )
        page = builder.page([builder.section(source) for source in sources])
        _write(options, builder, page, log)
        html, markdown = (options.output.resolve() / f"{options.dataset}.{kind}" for kind in ("html", "md"))
        return Report(
            log.run_id,
            options.dataset,
            builder.row_data(),
            [claim.data() for claim in builder.judged_claims()],
            builder.counts(),
            page.overview,
            page.head,
            html,
            markdown,
        )


def _studies(options: ReportOptions) -> tuple[Sequence[StudyFile], Sequence[Claim]]:
    """The studies to report on, and the claims; where one study is meant, those that are about its rows alone. A broken
    study that was not asked for is left out, with a line on standard error."""
    kind = FOLDER if is_folder(options.dataset) else None
    found = find_studies(options.sweeps_dir, options.dataset, check_study, kind)
    for file, error in found.broken.items():
        if file.stem == options.study:
            raise error
        if options.study is None:
            say(f"left out: {error}")
    chosen = [source for source in found.good if options.study in (None, source.file.stem)]
    if not chosen:
        raise StudyError(f"study: {unknown('study', str(options.study), [source.file.stem for source in found.good])}")
    claims = load_claims(options.sweeps_dir, options.dataset, found.good, METRICS, all_studies=not found.broken)
    if options.study is None:
        return chosen, claims
    ids = {row.id for source in chosen for row in source.study.published}
    return chosen, [claim for claim in claims if claim.checks and claim.ids <= ids]


def _write(options: ReportOptions, builder: ReportBuilder, page: ComparisonPage, log: RunLog) -> None:
    """Write the page in both forms with its figures and rows, and log all of it."""
    folder, name = builder.pictures.folder, options.dataset
    (folder / f"{name}.html").write_text(page.html())
    (folder / f"{name}.md").write_text(page.markdown())
    pd.DataFrame(builder.row_data()).to_csv(folder / f"{name}.csv", index=False)
    log.artifacts(folder)
    log.metrics({f"rows/{verdict.replace(' ', '_')}": count for verdict, count in builder.counts().items()})
    log.note(f"{page.head}\n\n{tables.markdown(page.overview)}\n\n{VERDICT_RULE}")
    shutil.copytree(folder, options.output, dirs_exist_ok=True)
