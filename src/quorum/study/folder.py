"""Where study files lie."""

from __future__ import annotations

from pathlib import Path

SWEEPS_DIR = Path("sweeps")  # where study files are looked for unless another folder is given
_PACKAGED = Path(__file__).parents[1] / "study_files"  # in an installation
_CHECKOUT = Path(__file__).parents[3] / "sweeps"  # of a checkout that is installed editable


def study_folders(sweeps_dir: Path) -> tuple[Path, ...]:
    """Where study files are looked for, a file in the first before one of the same name in the next: the folder that is
    given, and behind the usual `sweeps/` that which quorum brings."""
    brought = next((folder for folder in (_PACKAGED, _CHECKOUT) if folder.is_dir()), None)
    if sweeps_dir != SWEEPS_DIR or brought is None or (sweeps_dir.is_dir() and sweeps_dir.samefile(brought)):
        return (sweeps_dir,)
    return sweeps_dir, brought
