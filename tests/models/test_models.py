"""Contracts that every architecture keeps, and first weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from quorum.errors import ModelError
from quorum.models import ARCHITECTURES, architecture, build, check_input, fetch_imagenet, parameter_groups, usual_input
from quorum.models.parts import last_layer
from quorum.models.weights import imagenet_file, load_into, read_state

NAMES = sorted(ARCHITECTURES)
WITH_IMAGENET = [name for name in NAMES if ARCHITECTURES[name].imagenet is not None]


def usual(name: str) -> int:
    return usual_input(architecture(name), 64)


@pytest.mark.parametrize("name", NAMES)
def test_it_answers_a_logit_per_class(name: str) -> None:
    model = build(name, 7, seed=0).eval()
    size = usual(name)
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, size, size)).shape == (2, 7)


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


def test_an_input_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match="62 does not fit alexnet, which takes 63 pixels or more"):
        check_input(architecture("alexnet"), 62)
    with pytest.raises(ModelError, match="64 does not fit scratch-simple, which takes 32 pixels only"):
        check_input(architecture("scratch-simple"), 64)
    with pytest.raises(ModelError, match="did you mean 'alexnet'"):
        architecture("alexnt")


@pytest.mark.parametrize("name", WITH_IMAGENET)
def test_imagenet_weights_load_from_torchs_cache_under_their_real_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    kind = architecture(name)
    made = kind.build(1000)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(0.25)
    file = imagenet_file(kind)
    assert file.parent == tmp_path / "checkpoints"
    file.parent.mkdir()
    torch.save(made.state_dict(), file)
    assert fetch_imagenet(kind) == file
    model = build(name, 5, seed=0, weights=file)
    head = last_layer(model)
    for key, parameter in model.named_parameters():
        assert (parameter == 0.25).all() != key.startswith(f"{head}."), key


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("alexnet", "alexnet-owt-7be5be79.pth"),
        ("resnet18", "resnet18-f37072fd.pth"),
        ("mobilenet_v2", "mobilenet_v2-b0353104.pth"),
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
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pt")
    torch.save(build("scratch-simple", 4, seed=0), tmp_path / "pickled.pt")
    for file, message in (
        ("absent.pt", "no file"),
        ("text.pt", "not a state file"),
        ("list.pt", "not hold a state dict"),
        ("pickled.pt", "not a state file that loads with weights_only"),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            read_state(tmp_path / file)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=r"is not for this model: .* and 3 more do not fit"):
        build("scratch-simple", 4, seed=0, weights=tmp_path / "other.pt")
