"""Models as ONNX files: onnxruntime answers what quorum answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from mlflow.tracking import MlflowClient
from torch import nn

from quorum.api.export import Exported, export
from quorum.api.load import load
from quorum.config import TrialConfig
from quorum.data.resize import resize_shorter_side
from quorum.errors import ModelError
from quorum.models import build
from quorum.models.depthwise import with_fast_depthwise
from quorum.tracking.logged_models import log_classifier, log_vote
from quorum.tracking.records import Record
from quorum.tracking.registry import register_vote
from quorum.tracking.runs import begin_run
from quorum.tracking.store import connect
from quorum.tracking.version_record import VersionRecord
from quorum.voting import onnx_file
from quorum.voting.abstention import Abstention
from quorum.voting.classifier import Classifier
from quorum.voting.graph import VoteGraph
from quorum.voting.onnx_file import check_onnx_output, write_onnx
from quorum.voting.rules import VotingRule
from tests.conftest import Quorum, enter

RESIZES = (0, 40)
RULE = VotingRule(temperatures=(0.7, 1.3), abstain=Abstention("agreement", 0.6))
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 45, 61, 3), dtype=np.uint8)


def config(resize: int = 0) -> TrialConfig:
    return TrialConfig(model="scratch-simple", input_size=32, resize=resize, normalize="half", precision="float32")


def bundle(folder: Path, resize: int) -> Path:
    weights = build("scratch-simple", 3, seed=resize).state_dict()
    Classifier.save(folder, config(resize), ("a", "b", "c"), "digest", weights)
    return folder


@dataclass(frozen=True)
class Files:
    """What was exported, in a store with the models.

    Attributes:
        vote, classifier: as ONNX.
    """

    vote: Exported
    classifier: Exported


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Files]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        folder = tmp_path_factory.mktemp("exported")
        enter(folder / "work", empty_store, monkeypatch)
        store = connect()
        bundles = [bundle(folder / str(resize), resize) for resize in RESIZES]
        with begin_run(store, "one", Record(kind="train")) as log:
            one = log_classifier(log, bundles[0], b"", {})
        with begin_run(store, "vote", Record(kind="ensemble")) as log:
            vote = log_vote(log, bundles, RULE, b"", {})
        version = VersionRecord(
            name="quorum-digits-vote",
            version="",
            model_id=vote,
            run_id=log.run_id,
            members=("models:/a/1", "models:/b/1"),
        )
        register_vote(store, version, "two networks")
        yield Files(
            export(output="vote.onnx", tags="who=me", note="A note."), export(f"models:/{one}", output="out/one.onnx")
        )


@pytest.mark.slow
def test_onnxruntime_answers_as_the_vote_does(exported: Files) -> None:
    made = exported.vote
    assert (made.model, made.inputs) == ("models:/quorum-digits-vote/1", {"images_0": 0, "images_40": 40})
    session = onnxruntime.InferenceSession(made.output)
    assert [output.name for output in session.get_outputs()] == list(made.outputs)
    resized = np.stack([resize_shorter_side(image, 40) for image in IMAGES])
    label, probability, probabilities, agreement, votes = session.run(None, {"images_0": IMAGES, "images_40": resized})
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    expected = load(made.model).predict(list(IMAGES))
    assert [classes[i] if i >= 0 else "" for i in label] == list(expected["label"])
    assert [[classes[i] for i in row] for row in votes] == list(expected["votes"])
    np.testing.assert_allclose(probability, expected["probability"], atol=1e-5)
    np.testing.assert_allclose(probabilities, np.stack(list(expected["probabilities"])), atol=1e-5)
    np.testing.assert_allclose(agreement, expected["agreement"], atol=1e-5)
    assert made.difference < 1e-5
    assert [path.name for path in made.output.parent.glob("*.onnx*")] == ["vote.onnx"]  # nor weights beside it


@pytest.mark.slow
def test_its_run_carries_the_users_own_words(exported: Files) -> None:
    tags = MlflowClient().get_run(exported.vote.run_id).data.tags
    assert tags["who"] == "me"
    assert tags["mlflow.note.content"].startswith("A note.\n\n`models:/quorum-digits-vote/1` as ONNX")


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 8, 8), (5, 32, 33), (2, 200, 31)])
def test_onnxruntime_takes_any_number_of_images_of_any_size(exported: Files, shape: tuple[int, ...]) -> None:
    made = exported.classifier
    images = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(made.output)
    label, probability, probabilities = session.run(None, {"images": images})
    expected = load(made.model).predict(list(images))
    assert [made.classes[i] for i in label] == list(expected["label"])
    np.testing.assert_allclose(probability, expected["probability"], atol=1e-5)
    np.testing.assert_allclose(probabilities, np.stack(list(expected["probabilities"])), atol=1e-5)


@pytest.mark.slow
def test_only_a_model_of_ours_is_overwritten(exported: Files, tmp_path: Path) -> None:
    check_onnx_output(exported.vote.output)
    other = tmp_path / "other.onnx"
    other.write_bytes(exported.vote.output.read_bytes().replace(b"quorum", b"others", 1))
    with pytest.raises(Exception, match=r"other\.onnx holds something else than a model of quorum's"):
        check_onnx_output(other)


def small(model: nn.Module) -> VoteGraph:
    return VoteGraph([Classifier(config(), ("a", "b"), "", model)], VotingRule())


class Branching(nn.Module):
    """A network that does something else for other values, which no graph can."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))


@pytest.mark.slow
def test_a_network_that_cannot_be_exported_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="onnx: torch cannot export this network") as raised:
        write_onnx(small(Branching()), tmp_path / "model.onnx", {})
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_weights_too_large_for_a_file_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "LARGEST", 1000)
    with pytest.raises(ModelError, match="GB of weights are more than one file holds"):
        write_onnx(small(nn.Linear(300, 300)), tmp_path / "model.onnx", {})


@pytest.mark.slow
def test_what_is_written_is_compared_with_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With our depthwise convolutions, which have gradients of their own."""
    layers = (nn.Conv2d(3, 3, 5, groups=3, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    model = with_fast_depthwise(nn.Sequential(*layers))
    assert write_onnx(small(model), tmp_path / "model.onnx", {}) < 1e-5
    export_rightly = torch.onnx.export

    def wrong(graph: VoteGraph, *arguments: object, **settings: object) -> object:
        exported = export_rightly(graph, *arguments, **settings)  # type: ignore[arg-type]
        layers[-1].bias = nn.Parameter(torch.tensor([9.0, 0.0]))
        return exported

    monkeypatch.setattr(torch.onnx, "export", wrong)
    with pytest.raises(ModelError, match="onnxruntime's probabilities differ from torch's by 0"):
        write_onnx(small(model), tmp_path / "wrong.onnx", {})


def test_missing_packages_are_one_line(quorum: Quorum, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    answer = quorum("export", "--onnx")
    assert answer.status == 2
    assert "onnx: onnxscript cannot be imported" in answer.err
    assert answer.err.endswith("pip install 'quorum[onnx]'\n")
    assert not list(quorum.folder.glob("*.onnx*"))


@pytest.mark.slow
def test_the_packages_are_imported_for_an_export_alone() -> None:
    program = "import sys, quorum.commands.export, quorum.tracking.served_model; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {"onnx", "onnxruntime", "onnxscript"} & set(loaded.split())
