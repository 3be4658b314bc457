"""Finding study files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quorum.errors import QuorumError, StudyError, unknown
from quorum.study.file import StudyFile, load_study
from quorum.study.folder import study_folders


def is_file(study: str | None) -> bool:
    """Whether a study is given by its file and not by its name."""
    return study is not None and Path(study).suffix in (".yaml", ".yml")


def find_study(sweeps_dir: Path, study: str, dataset: str, kind: str | None = None) -> StudyFile:
    """The study that is meant, of the data set that is meant.

    Args:
        sweeps_dir: folder of the study files.
        study: a file, or a name in `sweeps_dir/DATASET/`.
        dataset: name of the data set.
        kind: that of all such data sets, whose studies are also theirs.

    Raises:
        StudyError: where there is no such study, or its file is wrong or that of another data set.
    """
    places = study_folders(sweeps_dir)
    folders = [place / name for name in (dataset, kind) if name is not None for place in places]
    if is_file(study):
        file = Path(study)
    else:
        files = [folder / f"{study}.yaml" for folder in folders]
        found = [file for file in files if file.is_file()]
        if not found:
            known = dict.fromkeys(path.stem for folder in folders for path in sorted(folder.glob("*.yaml")))
            where = " and ".join(f"{folder}/" for folder in folders if folder.is_dir()) or f"{folders[0]}/"
            raise StudyError(f"study: {unknown('study', study, known)} (files in {where})")
        file = found[0]
    source = load_study(file)
    if source.study.dataset not in (dataset, kind):
        raise StudyError(f"{source.at(('dataset',))}: its dataset is {source.study.dataset}, not {dataset}")
    return source.of_dataset(dataset)


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
    sweeps_dir: Path,
    dataset_name: str | None,
    check: Callable[[StudyFile], None] = lambda _source: None,
    kind: str | None = None,
) -> FoundStudies:
    """The study files of one data set, or of all. One that is broken does not hide the others.

    Args:
        sweeps_dir: folder of the study files.
        dataset_name: of the data set, or None for all.
        check: raises a QuorumError for a study that can be read and not be run.
        kind: that of all such data sets, whose studies are also theirs. One of the same name comes after its own.

    Raises:
        StudyError: where there is no study file.
        QuorumError: where all of them are broken: the error of the first.
    """
    places = study_folders(sweeps_dir)
    named = {path.name for place in places for path in place.glob("*") if path.is_dir()}
    files = (
        _files(places, dataset_name, kind)
        if dataset_name
        else [file for name in sorted(named) for file in _files(places, name)]
    )
    found = FoundStudies([], {})
    for file in files:
        try:
            source = load_study(file)
            if kind is not None and dataset_name is not None and source.study.dataset == kind:
                source = source.of_dataset(dataset_name)
            check(source)
        except QuorumError as error:
            found.broken[file] = error
        else:
            found.good.append(source)
    if not found.good:
        folder = sweeps_dir / dataset_name if dataset_name else sweeps_dir
        raise next(iter(found.broken.values()), StudyError(f"sweeps_dir: no study file in {folder}/"))
    return found


def _files(places: Sequence[Path], *names: str | None) -> list[Path]:
    """Study files in the folders of some names: of several that are called alike, the first."""
    folders = [place / name for name in names if name is not None for place in places]
    found: dict[str, Path] = {}
    for file in (file for folder in folders for file in sorted(folder.glob("*.yaml"))):
        found.setdefault(file.name, file)
    return list(found.values())
