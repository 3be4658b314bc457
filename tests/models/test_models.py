"""Contracts that every architecture keeps, and first weights."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from quorum.errors import ConfigError, ModelError
from quorum.models import (
    ARCHITECTURES,
    TORCHVISION,
    architecture,
    build,
    check_input,
    fetch_imagenet,
    on_meta,
    parameter_groups,
    register_model,
    usual_input,
)
from quorum.models.parts import head_names, is_within, last_layers
from quorum.models.weights import check_digest, imagenet_file, load_into, read_state

NAMES = sorted(ARCHITECTURES)
WITH_IMAGENET = [name for name in NAMES if ARCHITECTURES[name].imagenet]


# Without the one that has 640 million parameters, which RegNets cannot be built without.
OTHERS = [name for name in TORCHVISION if name != "regnet_y_128gf"]


def usual(name: str) -> int:
    return usual_input(architecture(name), 64)


@pytest.mark.family
@pytest.mark.parametrize("name", NAMES)
def test_it_answers_a_logit_per_class(name: str) -> None:
    model = build(name, 7, seed=0).eval()
    size = usual(name)
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, size, size)).shape == (2, 7)


@pytest.mark.family
@pytest.mark.parametrize("name", NAMES)
def test_it_builds_without_weights_and_its_head_is_found(name: str) -> None:
    meta, model = on_meta(name), build(name, 2, seed=0)
    assert {parameter.device.type for parameter in meta.parameters()} == {"meta"}
    assert [(n, p.shape) for n, p in meta.named_parameters()] == [(n, p.shape) for n, p in model.named_parameters()]
    assert head_names(meta) == head_names(model)
    (layer,) = last_layers(model)
    last = model.get_submodule(layer)
    assert isinstance(last, torch.nn.Linear | torch.nn.Conv2d)
    assert last.weight.shape[0] == 2


class Nested(torch.nn.Module):
    """A network whose last layer has no usual name."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 4, 3, stride=4)
        self.body = torch.nn.ModuleDict({"norm": torch.nn.BatchNorm2d(4), "answer": torch.nn.Linear(4, num_classes)})

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.body["answer"](self.body["norm"](self.stem(images)).mean((2, 3)))


@pytest.fixture
def registered() -> Iterator[Callable[..., None]]:
    """Registers `Nested` by a name until the test has ended."""
    names: list[str] = []

    def register(name: str, **options: Any) -> None:
        assert register_model(name, **options)(Nested) is Nested
        names.append(name)

    yield register
    for name in names:
        ARCHITECTURES.remove(name)


def test_a_network_of_ones_own_with_a_head_that_is_named(registered: Callable[..., None], tmp_path: Path) -> None:
    registered("nested-named", head="body.answer")
    check_input(architecture("nested-named"), 32)
    model = build("nested-named", 5, seed=0)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    groups = parameter_groups(model)
    assert [p.shape for p in groups["classifier"]] == [(5, 4), (5,)]
    assert len(groups["features"]) == 4
    torch.save(model.state_dict(), tmp_path / "state.pt")
    other = build("nested-named", 7, seed=1, weights=tmp_path / "state.pt")
    assert torch.equal(other.get_parameter("stem.weight"), model.get_parameter("stem.weight"))
    assert head_names(copy.deepcopy(model)) == ("body.answer",)


def test_a_head_without_a_usual_name_is_one_line_that_says_how_to_name_it(registered: Callable[..., None]) -> None:
    registered("nested-unnamed")
    for call in (lambda: parameter_groups(Nested(2)), lambda: check_input(architecture("nested-unnamed"), 32)):
        with pytest.raises(ModelError, match=r"no part of Nested has a usual name .* stem, body") as caught:
            call()
        assert "register_model(NAME, head=PART)" in str(caught.value)
        assert "\n" not in str(caught.value)
    registered("nested-wrong", head="answer")
    with pytest.raises(ModelError, match="Nested has no part 'answer'; its last parts are stem, body"):
        build("nested-wrong", 3, seed=0)


def test_a_name_that_is_taken_is_refused() -> None:
    for name in ("scratch-simple", "resnet34"):
        with pytest.raises(ConfigError, match=f"model '{name}': is "):
            register_model(name)(Nested)
    with pytest.raises(ModelError, match="did you mean 'scratch-simple'"):
        architecture("scratch-simpel")


