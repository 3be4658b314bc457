"""Which training of a tree may start when, from which kept state, and which states are still needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from quorum.study.prefix import TrainingPath, forks


@dataclass
class Running:
    """A training that is under way.

    Attributes:
        path: its way.
        start: the kept state that it began from, as an epoch; 0 for none.
        keep: epochs after which its state will be kept.
        epoch: the last epoch that it has trained.
    """

    path: TrainingPath
    start: int
    keep: frozenset[int]
    epoch: int = 0

    def owes(self, other: TrainingPath, has: int) -> bool:
        """Whether this training is about to keep a state that saves another one epochs, beyond the `has` it has."""
        return any(max(has, self.epoch) < epoch <= self.path.shared(other) for epoch in self.keep)


@dataclass
class Schedule:
    """Trainings that wait, run, or may be asked for later, and the states that are kept for them.

    A training waits while another that is running will soon have a state from which it can go on. So epochs that
    trainings share are trained once, whatever is run side by side.

    Attributes:
        waiting: trainings that have to be run, in the order in which they should be.
        possible: trainings that later stages may ask for.
        kept: nodes whose states are kept.
        running: trainings under way.
    """

    waiting: list[TrainingPath] = field(default_factory=list)
    possible: Sequence[TrainingPath] = ()
    kept: set[str] = field(default_factory=set)
    running: list[Running] = field(default_factory=list)

    def start(self) -> Running | None:
        """Start the first training that need not wait for another, or None."""
        for path in self.waiting:
            has = path.deepest(self.kept)
            if not any(other.owes(path, has) for other in self.running):
                self.waiting.remove(path)
                others = [other for other in (*self.waiting, *self.possible) if other != path]
                keep = frozenset(epoch for epoch in forks(path, others) if epoch > has)
                started = Running(path, has, keep)
                self.running.append(started)
                return started
        return None

    def end(self, ended: Running) -> None:
        """A training has ended, however it did."""
        self.running.remove(ended)

    def superfluous(self) -> set[str]:
        """Kept nodes that no training will begin from: each that is to come begins from the deepest on its way."""
        others: Iterable[TrainingPath] = (*self.waiting, *self.possible, *(other.path for other in self.running))
        needed = {path.nodes[epoch - 1] for path in others if (epoch := path.deepest(self.kept))}
        return self.kept - needed
