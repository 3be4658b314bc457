"""Where a command keeps what is not tracked yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkFolders:
    """Folders below `work_dir`, by run.

    Attributes:
        work_dir: the folder.
    """

    work_dir: Path

    def state(self, run_id: str) -> Path:
        """The state of an unfinished training."""
        return self.work_dir / "states" / run_id

    def bundle(self, run_id: str) -> Path:
        """The weights of a finished training, until it is known whether they are kept."""
        return self.work_dir / "weights" / run_id

    def artifacts(self, run_id: str) -> Path:
        """Files that a training has written for its run, until they are logged."""
        return self.work_dir / "artifacts" / run_id

    def checkpoints(self, sweep_run_id: str) -> Path:
        """States that a sweep keeps for trainings to begin from."""
        return self.work_dir / "kept" / sweep_run_id
