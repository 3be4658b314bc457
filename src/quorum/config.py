"""Closed, frozen, typed settings. Knows neither torch nor MLflow.

A `TrialConfig` is a value: two equal configurations on the same data and code give the same result, and
`fingerprint()` is the name of that result. A setting that is `auto` has to be resolved (see
`quorum.training.resolve`) before it can be fingerprinted, so that what ran is always written out.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from quorum.errors import ConfigError, cut, shown, unknown
from quorum.expressions import parse_call, parse_calls, with_argument

Auto = Literal["auto"]
AUTO: Auto = "auto"
Balance = Literal["none", "under", "over", "weights"]

# Settings that are expressions; `augment.rotate.degrees` is the argument `degrees` of `rotate(...)` in `augment`.
EXPRESSIONS = ("augment", "mix", "optimizer", "schedule", "loss", "average")


C = TypeVar("C", bound="Closed")


class Closed(BaseModel):
    """A frozen model that refuses keys it does not know, numbers that are not finite, and booleans as numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool):
            kind = cls.model_fields[str(info.field_name)].annotation
            if kind is not bool and bool not in get_args(kind):
                raise ValueError("is true or false, not a number or text")
        return value


@dataclass(frozen=True)
class Phase:
    """From `first_epoch` (counted from 1) on, only the parameter groups in `groups` are trained."""

    first_epoch: int
    groups: tuple[str, ...]


def parse_phases(text: str) -> tuple[Phase, ...]:
    """Phases from text: `all`, `classifier`, or `1:layer4+fc,31:all` (first epoch, then groups).

    Raises:
        ValueError: where the text is no such list, or its epochs do not start at 1 and rise.
    """
    phases: list[Phase] = []
    for part in text.split(","):
        epoch, colon, groups = part.strip().rpartition(":")
        names = tuple(name.strip() for name in groups.split("+"))
        if (colon and not epoch.strip().isdecimal()) or not all(names):
            raise ValueError("is not GROUP[+GROUP] or EPOCH:GROUP[+GROUP],EPOCH:GROUP..., e.g. 1:classifier,31:all")
        phases.append(Phase(int(epoch) if colon else 1, names))
    epochs = [phase.first_epoch for phase in phases]
    if epochs[0] != 1 or any(a >= b for a, b in itertools.pairwise(epochs)):
        raise ValueError(f"starts its phases at epochs {shown(epochs)}; they must start at 1 and rise")
    return tuple(phases)


