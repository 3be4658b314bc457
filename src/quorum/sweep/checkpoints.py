"""The states that a sweep keeps on disk while a training that is still to come can begin from them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from quorum.config import TrialConfig
from quorum.engine.optimizers import state_tensors
from quorum.models import on_meta

LIMIT_OF_FREE = 0.5  # of the disk's free space at most, whatever limit is given
RUN = "run.txt"


@dataclass
class KeptStates:
    """One folder for each node of the tree whose state is kept.

    Attributes:
        folder: of the sweep's kept states. What an interrupted sweep has left there is used.
        limit: bytes to use at most. What finds no room is not kept: its epochs are trained again.
        peak: bytes that were used at most.
        refused: states that found no room.
    """

    folder: Path
    limit: float
    peak: int = 0
    refused: int = 0
    _sizes: dict[str, int] = field(default_factory=dict)  # bytes by node; those of running trainings are estimates

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.limit = min(self.limit, LIMIT_OF_FREE * shutil.disk_usage(self.folder).free)
        for path in self.folder.iterdir():
            self._sizes[path.name] = _size(path)
            if not (path / RUN).is_file():  # killed while it was written
                self.drop([path.name])

    def found(self) -> set[str]:
        """Nodes whose states an interrupted sweep has left."""
        return set(self._sizes)

    def place(self, node: str) -> Path:
        """The folder of a node's state."""
        return self.folder / node

    def reserve(self, node: str, config: TrialConfig) -> bool:
        """Find room for the state of a training after an epoch. False where there is none."""
        size = state_bytes(config)
        if sum(self._sizes.values()) + size > self.limit:
            self.refused += 1
            return False
        self._sizes[node] = size
        return True

    def written(self, node: str, run_id: str) -> None:
        """A state has been written by the training of a run."""
        (self.place(node) / RUN).write_text(run_id)
        self._sizes[node] = _size(self.place(node))
        self.peak = max(self.peak, sum(_size(path) for path in self.folder.iterdir()))

    def origin(self, node: str) -> str:
        """The run whose training wrote a state."""
        return (self.place(node) / RUN).read_text()

    def drop(self, nodes: Iterable[str]) -> None:
        """Delete states that nothing will begin from, and give back room that was not needed."""
        for node in list(nodes):
            shutil.rmtree(self.place(node), ignore_errors=True)
            self._sizes.pop(node, None)

    def clear(self) -> None:
        """Delete all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)


def state_bytes(config: TrialConfig) -> int:
    """Size of a training's state, nearly: weights, the best epoch's weights, and what the optimizer holds."""
    return (2 + state_tensors(config)) * sum(
        tensor.numel() * tensor.element_size() for tensor in on_meta(config.model).parameters()
    )


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
