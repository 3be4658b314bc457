"""Where a command keeps what is not tracked yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quorum.shared_folder import SharedFolder
from quorum.storage import Storage


@dataclass(frozen=True)
class WorkFolders:
    """Folders below `work_dir`, by run.

    Attributes:
        work_dir: the folder.
        storage: where other machines find them as well.
    """

    work_dir: Path
    storage: Storage | None = None

    def state(self, run_id: str) -> SharedFolder:
        """The state of an unfinished training."""
        return self._shared(f"states/{run_id}")

    def bundle(self, run_id: str) -> SharedFolder:
        """The weights of a finished training, until it is known whether they are kept."""
        return self._shared(f"weights/{run_id}")

    def artifacts(self, run_id: str) -> SharedFolder:
        """Files that a training has written for its run, until they are logged."""
        return self._shared(f"artifacts/{run_id}")

    def checkpoints(self, sweep_run_id: str) -> SharedFolder:
        """States that a sweep keeps for trainings to begin from."""
        return self._shared(f"kept/{sweep_run_id}")

    def activations(self) -> Path:
        """Activations of frozen beginnings of networks, on this machine."""
        return self.work_dir / "activations"

    def first_weights(self, digest: str) -> SharedFolder:
        """The file with the weights that trainings start from, for machines that lack it."""
        return self._shared(f"first-weights/{digest}")

    def _shared(self, key: str) -> SharedFolder:
        return SharedFolder(self.work_dir, key, self.storage)
