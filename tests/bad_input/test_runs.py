"""What a mistake leaves of the run that MLflow made for it, and mistakes that only trained models can meet."""

from __future__ import annotations

import pytest
from mlflow.tracking import MlflowClient

from tests.conftest import Quorum, make_image


@pytest.mark.parametrize(
    "arguments",
    [
        "train -P lr=fast",
        "train -P model=alexnt",
        "sweep -P study=zzz",
        "sweep -P study=alexnet -P input_size=9",
        "promote",
        "ensemble",
        "data -P dataset=cifar10",
    ],
)
def test_the_run_that_mlflow_made_is_failed_with_the_line_as_its_note(
    quorum: Quorum, monkeypatch: pytest.MonkeyPatch, arguments: str
) -> None:
    client = MlflowClient()
    run = client.create_run("1")
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    answer = quorum(*arguments.split())
    assert answer.status == 2
    ended = client.get_run(run.info.run_id)
    assert ended.info.status == "FAILED"
    assert ended.data.tags["mlflow.note.content"] == answer.err.strip().removeprefix("quorum: ")
    assert [r.info.run_id for r in client.search_runs(["0", "1"])] == [run.info.run_id]


@pytest.mark.slow
def test_members_that_know_other_classes_are_refused(quorum: Quorum) -> None:
    for tree in ("good-tree", "bad-tree"):
        for i in range(10):
            make_image(quorum.folder / tree / "a" / f"{i}.png", i)
            make_image(quorum.folder / tree / "b" / f"{i}.png", i + 10)
    (quorum.folder / "bad-tree" / "a" / "0.png").write_text("no image")
    uris = []
    for dataset in ("digits -P epochs=1", "folder -P path=good-tree -P batch_size=4 -P epochs=1", "digits -P epochs=2"):
        arguments = f"train --json -P model=scratch-simple -P dataset={dataset}".split()
        if dataset.startswith("digits"):
            arguments += ["-P", "batch_size=128"]
        assert quorum(*arguments).status == 0
        models = MlflowClient().search_logged_models(["1"])
        uris.append(f"models:/{models[0].model_id}")
    answer = quorum("ensemble", "-P", f"models={','.join(uris[:2])}")
    assert answer.status == 2
    assert "do not know the same classes" in answer.err
    assert not (quorum.folder / "predictions.csv").exists()
    for uri, message in ((f"{uris[0]},{uris[0]}", "is a member already"), (uris[0], "alone is no vote")):
        answer = quorum("ensemble", "-P", f"models={uri}")
        assert answer.status == 2
        assert message in answer.err
    pair = f"models={uris[0]},{uris[2]}"
    answer = quorum("ensemble", "-P", pair, "-P", "images=absent")
    assert "absent: no such folder of images" in answer.err
    (quorum.folder / "empty").mkdir()
    answer = quorum("ensemble", "-P", pair, "-P", "images=empty")
    assert "empty: no image in this folder" in answer.err
    answer = quorum("ensemble", "-P", pair, "-P", "images=bad-tree")
    assert "1 of 20 images cannot be used: a/0.png" in answer.err
    assert not (quorum.folder / "predictions.csv").exists()
