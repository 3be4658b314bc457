"""Training one configuration with one seed, from its first epoch or from where it was interrupted."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from quorum.averages import Averaging
from quorum.config import TrialConfig
from quorum.engine.activations import ActivationStore
from quorum.engine.averaging import WeightAverage
from quorum.engine.cut_batches import BatchSource, CutBatches
from quorum.engine.epoch import Batch, Evaluation, Pass, evaluate, ignore, train_epoch
from quorum.engine.frozen import frozen_beginning, frozen_norms
from quorum.engine.history import EpochRecord, History
from quorum.engine.losses import make_loss
from quorum.engine.optimizers import make_optimizer
from quorum.engine.state import TrainingState, Weights, copy_weights
from quorum.engine.states import NO_STATES, Saver, States
from quorum.errors import DivergedError, ModelError, unknown
from quorum.metric_names import EPOCH_SECONDS, IMAGES_PER_SECOND, LR, VAL_NETWORK, split_metric
from quorum.randomness import seed_everything
from quorum.recipe import Recipe, rates_of, recipe_of
from quorum.versions import code_version


@dataclass(frozen=True)
class Progress:
    """An event of a training.

    Attributes:
        records: the epoch just trained or, first, those that were restored with a state.
        restored: which of the two.
        kept: the epoch under which the state was kept for others to begin from; 0 where it was not, since nobody asked
            for it or writing it would have taken longer than training again. It is the one just
            trained, or a later one that training has ended before, see `Training.kept_as`.
        paused: whether the training stops here though it is not finished, since its time is up. Its state is written.
    """

    records: tuple[EpochRecord, ...]
    restored: bool = False
    kept: int = 0
    paused: bool = False


Groups = Mapping[str, Sequence[nn.Parameter]]


def check_groups(config: TrialConfig, groups: Groups) -> None:
    """Raise ModelError where a phase names a parameter group that the network lacks."""
    for epoch in range(1, config.epochs + 1):
        for name in recipe_of(config, epoch).groups:
            if name not in groups:
                shown = [group for group in groups if "." not in group]
                raise ModelError(f"phases: {unknown('parameter group', name, groups, shown)}", setting="phases")


def train_only(groups: Groups, names: Collection[str]) -> None:
    """Have the parameters of some groups require gradients, and no others."""
    trained = {id(parameter) for name in names for parameter in groups[name]}
    for parameter in groups["all"]:
        parameter.requires_grad_(id(parameter) in trained)
        if id(parameter) not in trained:
            parameter.grad = None


def at_rates(batches: Iterable[Batch], rates: Iterable[float], optimizer: torch.optim.Optimizer) -> Iterator[Batch]:
    """Batches, each after its learning rate has been set."""
    for batch, rate in zip(batches, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        yield batch


@dataclass
class Training:
    """A network on its way through the epochs of a configuration.

    Attributes:
        config: resolved settings.
        model: on the device; holds the weights after the last epoch of `history`.
        average: of its weights; None where nothing has been averaged.
        groups: its parameters by group.
        batches: its data.
        store: where activations of a frozen beginning are kept; None keeps them in memory.
        loss: that is measured in validation and test, whatever the balance of classes, so that it compares.
        training_loss: that is trained on: the same, with classes weighted where that is asked for.
    """

    config: TrialConfig
    model: nn.Module
    groups: Groups
    batches: BatchSource
    store: ActivationStore | None = None

    def __post_init__(self) -> None:
        check_groups(self.config, self.groups)
        self.optimizer = make_optimizer(self.config, self.model.parameters())
        self.loss = self.training_loss = make_loss(self.config.loss)
        if self.config.balance == "weights":
            self.training_loss = functools.partial(self.loss, class_weights=self.batches.class_weights())
        self.history = History()
        self.best_weights: Weights = {}
        self.average: WeightAverage | None = None
        self._training_groups: tuple[str, ...] = ()
        self._still: list[nn.Module] = []
        self._cut: CutBatches | None = None

    def run(
        self, states: States = NO_STATES, on_batch: Callable[[int], None] = ignore, until: float = math.inf
    ) -> Iterator[Progress]:
        """Train the epochs that are left, one a step. Then the network has the last epoch's weights.

        Args:
            states: where states are.
            on_batch: called with the number of images after each batch.
            until: when to stop after the epoch that is trained, in seconds since 1970.

        Raises:
            DivergedError: when the training or validation loss is not finite.
        """
        if (state := states.load()) is not None:
            self.restore(state)
            yield Progress(tuple(self.history.records), restored=True)
        saver = Saver(states.own)
        paused, kept_last = False, 0
        while not (self.finished or paused):
            record = self.run_epoch(len(self.history.records) + 1, on_batch)
            kept = self.kept_as(states.keep)
            paused = not self.finished and time.time() >= until
            spared = sum(record.values[EPOCH_SECONDS] for record in self.history.records[kept_last:])
            if kept and saver.keep(states.keep[kept], self.state, spared):
                kept_last = kept
            else:
                kept = 0
                saver.save(self.state, at_once=paused)
            yield Progress((record,), kept=kept, paused=paused)

    @property
    def stopped_early(self) -> bool:
        """Whether `patience` has ended it before its last epoch. That follows from the history, so it is the same after
        an interruption, and for every training with the same beginning."""
        patience, trained = self.config.patience, len(self.history.records)
        return trained < self.config.epochs and 0 < patience <= self.history.epochs_since_best

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to train."""
        return len(self.history.records) >= self.config.epochs or self.stopped_early

    def kept_as(self, wanted: Collection[int]) -> int:
        """The epoch, of those after which a state is wanted, whose state this is; 0 for none.

        All trainings that pass a later epoch have stopped where this one has, so its state is theirs. That of the next
        such epoch serves those after it as well.
        """
        last = self.history.last.epoch
        if self.stopped_early:
            return min((epoch for epoch in wanted if epoch >= last), default=0)
        return last if last in wanted else 0

    @property
    def network(self) -> nn.Module:
        """The network to use after the last epoch: that with the averaged weights where there is one."""
        return self.model if self.average is None else self.average.network

    def load_best(self) -> None:
        """Give the network the best epoch's weights, averaged where they were then."""
        self.model.load_state_dict(self.best_weights)
        self.average = None  # that of the last epoch
        if self._cut is not None:
            self._cut = self._cut.renewed()

    def evaluate(self, split: str, network: nn.Module | None = None) -> Evaluation:
        """Logits of a split, of the network to use unless another is given."""
        network = network or self.network
        if network is self.model and self._cut is not None and self._cut.has(split):
            return evaluate(self._cut.network.rest, self._cut.evaluation(split), self.config.precision)
        return evaluate(network, self.batches.evaluation(split), self.config.precision)

    def run_epoch(self, epoch: int, on_batch: Callable[[int], None]) -> EpochRecord:
        """Train and evaluate one epoch, counted from 1."""
        recipe = recipe_of(self.config, epoch)
        started = time.perf_counter()
        self._begin(recipe)
        rates = self._rates(epoch, recipe)
        trained = self._train(epoch, recipe, rates, on_batch)
        trained_seconds = time.perf_counter() - started
        if not math.isfinite(trained.loss):
            raise DivergedError(f"the training loss is {trained.loss} in epoch {epoch} (lr {rates[0]:g})")
        validated = self.evaluate("val").metrics(self.loss)
        if not math.isfinite(validated["loss"]):
            raise DivergedError(f"the validation loss is {validated['loss']} in epoch {epoch} (lr {rates[0]:g})")
        measured = {"train": {"loss": trained.loss, "accuracy": trained.accuracy}, "val": validated}
        if self.average is not None:
            measured[VAL_NETWORK] = self.evaluate("val", self.model).metrics(self.loss)
        values = {split_metric(split, name): value for split in measured for name, value in measured[split].items()}
        values |= {
            LR: rates[0],
            EPOCH_SECONDS: time.perf_counter() - started,
            IMAGES_PER_SECOND: trained.images / trained_seconds,
        }
        record = EpochRecord(epoch, values)
        self.history.records.append(record)
        if self.history.best is record:
            self.best_weights = copy_weights(self.network.state_dict())
        return record

    def _rates(self, epoch: int, recipe: Recipe) -> list[float]:
        """The learning rate of each batch of an epoch."""
        config, size = self.config, int(recipe.batch_size)
        images = self.batches.images_per_epoch(size, drop_last=config.drop_last, balance=config.balance)
        return rates_of(config, epoch, math.ceil(images / size))

    def _train(self, epoch: int, recipe: Recipe, rates: list[float], on_batch: Callable[[int], None]) -> Pass:
        config, how = self.config, recipe.averaging
        stored = self._cut if recipe.activations == "stored" else None
        network = self.model if stored is None else stored.network.rest
        batches = self._training_batches(epoch, recipe, stored)
        if how is not None and self.average is None:
            self.average = WeightAverage(self.model)
        seed_everything(config.seed, epoch, "dropout")
        with self._adding_steps(how):
            trained = train_epoch(
                network,
                at_rates(batches, rates, self.optimizer),
                self.optimizer,
                self.training_loss,
                config.precision,
                on_batch,
                still=self._still,
                clip_norm=config.clip_norm,
            )
        if self.average is not None and how is not None and how.every == "epoch":
            seed_everything(config.seed, epoch, "batch-norm")
            self.average.add_epoch(how.decay, self._training_batches(epoch, recipe), config.precision)
        return trained

    def _begin(self, recipe: Recipe) -> None:
        """Make ready for an epoch: where other groups train than before, another beginning of the network is frozen."""
        train_only(self.groups, recipe.groups)
        if recipe.groups != self._training_groups:
            config, self._training_groups = self.config, recipe.groups
            self._still = frozen_norms(self.model) if config.frozen_norm == "fixed" else []
            size, device = int(config.input_size), next(self.model.parameters()).device
            found = frozen_beginning(self.model, self._still, torch.zeros(2, 3, size, size, device=device))
            what = f"{config.model} on {config.dataset}"
            code = code_version(config.model)
            self._cut = CutBatches(found, self.batches, config.precision, self.store, what, code) if found else None

    def _training_batches(self, epoch: int, recipe: Recipe, stored: CutBatches | None = None) -> Iterator[Batch]:
        """The batches of an epoch: of images, or of the activations that are stored."""
        config, size = self.config, int(recipe.batch_size)
        which: dict[str, Any] = {
            "seed": config.seed,
            "epoch": epoch,
            "batch_size": size,
            "drop_last": config.drop_last,
            "balance": config.balance,
        }
        if stored is not None:
            return stored.training(self.batches.order(**which), size)
        return self.batches.training(**which, augment=recipe.augment, mix=config.mix)

    def _adding_steps(self, how: Averaging | None) -> contextlib.AbstractContextManager[None]:
        """In it, weights are added to the average after each step of the optimizer, if an epoch asks for that."""
        if self.average is None or how is None or how.every != "step":
            return contextlib.nullcontext()
        return self.average.adding_steps(self.optimizer, how.decay)

    def state(self) -> TrainingState:
        """The state after the last epoch; its tensors are the network's own."""
        average = None if self.average is None else self.average.state()
        return TrainingState(
            self.model.state_dict(), self.optimizer.state_dict(), self.history, self.best_weights, average
        )

    def restore(self, state: TrainingState) -> None:
        """Go on from a state."""
        self.model.load_state_dict(state.model)
        self.optimizer.load_state_dict(state.optimizer)
        self.history, self.best_weights = state.history, state.best_weights
        self.average = None if state.average is None else WeightAverage(self.model, state.average)
