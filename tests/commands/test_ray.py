"""Sweeps and promotions with engine=ray: the tables of one process, and what is refused before anything starts."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow.tracking import MlflowClient

from quorum.api.engines import engine_of
from quorum.api.options import SweepOptions
from quorum.errors import QuorumError
from quorum.models import build
from quorum.tracking import schema
from tests.clusters import cluster
from tests.commands.studies import STUDY, TREE, Swept, means, runs, sweep, sweep_words
from tests.commands.test_jobs import by_key, empty, history
from tests.conftest import Quorum

__all__ = ["cluster"]
pytestmark = pytest.mark.slow


def predictions(folder: Path, run_id: str) -> str:
    """What a run's best weights predicted, downloaded to a folder."""
    return Path(MlflowClient().download_artifacts(run_id, schema.PREDICTIONS, str(folder))).read_text()


def test_a_sweep_on_a_cluster_is_that_of_one_process_bit_for_bit(
    tree: Swept, cluster: Any, small_digits: Path, tmp_path: Path
) -> None:
    alone = by_key(runs("seed"))
    histories = {key: history(run) for key, run in alone.items()}
    beside = sweep(tree.quorum, small_digits, TREE, engine="ray", ray_address=cluster.address, jobs=4, reuse="false")
    theirs = by_key([run for run in runs("seed") if run.data.tags[schema.SWEEP] == beside["run_id"]])
    assert {key: history(run) for key, run in theirs.items()} == histories
    assert means(beside) == means(tree.result)
    assert beside["epochs"] == tree.result["epochs"]
    assert {run.data.tags[schema.NUMERICS] for run in (*alone.values(), *theirs.values())} == {
        next(iter(alone.values())).data.tags[schema.NUMERICS]
    }
    for number, (key, run) in enumerate(theirs.items()):
        places = [tmp_path / f"{number}-{side}" for side in ("ours", "theirs")]
        for place in places:
            place.mkdir()
        assert predictions(places[0], alone[key].info.run_id) == predictions(places[1], run.info.run_id)
    assert empty(tree.quorum.folder, "kept", "states", "weights", "artifacts")


def test_rows_of_a_mixed_sweep_say_what_they_were_computed_on(quorum: Quorum, cluster: Any, small_digits: Path) -> None:
    settings = {"engine": "ray", "ray_address": cluster.address, "jobs": 2, "mixed": "true"}
    result = sweep(quorum, small_digits, STUDY, **settings)
    [outer] = runs("sweep")
    assert outer.data.tags[schema.NUMERICS] == "mixed"
    alone = {run.data.tags[schema.NUMERICS] for run in runs("seed") if schema.SHARED_EPOCHS not in run.data.tags}
    restored = {run.data.tags[schema.NUMERICS] for run in runs("seed") if schema.SHARED_EPOCHS in run.data.tags}
    [name] = alone
    assert name.startswith("cpu ")
    assert restored == {"mixed"}  # the epochs that they share may be those of another class
    assert f"computed on {name}" in outer.data.tags[schema.NOTE]
    assert result["stages"][0]["trials"][0]["n"] == 2


def test_first_weights_are_put_where_all_nodes_see_them(
    quorum: Quorum, cluster: Any, small_digits: Path, tmp_path: Path
) -> None:
    torch.save(build("scratch-simple", 4, seed=5).state_dict(), tmp_path / "first.pt")
    text = STUDY.replace("epochs: 2", f"epochs: 1, weights: {tmp_path / 'first.pt'}")
    alone = sweep(quorum, small_digits, text, seeds="0")
    beside = sweep(
        quorum, small_digits, text, seeds="0", engine="ray", ray_address=cluster.address, reuse="false", jobs=2
    )
    assert means(beside) == means(alone)
    assert len(list((quorum.folder / ".quorum" / "first-weights").iterdir())) == 1


def test_a_promotion_trains_fresh_seeds_on_a_cluster(swept: Swept, cluster: Any, small_digits: Path) -> None:
    words = ["promote", "-P", "dataset=folder", "-P", f"path={small_digits}", "-P", "top=1", "-P", "confirm=2"]
    words += ["-P", "engine=ray", "-P", f"ray_address={cluster.address}", "-P", "jobs=2", "-P", "json=true"]
    answer = swept.quorum(*words)
    assert answer.status == 0, answer.err
    assert json.loads(answer.out)["best-1"]["fresh_seeds"] == 2


def test_a_driver_without_a_gpu_asks_the_nodes_for_theirs(cluster: Any) -> None:
    options = SweepOptions.model_validate({"engine": "ray", "device": "cuda", "ray_address": cluster.address})
    with (
        pytest.raises(QuorumError, match="a training asks for 1 CPU and 1 GPU, and the largest node"),
        engine_of(options),
    ):
        pass


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"threads": 3}, "a training asks for 3 CPUs, and the largest node of the Ray cluster has 1 CPUs and 0 GPUs"),
        ({"gpus_per_job": 0.5}, "a training asks for 1 CPU and 0.5 GPU, and the largest node"),
    ],
)
def test_what_no_node_can_hold_is_refused_before_anything_starts(
    quorum: Quorum, cluster: Any, small_digits: Path, settings: dict[str, object], line: str
) -> None:
    (quorum.folder / "study.yaml").write_text(STUDY)
    given = {"engine": "ray", "ray_address": cluster.address, **settings}
    answer = quorum(*sweep_words(small_digits, **given))
    assert answer.status == 2
    assert answer.err.startswith(f"quorum: {line}")
    assert answer.err.count("\n") == 1
    assert not runs("sweep")


def test_nothing_of_this_process_is_changed_by_a_cluster(cluster: Any) -> None:
    """Ray would have SIGTERM end it without a word."""
    assert "ray" not in str(getattr(signal.getsignal(signal.SIGTERM), "__module__", ""))
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
