"""First weights: from files of ImageNet weights or from a state file."""

from __future__ import annotations

import copy
import functools
import hashlib
import importlib.util
import pickle
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from quorum.errors import ModelError, cut, unknown
from quorum.models.architectures import IMAGENET, Architecture, State
from quorum.models.parts import head_names, is_within, last_layers
from quorum.models.weights_files import WeightsFile

# Names such as denselayer1.norm.1.weight, as the files of DenseNets still have them; torchvision renames them too.
OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")

WRAPPERS = ("state_dict", "model")  # keys under which checkpoints hold the state, beside what else they hold

_COLORS = re.compile(r"\x1b\[[0-9;]*m")  # that torch writes some of its messages in

_UNREADABLE = (
    RuntimeError,
    pickle.UnpicklingError,
    EOFError,
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    MemoryError,
    OverflowError,
)  # what reading a file that is no state may end in


def imagenet_file(kind: Architecture, version: str = IMAGENET) -> Path:
    """Where the ImageNet weights of an architecture are on this machine, or would be.

    Args:
        kind: the architecture.
        version: one of `kind.imagenet`.

    Raises:
        ModelError: where there are no such weights.
    """
    paths = [file.path for file in _imagenet(kind, version)]
    return next((path for path in paths if path.is_file()), paths[-1])


def _imagenet(kind: Architecture, version: str) -> Sequence[WeightsFile]:
    if not kind.imagenet:
        raise ModelError(f"weights: there are no ImageNet weights of {kind.name}", setting="weights")
    if version not in kind.imagenet:
        raise ModelError(
            f"weights: {unknown(f'version of the ImageNet weights of {kind.name}', version, kind.imagenet)}",
            setting="weights",
        )
    return kind.imagenet[version]


def fetch_imagenet(kind: Architecture, version: str = IMAGENET) -> Path:
    """The file of ImageNet weights, downloaded unless it is on this machine.

    Raises:
        ModelError: where there are no such weights, or they are not here and cannot be downloaded; the message says
            how to come by them.
    """
    file, files = imagenet_file(kind, version), _imagenet(kind, version)
    if file.is_file():
        return file
    try:
        files[-1].download()
    except OSError as error:
        raise ModelError(
            f"weights: the ImageNet weights of {kind.name} cannot be downloaded "
            f"({' '.join(str(error).split())[:200]}); {', or '.join(one.advice for one in files)}",
            setting="weights",
        ) from error
    return files[-1].path


def read_state(file: Path) -> State:
    """Tensors by name from a state file, loaded without unpickling anything else.

    Raises:
        ModelError: where the file is missing or holds something else.
    """
    if not file.is_file():
        raise ModelError(f"weights: no file {file}", setting="weights")
    try:
        state = _load(file)
    except _UNREADABLE as error:
        text = _COLORS.sub("", str(error)).strip()
        reason = text.splitlines()[0] if text else type(error).__name__
        raise ModelError(
            f"weights: {file} is not a state file that loads with weights_only ({reason[:120]})",
            setting="weights",
        ) from error
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ModelError(f"weights: {file} does not hold a state dict (tensors by name)", setting="weights")
    for name, tensor in state.items():
        if problem := _problem(name, tensor):
            raise ModelError(f"weights: {file}: {cut(repr(name))} {problem}", setting="weights")
    return state


def _load(file: Path) -> object:
    if file.suffix == ".safetensors":
        if importlib.util.find_spec("safetensors") is None:
            raise ModelError(f"weights: {file} needs the package safetensors; pip install safetensors")
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(file)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    with warnings.catch_warnings(action="ignore"):  # of kinds of tensors that are refused later
        return torch.load(file, map_location="cpu", weights_only=True)


def _problem(name: object, tensor: torch.Tensor) -> str:
    """What makes an entry of a state unfit for a network, or ""."""
    if not isinstance(name, str):
        return "is no text, as the name of a tensor is"
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
        kinds = {"quantized": tensor.is_quantized, "nested": tensor.is_nested, "meta": tensor.is_meta}
        kind = next((kind for kind, is_one in kinds.items() if is_one), str(tensor.layout).removeprefix("torch."))
        return f"is stored as {kind}, not as a plain tensor"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "has more numbers than the file holds of it"
    if tensor.is_complex():
        return "holds complex numbers"
    # as the network will hold them; small kinds of floats know no isfinite of their own
    if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all():
        return "holds numbers that are not finite"
    return ""