@pytest.mark.family
@pytest.mark.parametrize("name", NAMES)
def test_groups_part_the_parameters(name: str) -> None:
    groups = parameter_groups(build(name, 3, seed=0))
    everything = {id(p) for p in groups["all"]}
    features, classifier = ({id(p) for p in groups[group]} for group in ("features", "classifier"))
    assert features
    assert classifier
    assert not features & classifier
    assert features | classifier == everything
    for parameters in groups.values():
        assert {id(p) for p in parameters} <= everything


def test_resnet_has_its_stages() -> None:
    assert {"layer1", "layer2", "layer3", "layer4", "fc"} <= set(parameter_groups(build("resnet18", 3, seed=0)))


@pytest.mark.family
@pytest.mark.parametrize("name", NAMES)
def test_weights_follow_the_seed_and_leave_the_global_stream_alone(name: str) -> None:
    torch.manual_seed(5)
    before = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (build(name, 3, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), before)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_the_report_says_what_scratch_simple_is() -> None:
    model = build("scratch-simple", 10, seed=0)
    assert sum(p.numel() for p in model.parameters()) == (
        (3 * 9 * 32 + 32) + (32 * 9 * 64 + 64) + (4096 * 128 + 128) + (128 * 10 + 10)
    )


def conv(channels_in: int, channels: int) -> int:
    return channels_in * 9 * channels + channels


def linear(width_in: int, width: int) -> int:
    return width_in * width + width


def test_the_report_says_what_scratch_complex_is() -> None:
    model = build("scratch-complex", 10, seed=0)
    norms = sum(2 * channels for channels in (64, 128, 256))
    convolutions = conv(3, 64) + conv(64, 128) + conv(128, 256)
    assert sum(p.numel() for p in model.parameters()) == convolutions + norms + linear(4096, 512) + linear(512, 10)
    assert kinds(model) == ["Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d"] * 3


def test_the_report_says_what_scratch_medium_is() -> None:
    model = build("scratch-medium", 10, seed=0)
    norms = sum(2 * channels for channels in (64, 128, 256, 512))
    convolutions = conv(3, 64) + conv(64, 128) + conv(128, 256) + conv(256, 512)
    linears = linear(8192, 1024) + linear(1024, 512) + linear(512, 10)
    assert sum(p.numel() for p in model.parameters()) == convolutions + norms + linears
    assert kinds(model) == ["Conv2d", "BatchNorm2d", "MaxPool2d", "ReLU"] * 4  # see models.scratch
    assert [layer.p for layer in model.modules() if isinstance(layer, torch.nn.Dropout)] == [0.5, 0.5]


def kinds(model: torch.nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in model.get_submodule("features").children()]


def test_the_two_layer_head_is_drawn_anew_on_imagenet_features(tmp_path: Path) -> None:
    file = tmp_path / "imagenet.pt"
    source = build("mobilenet_v2", 1000, seed=1)
    torch.save(source.state_dict(), file)
    model = build("mobilenet_v2-two-layer-head", 10, seed=0, weights=file)
    fresh = build("mobilenet_v2-two-layer-head", 10, seed=0)
    for name, parameter in model.named_parameters():
        expected = fresh if name.startswith("classifier.") else source
        assert torch.equal(parameter, expected.get_parameter(name)), name
    layers = model.get_submodule("classifier").children()
    sizes = [layer.weight.shape for layer in layers if isinstance(layer, torch.nn.Linear)]
    assert sizes == [(512, 1280), (10, 512)]
    # its own state is loaded whole, and without the last layer where the classes differ
    torch.save(model.state_dict(), file)
    again = build("mobilenet_v2-two-layer-head", 10, seed=5, weights=file)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
    others = build("mobilenet_v2-two-layer-head", 7, seed=5, weights=file)
    assert torch.equal(others.get_parameter("classifier.1.weight"), model.get_parameter("classifier.1.weight"))
    with pytest.raises(ModelError, match="is not for this model"):
        build("mobilenet_v2", 10, seed=0, weights=file)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_every_classifier_of_torchvisions_has_what_a_study_needs(name: str) -> None:
    kind = architecture(name)
    model = on_meta(name)
    assert kind.imagenet
    size = usual_input(kind, 64)
    check_input(kind, size)
    (layer,) = last_layers(model)
    last = model.get_submodule(layer)
    assert isinstance(last, torch.nn.Linear | torch.nn.Conv2d)
    assert last.weight.shape[0] == 2
    groups = parameter_groups(model)
    assert groups["classifier"]
    assert groups["features"]
    assert len(groups["classifier"]) + len(groups["features"]) == len(groups["all"])


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_every_classifiers_state_loads_for_other_classes(name: str) -> None:
    """On the meta device: which tensors go where, and not what is in them."""
    kind, target = architecture(name), on_meta(name)
    state = copy.deepcopy(target).state_dict()
    last = f"{last_layers(target)[0]}.weight"
    assert load_into(target, state, "here", kind)
    state[last] = torch.empty(9, *state[last].shape[1:], device="meta")
    assert not load_into(target, state, "here", kind)
    del state[next(name for name in state if name.endswith("weight"))]
    with pytest.raises(ModelError, match="here is not for this model"):
        load_into(target, state, "here", kind)


