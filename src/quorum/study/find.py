"""Finding study files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quorum.config import TrialConfig
from quorum.errors import StudyError, unknown
from quorum.study.file import StudyFile, load_study


def find_study(sweeps_dir: Path, study: str | None, overrides: Mapping[str, Any]) -> StudyFile:
    """The study that is meant, by file or by name; by default that of the model.

    Args:
        sweeps_dir: folder of the study files.
        study: a file, or a name in `sweeps_dir/DATASET/`.
        overrides: settings of the command line, of which `dataset` and `model` say where to look.

    Raises:
        StudyError: where there is none.
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


def find_studies(sweeps_dir: Path, dataset_name: str | None) -> list[StudyFile]:
    """The study files of one data set, or of all, by name.

    Raises:
        StudyError: where there is none, or one of them is wrong.
    """
    names = [dataset_name] if dataset_name else sorted(path.name for path in sweeps_dir.glob("*") if path.is_dir())
    found = [load_study(file) for name in names for file in sorted((sweeps_dir / name).glob("*.yaml"))]
    if not found:
        raise StudyError(f"sweeps_dir: no study file in {sweeps_dir / names[0] if dataset_name else sweeps_dir}/")
    return found
