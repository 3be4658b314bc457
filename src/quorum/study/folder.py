"""Where study files lie."""

from __future__ import annotations

from pathlib import Path

SWEEPS_DIR = Path("sweeps")  # where the study files are looked for unless another folder is given
_PACKAGED = Path(__file__).parents[1] / "study_files"  # in an installation
_CHECKOUT = Path(__file__).parents[3] / "sweeps"  # of a checkout that is installed editable


def studies_folder(given: Path) -> Path:
    """Where study files are: the folder that is given; in the place of a `sweeps/` that does not exist, those that
    quorum brings."""
    if given != SWEEPS_DIR or given.is_dir():
        return given
    return next((folder for folder in (_PACKAGED, _CHECKOUT) if folder.is_dir()), given)
