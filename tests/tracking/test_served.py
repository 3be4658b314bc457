"""What MLflow's scoring server answers for our models: predictions, or status 400 with one line."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.pyfunc.scoring_server import init
from PIL import Image

from quorum.config import TrialConfig
from quorum.data import images
from quorum.models import build
from quorum.tracking.logged_models import log_classifier, log_vote
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.store import connect
from quorum.voting.classifier import Classifier
from quorum.voting.rules import VotingRule
from tests.conftest import enter

CONFIG = TrialConfig(model="scratch-simple", input_size=32, resize=0, normalize="half", precision="float32")


def encoded(width: int, height: int, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


GOOD = encoded(20, 24)


@dataclass(frozen=True)
class Server:
    """MLflow's scoring server for one model, called in this process."""

    app: Any

    def post(self, content: bytes) -> tuple[int, Any]:
        """The HTTP status and the body of the answer to a POST to /invocations."""
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "headers": headers}
        asyncio.run(self.app(scope, receive, send))
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], json.loads(body)

    def ask(self, *contents: bytes) -> tuple[int, Any]:
        """The answer for some image files."""
        rows = [[base64.b64encode(content).decode()] for content in contents]
        return self.post(json.dumps({"dataframe_split": {"columns": ["image"], "data": rows}}).encode())


@pytest.fixture(scope="module", params=["classifier", "vote"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, empty_store: Path
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(folder / "work", empty_store, monkeypatch)
        store = connect()
        bundles = [folder / str(seed) for seed in (1, 2)]
        for seed, bundle in enumerate(bundles):
            weights = build("scratch-simple", 2, seed=seed).state_dict()
            Classifier.save(bundle, CONFIG, ("blue", "red"), "digest", weights)
        with begin_run(store, "served", Record(kind="train")) as log:
            if request.param == "vote":
                model_id = log_vote(log, bundles, VotingRule(), GOOD, {})
            else:
                model_id = log_classifier(log, bundles[0], GOOD, {})
        monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "false")  # taken back at the end: the server sets it
        yield Server(init(mlflow.pyfunc.load_model(f"models:/{model_id}")))


def test_images_are_answered_in_their_order(server: Server) -> None:
    status, answer = server.ask(GOOD, encoded(9, 9), GOOD)
    assert status == 200
    first, _, third = answer["predictions"]
    assert first == third
    assert first["label"] in ("blue", "red")


@pytest.mark.parametrize(
    ("contents", "line"),
    [
        ((b"no image",), "image 0: not a readable image (unknown format)"),
        ((GOOD, b""), "image 1: not a readable image (unknown format)"),
        ((GOOD, GOOD, encoded(200, 200)[:100]), "image 2: not a readable image (image file is truncated)"),
        ((encoded(13300, 13300, "1"),), "image 0: 13300 x 13300 pixels are more than 50 million"),
        ((GOOD, encoded(1, 60000)), "image 1: 1 x 60000 pixels; one side is more than 100 times the other"),
        ((b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",), "image 0: not a readable image (unknown format)"),
        ((), "no image in the request"),
    ],
    ids=["text", "empty", "truncated", "pixels", "aspect", "postscript", "none"],
)
def test_a_wrong_image_is_status_400_and_one_line(server: Server, contents: tuple[bytes, ...], line: str) -> None:
    status, answer = server.ask(*contents)
    assert status == 400
    assert answer["message"] == line
    assert "stack_trace" not in answer
    assert "/" not in json.dumps(answer)  # nor any path of the server's


@pytest.mark.parametrize("value", [None, 3, "no base64!", ["a"], {"a": 1}, True])
def test_what_is_no_bytes(server: Server, value: object) -> None:
    content = json.dumps({"dataframe_split": {"columns": ["image"], "data": [[value]]}}).encode()
    status, answer = server.post(content)
    assert status == 400
    assert "stack_trace" not in answer


def test_images_of_a_request_are_decoded_one_by_one(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong image ends the request before those after it are decoded."""
    decoded: list[tuple[int, int]] = []
    refuse = images.refuse_size

    def seen(width: int, height: int, name: str) -> None:
        decoded.append((width, height))
        refuse(width, height, name)

    monkeypatch.setattr(images, "refuse_size", seen)
    assert server.ask(GOOD, encoded(1, 200), GOOD)[0] == 400
    assert decoded == [(20, 24), (1, 200)]
