"""The states that a sweep keeps on disk while a training that is still to come can begin from them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from pathlib import Path

from quorum.config import TrialConfig
from quorum.engine.optimizers import state_tensors
from quorum.models import on_meta
from quorum.shared_folder import SharedFolder

LIMIT_OF_FREE = 0.5  # of the disk's free space at most, whatever limit is given; a storage's is not known
RUN = "run.txt"
PEAK = "peak.txt"  # bytes that were used at most, for a sweep that goes on


@dataclass
class Checkpoints:
    """One folder for each node of the tree whose state is kept.

    Attributes:
        folder: of the sweep's states. What an interrupted sweep has left there is used.
        limit: bytes to use at most. What finds no room is not kept: its epochs are trained again.
        peak: bytes that were used at most.
        refused: states that found no room.
    """

    folder: SharedFolder
    limit: float
    peak: int = 0
    refused: int = 0
    _written: dict[str, int] = field(default_factory=dict)  # bytes by node
    _reserved: dict[str, int] = field(default_factory=dict)  # bytes by node, estimated

    def __post_init__(self) -> None:
        self.folder.create()
        self.peak = int(self.folder.text(PEAK) or 0)
        if self.folder.storage is None:
            self.limit = room(self.limit, self.folder.path)
        for node, size in self.folder.sizes().items():
            if self.place(node).text(RUN) is not None:
                self._written[node] = size
            else:  # killed while it was written
                self.place(node).discard()

    @property
    def nodes(self) -> Set[str]:
        """Nodes whose states are kept."""
        return self._written.keys()

    def place(self, node: str) -> SharedFolder:
        """The folder of a node's state."""
        return self.folder.child(node)

    def reserve(self, node: str, config: TrialConfig) -> bool:
        """Find room for the state of a training at a node. False where there is none."""
        size = state_bytes(config)
        if sum(self._written.values()) + sum(self._reserved.values()) + size > self.limit:
            self.refused += 1
            return False
        self._reserved[node] = size
        return True

    def written(self, node: str, run_id: str) -> None:
        """A state has been written by the training of a run."""
        self.place(node).add(RUN, run_id)
        self._reserved.pop(node, None)
        sizes = self.folder.sizes()
        self._written[node] = sizes[node]
        used = sum(sizes.values())
        if used > self.peak:
            self.peak = used
            self.folder.add(PEAK, str(used))

    def origin(self, node: str) -> str:
        """The run whose training wrote a state."""
        run_id = self.place(node).text(RUN)
        assert run_id is not None, "it is read for states that were written"
        return run_id

    def drop(self, nodes: Iterable[str]) -> None:
        """Delete states, and give back room that was reserved and not used."""
        for node in list(nodes):
            self.place(node).discard()
            self._written.pop(node, None)
            self._reserved.pop(node, None)

    def clear(self) -> None:
        """Delete all of them."""
        self.folder.discard()


def room(limit: float, folder: Path) -> float:
    """Bytes that states may take in a folder, which need not be there yet: the limit, or a part of the free disk."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return min(limit, LIMIT_OF_FREE * shutil.disk_usage(there).free)


def state_bytes(config: TrialConfig) -> int:
    """Size of a training's state, nearly: weights, the best epoch's, their average if there is one, and what the
    optimizer holds."""
    weights = sum(tensor.numel() * tensor.element_size() for tensor in on_meta(config.model).parameters())
    return (2 + (config.average != "none") + state_tensors(config)) * weights
