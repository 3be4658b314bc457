"""Preparing trainings: settings resolved, first weights found, data opened, all of it checked."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch

from quorum.config import AUTO, TrialConfig, parse_phases
from quorum.data.opened import OpenDataset
from quorum.engine.activations import ActivationStore
from quorum.engine.device import Machine
from quorum.engine.frozen import frozen_beginning, frozen_norms
from quorum.engine.training import check_groups, train_only
from quorum.errors import ConfigError, ModelError
from quorum.models import (
    architecture,
    build,
    check_digest,
    check_input,
    digest_once,
    fetch_imagenet,
    is_imagenet,
    on_meta,
    parameter_groups,
)
from quorum.tracking.logged_models import FetchedModel, fetch_bundles
from quorum.tracking.store import TrackingStore
from quorum.training.folders import WorkFolders
from quorum.training.prepared import FirstWeights, PreparedTraining, WeightsOrigin
from quorum.training.resolve import OURS, resolve_static, with_batch_size
from quorum.voting.classifier import DESCRIPTION, WEIGHTS


@dataclass
class Preparer:
    """Prepares trainings on one data set and one kind of machine. Each configuration is resolved, opened and checked
    once, whatever its seed.

    Attributes:
        data: the data set.
        machine: that computes them.
        store: the tracking store, where models of ours are looked up.
        folders: by which the weights that they start from reach other machines; None where only this one computes.
        activations: where those of frozen beginnings are kept; None computes them with every batch.
    """

    data: OpenDataset
    machine: Machine
    store: TrackingStore
    folders: WorkFolders | None = None
    activations: ActivationStore | None = None
    _resolved: dict[TrialConfig, tuple[TrialConfig, FirstWeights | None]] = field(default_factory=dict)
    _prepared: dict[TrialConfig, PreparedTraining] = field(default_factory=dict)
    _fetched: dict[str, FetchedModel] = field(default_factory=dict)
    _fitting: set[tuple[str, str, int]] = field(default_factory=set)  # networks and weights that were seen to fit

    @property
    def numerics(self) -> str:
        """Class of the machine that computes the trainings."""
        return self.machine.numerics

    def prepare(self, config: TrialConfig) -> PreparedTraining:
        """The training of a configuration.

        Raises:
            QuorumError: for settings that cannot be trained on this data: an unknown name, an input, batch or parameter
                group that does not fit, weights that are missing or of another network.
        """
        trial = config.replace(seed=0)
        if trial not in self._prepared:
            resolved, weights = self._resolve(trial)
            batches = self.data.batches(resolved, self.machine.device)
            prepared = PreparedTraining(resolved, weights, batches, self.data.source, self.numerics, self.activations)
            self._check(prepared)
            self._prepared[trial] = prepared
        return self._prepared[trial].with_seed(config.seed)

    def resolve(self, config: TrialConfig) -> TrialConfig:
        """The settings of a configuration with nothing left open. Opens no images.

        Raises:
            QuorumError: for an unknown name, an input that does not fit, or weights that are missing.
        """
        return self._resolve(config.replace(seed=0))[0].replace(seed=config.seed)

    def _resolve(self, trial: TrialConfig) -> tuple[TrialConfig, FirstWeights | None]:
        if trial not in self._resolved:
            static = with_batch_size(resolve_static(trial), self.data.catalogue)
            weights = self._first_weights(trial)
            resolved = static.replace(
                normalize=_normalization(static, weights),
                precision=self.machine.precision(trial.precision),
                weights_digest=weights.digest if weights else "",
            )
            resolved = resolved.replace(activations=self._activations(resolved))
            self._resolved[trial] = resolved, weights
        return self._resolved[trial]

    def _activations(self, config: TrialConfig) -> str:
        """How the activations of a frozen beginning are come by.

        Raises:
            ConfigError: where they are to be stored and cannot be.
        """
        if config.activations == "computed":
            return "computed"
        reason = self._why_not_stored(config)
        if reason and config.activations == "stored":
            raise ConfigError(f"activations: cannot be stored: {reason}", setting="activations")
        return "computed" if reason else "stored"

    def _why_not_stored(self, config: TrialConfig) -> str:
        """What keeps the activations of a frozen beginning from being stored, in words; "" if nothing does."""
        if config.augment != "none":
            return f"augment={config.augment:.40} makes other images in every epoch"
        if config.mix != "none":
            return f"mix={config.mix:.40} makes other images in every epoch"
        if self.activations is None:
            return "activation_gb is 0"
        images = sum(len(positions) for positions in self.data.catalogue.splits.values())
        assert isinstance(config.input_size, int), "settings are not resolved"
        phases = {phase.groups for phase in parse_phases(config.phases)}
        sizes = [_activation_bytes(config.model, groups, config.frozen_norm, config.input_size) for groups in phases]
        if not any(sizes):
            return f"with phases={config.phases} no beginning of {config.model} is frozen that stays the same"
        if (needed := sum(sizes) * images) > self.activations.max_bytes:
            return f"they take {needed / 1e9:.2g} GB, and activation_gb is {self.activations.max_bytes / 1e9:g}"
        return ""

    def _first_weights(self, config: TrialConfig) -> FirstWeights | None:
        if config.weights == "none":
            return None
        if config.weights.startswith(OURS):
            model = self._fetch(config.weights)
            file = model.bundles[0] / WEIGHTS
            origin = WeightsOrigin(model.uri, model.run_id, model.model_id)
            return self._shared(FirstWeights(file, digest_once(file), origin))
        kind = architecture(config.model)
        if is_imagenet(config.weights):
            file = fetch_imagenet(kind, config.weights)
        elif not (file := Path(config.weights)).is_file():
            raise ModelError(
                f"weights: no file {file}; none, imagenet, a state file, models:/NAME/VERSION or runs:/RUN/model",
                setting="weights",
            )
        digest = digest_once(file)
        check_digest(file, digest, kind)
        return self._shared(FirstWeights(file, digest))

    def _shared(self, weights: FirstWeights) -> FirstWeights:
        if self.folders is None:
            return weights
        return dataclasses.replace(weights, folder=self.folders.first_weights(weights.digest))

    def _fetch(self, uri: str) -> FetchedModel:
        if uri not in self._fetched:
            model = fetch_bundles(self.store, uri)
            if len(model.bundles) > 1:
                raise ModelError(
                    f"weights: {uri} is a vote of {len(model.bundles)} networks, not one network", setting="weights"
                )
            self._fetched[uri] = model
        return self._fetched[uri]

    def _check(self, prepared: PreparedTraining) -> None:
        """Raise a QuorumError for settings that could not be trained: batch size, weights, parameter groups."""
        config, weights = prepared.config, prepared.weights
        for seed in range(max(config.folds, 1)):  # folds differ in size, partitions do not
            _check_last_batch(prepared.with_seed(seed))
        key = (config.model, config.weights_digest, len(prepared.classes))
        # Without weights to try, the network's shape is enough.
        file = weights.file if weights and key not in self._fitting else None
        with torch.device("cpu" if file else "meta"):
            model = build(config.model, len(prepared.classes), seed=config.seed, weights=file)
        self._fitting.add(key)
        check_groups(config, parameter_groups(model))


def _check_last_batch(prepared: PreparedTraining) -> None:
    """Raise a QuorumError where the images are too few for a batch, or a last batch that is not full cannot be
    trained on."""
    config, kind = prepared.config, architecture(prepared.config.model)
    if prepared.images_per_epoch % int(config.batch_size) != 1:
        return
    try:
        check_input(kind, prepared.batches.preprocess.input_size, 1)
    except ModelError as error:
        raise ModelError(
            f"batch_size: {config.batch_size} leaves a last batch of one image, which the batch-norm of "
            f"{kind.name} cannot train on; drop_last=true leaves it out",
            setting="batch_size",
        ) from error


def _normalization(config: TrialConfig, weights: FirstWeights | None) -> str:
    """The normalization of an input: a network of ours goes on with the one that it was trained with."""
    if config.normalize != AUTO:
        return config.normalize
    assert weights is not None and weights.origin is not None, "resolve_static leaves it open for models of ours alone"
    description = json.loads(weights.file.with_name(DESCRIPTION).read_text())
    return str(description["config"]["normalize"])


@functools.lru_cache(maxsize=256)
def _activation_bytes(model: str, groups: tuple[str, ...], frozen_norm: str, input_size: int) -> int:
    """Bytes that the activations of an image take in float32, if such groups train; 0 where nothing is to be stored."""
    network = copy.deepcopy(on_meta(model))
    images = torch.empty(2, 3, input_size, input_size, device="meta")
    by_group = parameter_groups(network)
    if not set(groups) <= set(by_group):  # `check_groups` reports it
        return 0
    train_only(by_group, groups)
    found = frozen_beginning(network, frozen_norms(network) if frozen_norm == "fixed" else (), images)
    return 0 if found is None else 4 * found.beginning(images)[0].numel()
