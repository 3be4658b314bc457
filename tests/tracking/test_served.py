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
import pandas as pd
import pytest
from mlflow.pyfunc.scoring_server import init
from PIL import Image

from quorum.api.load import load
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
    """MLflow's scoring server for one model, called in this process.

    Attributes:
        app: the server.
        uri: of the model.
    """

    app: Any
    uri: str

    def post(self, content: bytes, kind: str = "application/json") -> tuple[int, Any]:
        """The HTTP status and the body of the answer to a POST to /invocations."""
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        headers = [(b"content-type", kind.encode())]
        scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "headers": headers}
        asyncio.run(self.app(scope, receive, send))
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], json.loads(body)

    def ask(self, *contents: bytes) -> tuple[int, Any]:
        """The answer for some image files."""
        return self.rows(*(base64.b64encode(content).decode() for content in contents))

    def rows(self, *values: object) -> tuple[int, Any]:
        """The answer for some values of the column of images."""
        rows = [[value] for value in values]
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
        uri = f"models:/{model_id}"
        yield Server(init(mlflow.pyfunc.load_model(uri)), uri)


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


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "neither base64 text nor bytes"),
        (3, "neither base64 text nor bytes"),
        (True, "neither base64 text nor bytes"),
        (["a"], "neither base64 text nor bytes"),
        ({"a": 1}, "neither base64 text nor bytes"),
        ("no base64!", "not base64 text ("),
        ("é", "not base64 text ("),
        ("", "not a readable image (unknown format)"),
    ],
)
@pytest.mark.parametrize("before", [(), (base64.b64encode(GOOD).decode(),)], ids=["first", "second"])
def test_what_is_no_base64_is_status_400_and_one_line(
    server: Server, before: tuple[str, ...], value: object, said: str
) -> None:
    status, answer = server.rows(*before, value)
    assert status == 400
    assert answer["message"].startswith(f"image {len(before)}: {said}")
    assert "\n" not in answer["message"]
    assert "stack_trace" not in answer


def test_base64_may_have_line_breaks(server: Server) -> None:
    assert server.rows(base64.encodebytes(GOOD).decode()) == server.ask(GOOD)


def csv(*contents: bytes) -> str:
    """A table of images, as `DataFrame.to_csv` writes it."""
    return pd.DataFrame({"image": [base64.b64encode(content).decode() for content in contents]}).to_csv(index=False)


def test_csv_is_answered_as_json_is(server: Server) -> None:
    assert server.post(csv(GOOD, encoded(9, 9)).encode(), "text/csv") == server.ask(GOOD, encoded(9, 9))
    status, answer = server.post(csv(GOOD, b"no image").encode(), "text/csv")
    assert (status, answer["message"]) == (400, "image 1: not a readable image (unknown format)")


def test_parquet_holds_text_or_bytes(server: Server) -> None:
    for value in (GOOD, base64.b64encode(GOOD).decode()):
        table = pd.DataFrame({"image": [value]}).to_parquet()
        assert server.post(table, "application/vnd.apache.parquet") == server.ask(GOOD)


@pytest.mark.slow
def test_mlflow_models_predict_takes_csv(server: Server, tmp_path: Path) -> None:
    """`mlflow models predict -t csv`, which reads the file without looking at the model's columns."""
    table, out = tmp_path / "images.csv", tmp_path / "answer.json"
    table.write_text(csv(GOOD, encoded(9, 9)))
    mlflow.models.predict(server.uri, input_path=table, content_type="csv", output_path=out, env_manager="local")
    assert json.loads(out.read_text()) == server.ask(GOOD, encoded(9, 9))[1]


def test_all_ways_to_load_a_model_answer_with_the_same_columns(server: Server) -> None:
    _, served = server.ask(GOOD)
    of_bytes = mlflow.pyfunc.load_model(server.uri).predict(pd.DataFrame({"image": [GOOD]}))
    loaded = load(server.uri).predict([GOOD])
    assert list(of_bytes) == list(loaded) == list(served["predictions"][0])
    columns = ["label", "probability", "probabilities", "agreement", "votes"]
    assert list(loaded) == columns[: 5 if len(load(server.uri).members) > 1 else 3]
    assert list(mlflow.models.get_model_info(server.uri).signature.outputs.input_names()) == list(loaded)
    assert loaded.to_dict("records") == of_bytes.to_dict("records") == served["predictions"]


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
