"""How far a whole sweep is: trainings, the epochs that are left to train, and the time that they take."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tqdm.auto import tqdm

from quorum.console import duration, interactive
from quorum.study.plan import PlannedTrial
from quorum.study.prefix import TrainingPath

Nodes = Mapping[str, str]  # the network that trains, by node: an epoch that several trainings begin with is one node


class SweepProgress:
    """Counts the trainings of a sweep, and estimates what is left of it. On a terminal it is a bar.

    Stages to come are counted as planned, from the first trial of the stage before, until their trials are asked for.
    """

    def __init__(self, seeds: Sequence[int] = (), planned: Iterable[PlannedTrial] = (), numerics: str = "") -> None:
        """The progress of a sweep that begins.

        Args:
            seeds: of every trial.
            planned: its trials. Those that are asked for and were not planned count from then on.
            numerics: class of the machine that computes.
        """
        self.begun = 0
        self._seeds = len(seeds)
        self._ahead: dict[int | str, list[Nodes]] = defaultdict(list)  # trials that were not asked for, by stage
        for trial in planned:
            self._ahead[trial.stage] += _nodes(trial, seeds, numerics)
        self.trainings = self._seeds * sum(map(len, self._ahead.values()))
        self._stages: list[str] = []  # that were asked for
        self._left: dict[str, str] = {}  # nodes of the trainings that were asked for
        self._done: set[str] = set()
        self._seconds: dict[str, list[float]] = defaultdict(list)  # of epochs, by network
        self._running = 0
        self._bar = tqdm(unit=" epochs", dynamic_ncols=True, file=sys.stderr, disable=not interactive(), leave=False)
        self._show()

    def ask(self, stage: str, trials: int, stored: int, paths: Iterable[TrainingPath]) -> None:
        """Trials of a stage are asked for.

        Args:
            stage: its name.
            trials: how many.
            stored: trainings of theirs that need not be done.
            paths: the trainings that have to be.
        """
        if stage not in self._stages:
            self._stages.append(stage)
        planned = self._ahead[len(self._stages) - 1]
        self.trainings += self._seeds * max(0, trials - len(planned))
        del planned[:trials]
        self.begun += stored
        self._left |= {node: path.config.model for path in paths for node in path.nodes}
        self._show()

    def begin(self) -> str:
        """A training begins. Returns what it is called: `training 4 of 15`."""
        self.begun += 1
        self._running += 1
        self._show()
        return f"training {self.begun} of {self.trainings}"

    def restored(self, path: TrainingPath, epochs: int) -> None:
        """The first epochs of a training need not be trained."""
        self._done.update(path.nodes[:epochs])
        self._show()

    def trained(self, path: TrainingPath, epoch: int, seconds: float) -> None:
        """A training has trained an epoch, which took some seconds."""
        self._done.add(path.nodes[epoch - 1])
        self._seconds[path.config.model].append(seconds)
        self._show()

    def end(self, path: TrainingPath) -> None:
        """A training has ended, perhaps before its last epoch."""
        self._running -= 1
        self._done.update(path.nodes)
        self._show()

    def epochs_left(self) -> int:
        """Epochs that are still to be trained, each that trainings share once."""
        return len(self._nodes_left())

    def time_left(self) -> str:
        """`6 min left in all`, from the epochs so far; those of a network that has trained none take the mean."""
        seconds = [value for values in self._seconds.values() for value in values]
        if not seconds:
            return ""
        mean = {model: sum(values) / len(values) for model, values in self._seconds.items()}
        usual = sum(seconds) / len(seconds)
        left = sum(mean.get(model, usual) for model in self._nodes_left().values())
        return f"{duration(left / max(self._running, 1))} left in all"

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def _nodes_left(self) -> dict[str, str]:
        found = dict(self._left)
        for trials in self._ahead.values():
            for nodes in trials:
                found.update(nodes)
        return {node: model for node, model in found.items() if node not in self._done}

    def _show(self) -> None:
        if not self._bar.disable:
            self._bar.n = len(self._done)
            self._bar.total = self._bar.n + self.epochs_left()
            self._bar.set_postfix_str(self.time_left(), refresh=False)
            self._bar.set_description(f"sweep, training {self.begun} of {self.trainings}")


def _nodes(trial: PlannedTrial, seeds: Sequence[int], numerics: str) -> list[Nodes]:
    """The nodes of each trial that a planned one stands for. Trials of a search share no epoch."""
    found: list[Nodes] = []
    for number in range(trial.count):
        nodes: dict[str, str] = {}
        for seed in seeds:
            own = f"{trial.stage}/{number}/" if not trial.listed else ""
            path = TrainingPath(trial.config.replace(seed=seed), numerics)
            nodes |= {f"{own}{node}": trial.config.model for node in path.nodes}
        found.append(nodes)
    return found