@pytest.mark.slow
def test_older_names_are_understood(tmp_path: Path) -> None:
    """DenseNet's and ViT's files still have names that torchvision translates when it loads them itself."""
    densenet = build("densenet121", 4, seed=1)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): tensor
        for name, tensor in densenet.state_dict().items()
    }
    assert set(old) != set(densenet.state_dict())
    torch.save(old, tmp_path / "densenet.pth")
    loaded = build("densenet121", 4, seed=2, weights=tmp_path / "densenet.pth")
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), densenet.parameters(), strict=True))
    vit = build("vit_b_32", 4, seed=1)
    old = {
        name.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): t
        for name, t in vit.state_dict().items()
    }
    torch.save(old, tmp_path / "vit.pth")
    loaded = build("vit_b_32", 4, seed=2, weights=tmp_path / "vit.pth")
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), vit.parameters(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["squeezenet1_1", "googlenet", "shufflenet_v2_x0_5", "vit_b_32", "convnext_tiny", "mnasnet0_5"]
)
def test_other_classifiers_learn_from_their_imagenet_file(name: str, tmp_path: Path) -> None:
    options = (
        {"init_weights": False} if name == "googlenet" else {}
    )  # slow; and with the auxiliary heads, as in the file
    torch.save(torchvision.models.get_model(name, weights=None, **options).state_dict(), tmp_path / "file.pth")
    model = build(name, 5, seed=0, weights=tmp_path / "file.pth").eval()
    size = usual_input(architecture(name), 64)
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, size, size)).shape == (1, 5)


def test_the_usual_input_is_the_preferred_one_where_it_fits() -> None:
    assert usual_input(architecture("resnet18"), 64) == 64
    assert usual_input(architecture("scratch-simple"), 224) == 32
    assert usual_input(architecture("scratch-medium"), 224) == 64
    assert usual_input(architecture("vit_b_16"), 64) == 224


def test_batch_norm_needs_two_images_where_one_pixel_is_left() -> None:
    check_input(architecture("resnet18"), 64, 1)
    with pytest.raises(ModelError, match="batch_size: 1 is too small for resnet18 at input_size 32"):
        check_input(architecture("resnet18"), 32, 1)


def test_groups_reach_into_stages() -> None:
    groups = parameter_groups(build("resnet18", 3, seed=0))
    assert len(groups["layer4.1"]) < len(groups["layer4"])
    assert "features.10" in parameter_groups(build("alexnet", 3, seed=0))


def test_an_input_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match="62 does not fit alexnet, which takes 63 pixels or more"):
        check_input(architecture("alexnet"), 62)
    with pytest.raises(ModelError, match="64 does not fit scratch-simple, which takes 32 pixels only"):
        check_input(architecture("scratch-simple"), 64)
    with pytest.raises(ModelError, match="did you mean 'alexnet'"):
        architecture("alexnt")


