"""`quorum report`: every published row of a data set's studies, ours beside theirs, as one page."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from quorum.commands.options import ReportOptions
from quorum.commands.result import Result
from quorum.comparison import verdicts as comparison
from quorum.comparison.builder import Draft
from quorum.comparison.trainings import find_trainings
from quorum.console import say
from quorum.data import dataset
from quorum.errors import DataError, StudyError, unknown
from quorum.report import tables
from quorum.report.pages import ComparisonPage
from quorum.study.file import StudyFile
from quorum.study.find import find_studies
from quorum.tracking import schema
from quorum.tracking.runs import RunLog, begin_run
from quorum.tracking.store import Store
from quorum.training.check import check_study


def report(options: ReportOptions, store: Store) -> Result:
    """Compare what stands in the store with what was published; write the page and log it."""
    dataset(options.dataset)
    if options.output.exists() and not options.output.is_dir():
        raise DataError(f"output: {options.output} is not a folder")
    sources = _studies(options)
    with begin_run(store, "report", f"report {options.dataset}", {schema.DATASET: options.dataset}) as log:
        log.params({"dataset": options.dataset, "studies": " ".join(source.file.stem for source in sources)})
        with tempfile.TemporaryDirectory(prefix="quorum-") as temporary:
            folder = Path(temporary, "page")
            folder.mkdir()
            draft = Draft(options, store, folder, find_trainings(store, options.dataset))
            page = draft.page([draft.section(source) for source in sources])
            _write(options, draft, page, log)
        return _answer(options, draft, page, log)


def _studies(options: ReportOptions) -> list[StudyFile]:
    """The studies to report on. A broken one that was not asked for is left out, with a line on standard error."""
    found = find_studies(options.sweeps_dir, options.dataset, check_study)
    for file, error in found.broken.items():
        if file.stem == options.study:
            raise error
        if options.study is None:
            say(f"left out: {error}")
    chosen = [source for source in found.good if options.study in (None, source.file.stem)]
    if not chosen:
        raise StudyError(f"study: {unknown('study', str(options.study), [source.file.stem for source in found.good])}")
    return chosen


def _write(options: ReportOptions, draft: Draft, page: ComparisonPage, log: RunLog) -> None:
    """Write the page in both forms with its figures and rows, and log all of it."""
    folder, name = draft.folder, options.dataset
    (folder / f"{name}.html").write_text(page.html())
    (folder / f"{name}.md").write_text(page.markdown())
    draft.frame().to_csv(folder / f"{name}.csv", index=False)
    log.artifacts(folder)
    log.metrics({f"rows/{verdict.replace(' ', '_')}": count for verdict, count in draft.counts().items()})
    log.note(f"{page.head}\n\n{tables.markdown(page.overview)}\n\n{comparison.RULE}")
    options.output.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, options.output, dirs_exist_ok=True)


def _answer(options: ReportOptions, draft: Draft, page: ComparisonPage, log: RunLog) -> Result:
    html, text = (options.output.resolve() / f"{options.dataset}.{kind}" for kind in ("html", "md"))
    data: dict[str, Any] = {
        "run_id": log.run_id,
        "dataset": options.dataset,
        "html": str(html),
        "markdown": str(text),
        "verdicts": draft.counts(),
        "rows": draft.row_data(),
    }
    return Result(data, f"{tables.markdown(page.overview)}\n\n{page.head}\n{html}\n{text}")
