"""Finding study files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorum.config import TrialConfig
from quorum.errors import QuorumError, StudyError, unknown
from quorum.study.file import StudyFile, load_study


def find_study(sweeps_dir: Path, study: str | None, overrides: Mapping[str, Any]) -> StudyFile:
    """The study that is meant, by file or by name; by default that of the model.

    Args:
        sweeps_dir: folder of the study files.
        study: a file, or a name in `sweeps_dir/DATASET/`.
        overrides: settings of the command line, of which `dataset` and `model` say where to look.

    Raises:
        StudyError: where there is no such study, or its file is wrong.
    """
    dataset = overrides.get("dataset")
    name = study or str(overrides.get("model", TrialConfig.model_fields["model"].default))
    if Path(name).suffix in (".yaml", ".yml"):
        file = Path(name)
    else:
        folder = sweeps_dir / str(dataset or TrialConfig.model_fields["dataset"].default)
        file = folder / f"{name}.yaml"
        if not file.is_file():
            known = [path.stem for path in folder.glob("*.yaml")]
            raise StudyError(f"study: {unknown('study', name, known)} (files in {folder}/)")
    source = load_study(file)
    if dataset is not None and dataset != source.study.dataset:
        raise StudyError(f"{source.at(('dataset',))}: its dataset is {source.study.dataset}, not {dataset}")
    return source


@dataclass(frozen=True)
class FoundStudies:
    """Study files of a folder.

    Attributes:
        good: those that can be run, by data set and name.
        broken: the error of each that cannot, one line with file and, where there is one, line.
    """

    good: list[StudyFile]
    broken: dict[Path, QuorumError]


def find_studies(
    sweeps_dir: Path, dataset_name: str | None, check: Callable[[StudyFile], None] = lambda _source: None
) -> FoundStudies:
    """The study files of one data set, or of all. One that is broken does not hide the others.

    Args:
        sweeps_dir: folder of the study files.
        dataset_name: of the data set, or None for all.
        check: raises a QuorumError for a study that can be read and not be run.

    Raises:
        StudyError: where there is no study file.
        QuorumError: where all of them are broken: the error of the first.
    """
    names = [dataset_name] if dataset_name else sorted(path.name for path in sweeps_dir.glob("*") if path.is_dir())
    found = FoundStudies([], {})
    for file in (file for name in names for file in sorted((sweeps_dir / name).glob("*.yaml"))):
        try:
            source = load_study(file)
            check(source)
        except QuorumError as error:
            found.broken[file] = error
        else:
            found.good.append(source)
    if not found.good:
        folder = sweeps_dir / dataset_name if dataset_name else sweeps_dir
        raise next(iter(found.broken.values()), StudyError(f"sweeps_dir: no study file in {folder}/"))
    return found