class TrialConfig(Closed):
    """One training, seed included. Every field here can change the result and is part of the fingerprint."""

    dataset: str = Field(
        "digits", description="data set: digits, caltech101, cifar10, folder, one of docs/data-sets.md or a plugin's"
    )
    split_seed: int = Field(
        0, ge=0, lt=2**32, description="seed of the split, where the data set has no split of its own"
    )
    folds: int = Field(
        0,
        ge=0,
        description="parts of a stratified k-fold, of which the seed chooses the one to validate on; 0: the data set's "
        "own validation split",
    )
    model: str = Field(
        "alexnet",
        description="network: one of the reports', any classifier of torchvision's, or timm/NAME for one of timm's",
    )
    weights: str = Field(
        "none",
        description="first weights: none, imagenet (torchvision's or timm's default), a version such as imagenet1k_v1, "
        "a state file, models:/NAME/VERSION or runs:/RUN/model",
    )
    weights_digest: str = Field("", description="digest of those weights; filled in when they are resolved")
    input_size: Annotated[int, Field(ge=8, le=1024)] | Auto = Field(
        AUTO, description="side of the square input in pixels; auto: what the model and data set call for"
    )
    resize: Annotated[int, Field(ge=0, le=2048)] | Auto = Field(
        AUTO, description="shorter side in pixels that images are resized to before the crop; 0: no resize"
    )
    eval_resize: Annotated[int, Field(ge=0, le=2048)] | Auto = Field(
        AUTO, description="the same for images that are not trained on; auto: as resize"
    )
    normalize: Literal["auto", "half", "imagenet", "cifar10", "clip", "dpn", "satellite", "none"] = Field(
        AUTO,
        description="channel mean and std; half is 0.5 and 0.5; auto: what ImageNet weights are for, else half",
    )
    balance: Balance = Field(
        "none",
        description="unbalanced classes: under and over draw as many images of each class as the smallest or the "
        "largest has, weights weighs the loss by class",
    )
    augment: str = Field("none", description="augmentation policy of the training images")
    mix: str = Field("none", description="mixing of the images of a batch: none, mixup(alpha=0.2) or cutmix(alpha=1.0)")
    optimizer: str = Field(
        "sgd", description="optimizer: one of torch.optim's, in lower case, or with settings: adamw(betas=(0.9, 0.99))"
    )
    lr: float = Field(0.001, gt=0, description="learning rate, which the schedule multiplies")
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of sgd and rmsprop")
    weight_decay: float = Field(5e-5, ge=0, description="weight decay (L2, added to the gradient; adamw: decoupled)")
    clip_norm: float = Field(0.0, ge=0, description="largest norm of a batch's gradient, to which it is scaled; 0: any")
    batch_size: Annotated[int, Field(ge=1)] | Auto = Field(
        256, description="images in a training batch; auto: a power of 2, at most 256 and a quarter of those that train"
    )
    drop_last: bool = Field(True, description="leave out an epoch's last batch where it is not full")
    epochs: int = Field(30, ge=1, le=100_000, description="epochs to train")
    patience: int = Field(
        0, ge=0, description="epochs without a better validation accuracy after which training ends early; 0: never"
    )
    schedule: str = Field(
        "step",
        description="schedule of the learning rate: step, multistep(milestones=(10, 20)), constant, cosine, polynomial "
        "or one_cycle; after a warm-up: warmup(epochs=5) | cosine; some also by batch: cosine(per_batch=True)",
    )
    step_size: int = Field(20, ge=0, description="epochs between drops of the schedule step; 0: never")
    gamma: float = Field(0.1, gt=0, le=1, description="factor of each drop of step and multistep")
    loss: str = Field("cross_entropy", description="loss: cross_entropy or cross_entropy(label_smoothing=0.1)")
    average: str = Field(
        "none", description="average of the weights: none, ema, swa, or with settings: ema(decay=0.99), swa(start=0.5)"
    )
    phases: str = Field("all", description="parameter groups that train: all, classifier, or 1:classifier,31:all")
    frozen_norm: Literal["follow", "fixed"] = Field(
        "follow",
        description="batch-norm layers whose weights do not train: follow the statistics of their batches, or fixed",
    )
    activations: Literal["auto", "stored", "computed"] = Field(
        AUTO,
        description="activations of a frozen beginning of the network: stored once for all epochs, or computed with "
        "every batch; auto: stored where nothing before the first trained layer changes and activation_gb has room",
    )
    precision: Literal["auto", "float32", "bf16"] = Field(
        AUTO, description="arithmetic of the network; auto: bf16 where the hardware has it"
    )
    seed: int = Field(0, ge=0, lt=2**31, description="seed of weights, order, augmentation and dropout")

    @field_validator("phases")
    @classmethod
    def _phases_parse(cls, text: str) -> str:
        parse_phases(text)
        return text.replace(" ", "")

    @field_validator("folds")
    @classmethod
    def _folds_are_several(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("leaves nothing to train on; 2 and more, or 0 for the data set's own validation split")
        return folds

    @field_validator("mix", "optimizer", "loss", "average")
    @classmethod
    def _is_one_call(cls, text: str, info: ValidationInfo) -> str:
        return str(parse_call(text, str(info.field_name)))

    @field_validator("schedule")
    @classmethod
    def _is_calls(cls, text: str) -> str:
        return " | ".join(map(str, parse_calls(text, "schedule")))

    def unresolved(self) -> list[str]:
        """Names of the settings that are still `auto`."""
        return [name for name in type(self).model_fields if getattr(self, name) == AUTO]

    def fingerprint(self) -> str:
        """Hash (16 hex digits) of every field that can change a result, defaults written out.

        The path or URI of the first weights is left out; their digest is in.

        Raises:
            ConfigError: while a setting is `auto`.
        """
        if open_settings := self.unresolved():
            raise ConfigError(f"{', '.join(open_settings)}: not resolved yet, so the trial has no fingerprint")
        values = self.model_dump()
        if self.weights_digest:
            del values["weights"]
        return digest_of(values)

    def trial_fingerprint(self) -> str:
        """Fingerprint of the configuration whatever its seed: equal for the seeds of one trial."""
        return self.replace(seed=0).fingerprint()

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed, checked like the original.

        Args:
            changes: values by setting, or by SETTING.CALL.ARGUMENT for one argument of an expression.

        Raises:
            ConfigError: for an argument whose call does not occur in the expression.
            ValidationError: for a value that is out of range.
        """
        return type(self).model_validate(_with_arguments({**self.model_dump(), **changes}, type(self)))


def digest_of(value: Any) -> str:
    """First 16 hex digits of the SHA-256 of a JSON value with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def parse_config(kind: type[C], values: Mapping[str, Any], origin: str) -> C:
    """Settings of a kind from a mapping.

    Args:
        kind: the class of settings.
        values: text, numbers or None by setting, as YAML or the command line gives them; an argument of an expression
            by SETTING.CALL.ARGUMENT.
        origin: where they come from (a file, "the command line"), for the error.

    Raises:
        ConfigError: one line that names the key, the origin and what would be valid.
    """
    try:
        for name in values:
            check_name(str(name), kind.model_fields)
        return kind.model_validate(_with_arguments(values, kind))
    except ValidationError as error:
        raise ConfigError(f"{origin}: {describe(error)}") from error
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}", setting=error.setting) from error


