"""Which training of a tree may start when, from which kept state, and which states are still needed.

The schedule owns what waits and what runs; `Checkpoints` own what is kept. Neither repeats what the other knows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from quorum.config import TrialConfig
from quorum.study.prefix import TrainingPath, forks

T = TypeVar("T")


class Kept(Protocol):
    """The states that are kept for trainings to begin from, by node."""

    @property
    def nodes(self) -> Collection[str]:
        """Nodes whose states are there."""

    def reserve(self, node: str, config: TrialConfig) -> bool:
        """Find room for the state of a training at a node. False where there is none."""

    def drop(self, nodes: Iterable[str]) -> None:
        """Delete states, and give back room that was reserved and not used."""


@dataclass
class Running(Generic[T]):
    """A training that is under way.

    Attributes:
        path: its path.
        task: what was scheduled with it.
        start: the kept state that it began from, as an epoch; 0 for none.
        keep: epochs after which its state will be kept.
        epoch: the last epoch that it has trained.
    """

    path: TrainingPath
    task: T
    start: int
    keep: frozenset[int]
    epoch: int = 0

    @property
    def kept_nodes(self) -> set[str]:
        """The nodes whose states it keeps."""
        return {self.path.nodes[epoch - 1] for epoch in self.keep}

    def will_serve(self, other: TrainingPath, has: int) -> bool:
        """Whether this training is about to keep a state that saves another one epochs, beyond the `has` it has."""
        return any(max(has, self.epoch) < epoch <= self.path.shared(other) for epoch in self.keep)


@dataclass
class Schedule(Generic[T]):
    """Trainings that wait, run, or may be asked for later.

    A training waits while another that is running will soon have a state from which it can go on. So epochs that
    trainings share are trained once, whatever is run side by side.

    Attributes:
        kept: the states that are kept.
        waiting: trainings that have to be run, in the order in which they should be, each with its task.
        possible: trainings that later stages may ask for.
        running: trainings under way.
    """

    kept: Kept
    waiting: dict[TrainingPath, T] = field(default_factory=dict)
    possible: Sequence[TrainingPath] = ()
    running: list[Running[T]] = field(default_factory=list)

    def plan(self, waiting: dict[TrainingPath, T], possible: Sequence[TrainingPath] = ()) -> None:
        """Put trainings into the schedule. States that none of them will begin from are deleted."""
        self.waiting, self.possible = dict(waiting), possible
        self._drop_superfluous()

    def start(self) -> Running[T] | None:
        """Start the first training that need not wait for another, or None."""
        for path in self.waiting:
            has = path.deepest(self.kept.nodes)
            if not any(other.will_serve(path, has) for other in self.running):
                task = self.waiting.pop(path)
                others = [other for other in (*self.waiting, *self.possible) if other != path]
                wanted = sorted(epoch for epoch in forks(path, others) if epoch > has)
                keep = frozenset(epoch for epoch in wanted if self.kept.reserve(path.nodes[epoch - 1], path.config))
                self.running.append(Running(path, task, has, keep))
                return self.running[-1]
        return None

    def end(self, ended: Running[T]) -> None:
        """A training has ended, however it did. States that are not needed without it are deleted."""
        self.running.remove(ended)
        kept = set(self.kept.nodes)
        reserved = {node for other in self.running for node in other.kept_nodes}  # by one that may be writing it now
        self.kept.drop(ended.kept_nodes - kept - reserved)
        self._drop_superfluous()

    def _drop_superfluous(self) -> None:
        """Delete the states that no training will begin from: each that is to come begins from the deepest one."""
        nodes = set(self.kept.nodes)
        others: Iterable[TrainingPath] = (*self.waiting, *self.possible, *(other.path for other in self.running))
        needed = {path.nodes[epoch - 1] for path in others if (epoch := path.deepest(nodes))}
        self.kept.drop(nodes - needed)
