"""`quorum studies`: the study files, what they cost and what was published for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from quorum.api.study_options import StudiesOptions
from quorum.commands.result import Result
from quorum.data import dataset
from quorum.models import is_imagenet
from quorum.reporting import tables
from quorum.study.file import StudyFile
from quorum.study.find import find_studies
from quorum.study.model import PublishedRow, Study
from quorum.study.plan import epochs_to_train, epochs_written, plan
from quorum.training.check import check_study

NOTE = (
    "Epochs are those of all seeds: `written` with every training done by itself, `to train` as a sweep does, which "
    "trains those that several trainings begin with once."
)


def studies(options: StudiesOptions, _given: Mapping[str, str], _store: None) -> Result:
    """List the study files, each checked as far as that needs neither images nor weights; broken ones at the end."""
    if options.dataset is not None:
        dataset(options.dataset)
    found = find_studies(options.sweeps_dir, options.dataset, check_study)
    rows = [describe(source, len(options.seeds)) for source in found.good]
    shown = [
        {**_shown(row), "published": _published(source.study)} for row, source in zip(rows, found.good, strict=True)
    ]
    broken = [
        {"dataset": file.parent.name, "study": file.stem, "error": str(error)} for file, error in found.broken.items()
    ]
    errors = "".join(f"\n\nBroken: {entry['error']}" for entry in broken)
    return Result([*rows, *broken], f"{tables.markdown(pd.DataFrame(shown))}\n\n{NOTE}{errors}")


def describe(source: StudyFile, seeds: int) -> dict[str, Any]:
    """What a study costs and which published systems it repeats, as a JSON value."""
    study = source.study
    planned = plan(study, study.first_config({}))
    return {
        "dataset": study.dataset,
        "study": source.file.stem,
        "trials": sum(trial.count for trial in planned),
        "seeds": seeds,
        "epochs_written": seeds * epochs_written(planned),
        "epochs_to_train": seeds * epochs_to_train(planned),
        "needs_imagenet": any(is_imagenet(trial.config.weights) for trial in planned),
        "published_ids": list(dict.fromkeys(row.id for row in study.published)),
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "data set": row["dataset"],
        "study": row["study"],
        "trials": row["trials"],
        "seeds": row["seeds"],
        "epochs written": f"{row['epochs_written']:,}",
        "epochs to train": f"{row['epochs_to_train']:,}",
        "weights": "ImageNet" if row["needs_imagenet"] else "",
    }


def _published(study: Study) -> str:
    """What was published, in a few words: the range of accuracies, the number of rows, the figures."""
    return ", ".join(filter(None, [_accuracies(study.published), _figures(study.published)]))


def _accuracies(rows: Sequence[PublishedRow]) -> str:
    values = [value for row in rows if (value := row.val_accuracy or row.test_accuracy) is not None]
    if not values:
        return ""
    return f"{min(values):.4g}" if len(values) == 1 else f"{min(values):.4g} to {max(values):.4g} in {len(values)} rows"


def _figures(rows: Sequence[PublishedRow]) -> str:
    numbers = [str(row.figure) for row in rows if row.figure is not None]
    return f"figure{'s' * (len(numbers) > 1)} {', '.join(numbers)}" if numbers else ""