def check_name(name: str, settings: Iterable[str]) -> None:
    """Raise ConfigError for a name that is neither a setting nor SETTING.CALL.ARGUMENT.

    Args:
        name: such as `lr` or `augment.rotate.degrees`.
        settings: names of all settings.
    """
    setting, *argument = name.split(".")
    if setting not in settings:
        raise ConfigError(unknown("setting", setting, settings))
    if argument and (setting not in EXPRESSIONS or len(argument) != 2 or not all(map(str.isidentifier, argument))):
        listed = ", ".join(EXPRESSIONS)
        raise ConfigError(f"{cut(name)}: is not SETTING.CALL.ARGUMENT, such as augment.rotate.degrees, of {listed}")


def argument_value(value: Any) -> Any:
    """The value of an argument: text that reads as a number is that number, as the command line knows only text."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(value) if isinstance(value, str) else value
    return value


def _with_arguments(values: Mapping[str, Any], kind: type[Closed]) -> dict[str, Any]:
    """Settings, with each SETTING.CALL.ARGUMENT written into the expression of its setting."""
    settings = {name: value for name, value in values.items() if "." not in name}
    for name in (name for name in values if "." in name):
        setting, call, argument = name.split(".")
        text = str(settings.get(setting, kind.model_fields[setting].default))
        settings[setting] = with_argument(text, call, argument, argument_value(values[name]), setting)
    return settings


def describe(error: ValidationError) -> str:
    """The first complaint of a validation error on one line, with the value that was refused."""
    problems = error.errors()
    first = problems[0]
    field = str(first["loc"][0]) if first["loc"] else "settings"
    reasons = list(dict.fromkeys(reason_of(p) for p in problems if p["loc"][:1] == first["loc"][:1]))
    alternatives = [reason.removeprefix("must be ") for reason in reasons[1:]]
    return f"{field}: {shown(first['input'])} {' or '.join([*reasons[:1], *alternatives])}"


def reason_of(problem: Any) -> str:
    """Why a value was refused, to stand behind its name: one problem that pydantic has found, without a full stop."""
    reason = re.sub("^(Input|String) should", "must", str(problem["msg"]).removeprefix("Value error, "))
    return re.sub(", unable to parse string as an? [a-z]+$", "", reason)