@pytest.mark.family
@pytest.mark.parametrize("name", WITH_IMAGENET)
def test_imagenet_weights_load_from_torchs_cache_under_their_real_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    kind = architecture(name)
    made = torchvision.models.get_model(name.partition("-")[0], weights=None)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(0.25)
    file = imagenet_file(kind)
    assert file.parent == tmp_path / "checkpoints"
    file.parent.mkdir()
    torch.save(made.state_dict(), file)
    assert fetch_imagenet(kind) == file
    model = build(name, 5, seed=0, weights=file)
    heads = head_names(model) if kind.own_head else last_layers(model)
    for key, parameter in model.named_parameters():
        assert (parameter == 0.25).all() != is_within(key, heads), key


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("alexnet", "alexnet-owt-7be5be79.pth"),
        ("resnet18", "resnet18-f37072fd.pth"),
        ("mobilenet_v2", "mobilenet_v2-7ebf99e0.pth"),
        ("mobilenet_v2-two-layer-head", "mobilenet_v2-7ebf99e0.pth"),
        ("resnet50", "resnet50-11ad3fa6.pth"),
        ("efficientnet_v2_s", "efficientnet_v2_s-dd5fe13b.pth"),
    ],
)
def test_without_network_the_error_names_the_file(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(ModelError, match=f"no network.*{tmp_path}/checkpoints/{file}"):
        fetch_imagenet(architecture(name))


def test_a_version_of_the_imagenet_weights_can_be_named() -> None:
    kind = architecture("resnet50")
    names = [imagenet_file(kind, version).name for version in ("imagenet", "imagenet1k_v1", "imagenet1k_v2")]
    assert names == ["resnet50-11ad3fa6.pth", "resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth"]
    with pytest.raises(ModelError, match=r"'imagenet1k_v3' \(did you mean .*choose from imagenet, imagenet1k_v1"):
        imagenet_file(kind, "imagenet1k_v3")


def test_a_file_under_a_name_of_torchvisions_has_its_content(tmp_path: Path) -> None:
    kind = architecture("resnet18")
    check_digest(tmp_path / "resnet18-f37072fd.pth", "f37072fd0123abcd", kind)
    check_digest(tmp_path / "mine-20261124.pth", "0123abcd", kind)  # a date, not a hash
    with pytest.raises(ModelError, match="SHA-256 begins with 0123abcd, not with f37072fd"):
        check_digest(tmp_path / "resnet18-f37072fd.pth", "0123abcd0123abcd", kind)


def test_the_two_layer_head_keeps_the_dropout_before_it() -> None:
    head = build("mobilenet_v2-two-layer-head", 10, seed=0).get_submodule("classifier")
    assert [(type(part).__name__, getattr(part, "p", None)) for part in head.children()] == [
        ("Dropout", 0.2),
        ("Linear", None),
        ("ReLU", None),
        ("Dropout", 0.3),
        ("Linear", None),
    ]


def test_no_imagenet_weights_of_scratch_networks() -> None:
    with pytest.raises(ModelError, match="no ImageNet weights of scratch-simple"):
        fetch_imagenet(architecture("scratch-simple"))


def test_a_state_of_the_same_classes_is_loaded_whole(tmp_path: Path) -> None:
    kind = architecture("scratch-simple")
    source = build("scratch-simple", 4, seed=1)
    torch.save(source.state_dict(), tmp_path / "state.pt")
    model = build("scratch-simple", 4, seed=2, weights=tmp_path / "state.pt")
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), model.parameters(), strict=True))
    assert load_into(build("scratch-simple", 9, seed=2), source.state_dict(), "here", kind) is False


def test_weights_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("no state")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "text.safetensors").write_text("no state")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pt")
    torch.save(build("scratch-simple", 4, seed=0), tmp_path / "pickled.pt")
    torch.save({1: torch.zeros(1)}, tmp_path / "numbered.pt")
    torch.save({"a": torch.zeros(3).to_sparse()}, tmp_path / "sparse.pt")
    torch.save({"a": torch.zeros(3, dtype=torch.complex64)}, tmp_path / "complex.pt")
    torch.save({"a": torch.tensor([1.0, float("nan")])}, tmp_path / "nan.pt")
    for file, message in (
        ("absent.pt", "no file"),
        ("text.pt", "not a state file"),
        ("text.safetensors", "not a state file"),
        ("list.pt", "not hold a state dict"),
        ("pickled.pt", "not a state file that loads with weights_only"),
        ("numbered.pt", "1 is no text, as the name of a tensor is"),
        ("sparse.pt", "'a' is stored as sparse_coo, not as a plain tensor"),
        ("complex.pt", "'a' holds complex numbers"),
        ("nan.pt", "'a' holds numbers that are not finite"),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            read_state(tmp_path / file)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=r"is not for this model: .* and 3 more do not fit"):
        build("scratch-simple", 4, seed=0, weights=tmp_path / "other.pt")