def file_digest(file: Path) -> str:
    """First 16 hex digits of the file's SHA-256."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def digest_once(file: Path) -> str:
    """Digest of a file's content, read again only where its path, size, times or inode differ."""
    status = file.stat()
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return _digest(file.resolve(), stamp)


@functools.lru_cache(maxsize=256)
def _digest(file: Path, _stamp: tuple[int, ...]) -> str:
    return file_digest(file)


def check_digest(file: Path, digest: str, kind: Architecture) -> None:
    """Raise ModelError where a file has the name of one of the ImageNet weights of an architecture and not its content.

    Those names end in the first digits of the file's SHA-256. Other files' names may only look like that.

    Args:
        file: a state file.
        digest: of its content, from `file_digest`.
        kind: the architecture that it is for.
    """
    for known in (source for sources in kind.imagenet.values() for source in sources):
        if file.name == known.path.name and not digest.startswith(known.sha256):
            raise ModelError(
                f"weights: {file} is damaged or another file: its SHA-256 begins with {digest[: len(known.sha256)]}, "
                f"not with {known.sha256} as its name says; {known.mend}",
                setting="weights",
            )


def load_into(model: nn.Module, state: State, origin: str, kind: Architecture) -> bool:
    """Load a state into a network whose last layer may have another number of classes.

    Args:
        model: the network.
        state: tensors by name.
        origin: where they come from, for the error.
        kind: what the network is. With a head of its own, the whole of it may be missing in the state.

    Returns:
        True if everything was loaded; False if the last layer (or the whole of a head of its own) keeps its random
        weights because the state was made for other classes.

    Raises:
        ModelError: where the state is that of another network.
    """
    wrong, fits = _load_what_fits(model, _given(state, kind), kind)
    if wrong and kind.convert is not None:
        converted = kind.convert(state, model)
        if converted is not None:
            wrong, fits = _load_what_fits(model, dict(converted), kind)
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelError(
            f"weights: {origin} is not for this model: {', '.join(wrong[:3])}{more} do not fit", setting="weights"
        )
    return fits


def _load_what_fits(model: nn.Module, given: dict[str, torch.Tensor], kind: Architecture) -> tuple[Sequence[str], bool]:
    """Names that keep a state from being this network's, and whether the last layer is loaded too."""
    own, last, heads = model.state_dict(), last_layers(model), head_names(model)
    redrawn = {name for name in own if is_within(name, last)}
    if kind.own_head and not redrawn <= set(given):
        redrawn = {name for name in {*own, *given} if is_within(name, heads)}
    fits = all(name in given and name in own and given[name].shape == own[name].shape for name in redrawn)
    misshapen = {name for name in own if name in given and given[name].shape != own[name].shape}
    for name in misshapen | (set() if fits else redrawn & set(given)):
        del given[name]
    outcome = model.load_state_dict(given, strict=False)
    # Files older than batch-norm's batch counter lack it; it plays no part with a fixed momentum.
    missing = {name for name in outcome.missing_keys if not name.endswith("num_batches_tracked")}
    return sorted((missing if fits else missing - redrawn) | set(outcome.unexpected_keys)), fits


def _given(state: State, kind: Architecture) -> dict[str, torch.Tensor]:
    """The tensors of a state that the network has a place for, under today's names.

    Some networks translate older names themselves when they are loaded. They look at the versions of the layers for
    that, which a state dict has beside its tensors and a copy of it keeps.
    """
    given = copy.copy(state if isinstance(state, dict) else dict(state))
    for name in list(given):
        if name.startswith(kind.ignored or ("\0",)):
            del given[name]
        elif (old := OLD_DENSENET.match(name)) is not None:
            given[old[1] + old[2]] = given.pop(name)
    return given
