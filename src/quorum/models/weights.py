"""First weights: from torchvision's ImageNet files or from a state file."""

from __future__ import annotations

import copy
import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import nn
from torchvision.models import WeightsEnum

from quorum.errors import ModelError, cut, unknown
from quorum.models.architectures import IMAGENET, Architecture
from quorum.models.parts import head_name, last_layer

State = Mapping[str, torch.Tensor]

# Names such as denselayer1.norm.1.weight, as the files of DenseNets still have them; torchvision renames them too.
OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")

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
    """Where torch keeps (or would keep) the ImageNet weights of an architecture.

    Args:
        kind: the architecture.
        version: one of `kind.imagenet`.

    Raises:
        ModelError: where torchvision has no such weights.
    """
    return Path(torch.hub.get_dir()) / "checkpoints" / _file_name(_imagenet(kind, version))


def _imagenet(kind: Architecture, version: str) -> WeightsEnum:
    if not kind.imagenet:
        raise ModelError(f"weights: there are no ImageNet weights of {kind.name}", setting="weights")
    if version not in kind.imagenet:
        raise ModelError(
            f"weights: {unknown(f'version of the ImageNet weights of {kind.name}', version, kind.imagenet)}",
            setting="weights",
        )
    return kind.imagenet[version]


def _file_name(weights: WeightsEnum) -> str:
    return Path(urlparse(weights.url).path).name


def fetch_imagenet(kind: Architecture, version: str = IMAGENET) -> Path:
    """The file of ImageNet weights, downloaded and checked by torch unless it is in its cache.

    Raises:
        ModelError: where there are no such weights, or they are not in the cache and cannot be downloaded; the message
            names the file.
    """
    file = imagenet_file(kind, version)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(
                _imagenet(kind, version).url, str(file), hash_prefix=_hash_prefix(file), progress=False
            )
        except (URLError, OSError, RuntimeError) as error:
            raise ModelError(
                f"weights: the ImageNet weights of {kind.name} cannot be downloaded "
                f"({' '.join(str(error).split())}); put them at {file}",
                setting="weights",
            ) from error
    return file


def read_state(file: Path) -> State:
    """Tensors by name from a state file, loaded without unpickling anything else.

    Raises:
        ModelError: where the file is missing or holds something else.
    """
    if not file.is_file():
        raise ModelError(f"weights: no file {file}", setting="weights")
    try:
        with warnings.catch_warnings(action="ignore"):  # of kinds of tensors that are refused below
            state = torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        text = _COLORS.sub("", str(error)).strip()
        reason = text.splitlines()[0] if text else type(error).__name__
        raise ModelError(
            f"weights: {file} is not a state file that loads with weights_only ({reason[:120]})",
            setting="weights",
        ) from error
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ModelError(f"weights: {file} does not hold a state dict (tensors by name)", setting="weights")
    for name, tensor in state.items():
        if problem := _problem(name, tensor):
            raise ModelError(f"weights: {file}: {cut(repr(name))} {problem}", setting="weights")
    return state


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


def check_digest(file: Path, digest: str, kind: Architecture) -> None:
    """Raise ModelError where a file has the name of one of torchvision's and not its content.

    torchvision's names end in the first digits of the file's SHA-256. Other files' names may only look like that.

    Args:
        file: a state file.
        digest: of its content, from `file_digest`.
        kind: the architecture that it is for.
    """
    if file.name not in map(_file_name, kind.imagenet.values()):
        return
    if not digest.startswith(prefix := _hash_prefix(file)):
        raise ModelError(
            f"weights: {file} is damaged or another file: its SHA-256 begins with {digest[: len(prefix)]}, "
            f"not with {prefix} as its name says; delete it to have it downloaded again",
            setting="weights",
        )


def _hash_prefix(file: Path) -> str:
    """The hexadecimal digits between the last dash and the ending: `resnet50-0676ba61.pth`."""
    return file.stem.rpartition("-")[2]


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
    given = _given(state, kind)
    own = model.state_dict()
    last, head = last_layer(model), head_name(model)
    redrawn = {name for name in own if name.startswith(f"{last}.")}
    if kind.own_head and not redrawn <= set(given):
        redrawn = {name for name in {*own, *given} if name.startswith(f"{head}.")}
    fits = all(name in given and name in own and given[name].shape == own[name].shape for name in redrawn)
    misshapen = {name for name in own if name in given and given[name].shape != own[name].shape}
    for name in misshapen | (set() if fits else redrawn & set(given)):
        del given[name]
    outcome = model.load_state_dict(given, strict=False)
    # Files older than batch-norm's batch counter lack it; it plays no part with a fixed momentum.
    missing = {name for name in outcome.missing_keys if not name.endswith("num_batches_tracked")}
    wrong = sorted((missing if fits else missing - redrawn) | set(outcome.unexpected_keys))
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelError(
            f"weights: {origin} is not for this model: {', '.join(wrong[:3])}{more} do not fit", setting="weights"
        )
    return fits


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
