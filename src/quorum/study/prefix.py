"""A sweep as a tree: trainings that begin alike share those epochs.

A training is a path, with a node after each epoch. A node names everything that the state there depends on: the
settings that hold for a whole training, the seed, the numerics class, and the recipe of every epoch so far. Two
trainings pass the same node exactly when their states there are equal, bit for bit; so one of them can go on from the
other's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from quorum.config import TrialConfig
from quorum.recipe import recipe_of

# Settings that a recipe holds, epoch by epoch. Trainings that differ in another one share no epoch.
IN_RECIPES = (
    "lr",
    "schedule",
    "gamma",
    "step_size",
    "batch_size",
    "augment",
    "phases",
    "average",
    "epochs",
    "activations",
)


@dataclass(frozen=True)
class TrainingPath:
    """A training as a path through the tree of its sweep.

    Attributes:
        config: its settings, seed included.
        numerics: class of the machine that computes it; "" where paths are only counted.
    """

    config: TrialConfig
    numerics: str = ""

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """The node after each epoch, the first epoch's first: 32 hex digits that are equal where states are."""
        node = (self.config.model_dump_json(exclude=set(IN_RECIPES)) + self.numerics).encode()
        found = []
        for epoch in range(1, self.config.epochs + 1):
            node = hashlib.blake2b(node + repr(recipe_of(self.config, epoch)).encode(), digest_size=16).digest()
            found.append(node.hex())
        return tuple(found)

    def shared(self, other: TrainingPath) -> int:
        """Number of epochs that two trainings begin with alike."""
        low, high = 0, min(len(self.nodes), len(other.nodes))
        while low < high:  # once two paths have parted they stay apart
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.nodes[middle - 1] == other.nodes[middle - 1] else (low, middle - 1)
        return low

    def deepest(self, nodes: Iterable[str]) -> int:
        """The last epoch whose node is among some nodes; 0 where none is."""
        among = set(nodes)
        return next((epoch for epoch in range(len(self.nodes), 0, -1) if self.nodes[epoch - 1] in among), 0)


def forks(path: TrainingPath, others: Iterable[TrainingPath]) -> set[int]:
    """The epochs after which others leave a path, or end on it: there its state serves them."""
    return {epoch for other in others if (epoch := path.shared(other))}
