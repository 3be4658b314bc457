"""Promotion that a lucky run cannot win: fresh seeds, the gate, and weights that are trained again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from quorum.promotion import gate as gates
from quorum.tracking import schema
from quorum.tracking.store import connect
from quorum.tracking.version_record import VersionRecord
from tests.commands.faults import interrupt_after, with_fault
from tests.commands.studies import STUDY, Swept, runs, sweep
from tests.conftest import Quorum, words

FOLDER, DIGITS = "quorum-small-digits", "quorum-digits"


def promote(quorum: Quorum, *more: str, **settings: object) -> dict[str, Any]:
    answer = quorum(*words("promote", **settings), "--json", *more)
    assert answer.status == 0, answer.err
    return dict(json.loads(answer.out))


@pytest.fixture
def confirming(swept: Swept, small_digits: Path) -> list[str]:
    """The command that promotes the two best of a sweep with three fresh seeds each."""
    return words("promote", dataset="folder", path=small_digits, top=2, confirm=3, threads=1)


def seed_runs(trial: str) -> dict[str, str]:
    return dict(json.loads(MlflowClient().get_run(trial).data.tags[schema.SEED_RUNS]))


def test_fresh_seeds_rank_and_both_means_are_kept(swept: Swept, confirming: list[str]) -> None:
    answer = swept.quorum(*confirming, "--json")
    assert answer.status == 0, answer.err
    [confirmation] = runs(schema.CONFIRM_KIND)
    assert confirmation.data.params["seeds"] == "2,3,4"  # the sweep had 0 and 1
    fresh = runs(schema.FRESH_KIND)
    assert len(fresh) == 2
    confirmed = [entry["confirmed"] for entry in json.loads(answer.out).values()]
    assert confirmed == sorted((run.data.metrics["val_accuracy/mean"] for run in fresh), reverse=True)
    for alias, entry in json.loads(answer.out).items():
        version = VersionRecord.of(MlflowClient().get_model_version_by_alias(FOLDER, alias))
        assert version.confirmed == entry["confirmed"]
        assert version.confirmed_n == 3
        assert version.mean == entry["mean"]
        assert set(seed_runs(version.confirmed_run)) == {"2", "3", "4"}
    table = swept.quorum(*confirming).out
    assert "mean - confirmed" in table
    assert "by the winner's curse" in table


def test_the_gate_compares_by_fresh_seeds_where_both_have_them(swept: Swept, confirming: list[str]) -> None:
    """A champion that was confirmed meets a challenger with the same fresh seeds."""
    assert swept.quorum(*confirming).status == 0
    client = MlflowClient()
    second = client.get_model_version_by_alias(FOLDER, "best-2").version
    client.set_registered_model_alias(FOLDER, "best-1", second)
    assert swept.quorum(*confirming).status == 0
    [*_, run] = runs(schema.PROMOTE_KIND)
    decision = json.loads(run.data.tags[schema.PROMOTION])["gate"]
    assert (decision["champion"], decision["by"], decision["n"]) == (str(second), "seed", 3)


def test_confirming_twice_trains_once_and_changes_no_candidates(swept: Swept, confirming: list[str]) -> None:
    plain = promote(swept.quorum, name="small-digits", top=2)
    first = json.loads(swept.quorum(*confirming, "--json").out)
    trained = len(runs(schema.SEED_KIND))
    assert json.loads(swept.quorum(*confirming, "--json").out) == first
    assert len(runs(schema.SEED_KIND)) == trained
    assert {e["version"] for e in promote(swept.quorum, name="small-digits", top=2, gate="off").values()} == {
        entry["version"] for entry in plain.values()
    }


def test_a_confirmation_goes_on_where_it_was_stopped(swept: Swept, confirming: list[str]) -> None:
    killed = with_fault(interrupt_after(3), swept.quorum, confirming)
    assert killed.status == 130
    assert not MlflowClient().search_registered_models()
    [confirmation] = runs(schema.CONFIRM_KIND)
    assert confirmation.info.status == "KILLED"
    answer = swept.quorum(*confirming)
    assert answer.status == 0, answer.err
    [again] = runs(schema.CONFIRM_KIND)
    assert again.info.run_id == confirmation.info.run_id
    assert again.info.status == "FINISHED"
    [_, promotion] = runs(schema.PROMOTE_KIND)
    assert again.data.tags["mlflow.parentRunId"] == promotion.info.run_id, "a kill of this process ends it too"
    assert len(runs(schema.FRESH_KIND)) == 2


def test_a_version_says_what_it_was_confirmed_by_last(swept: Swept, confirming: list[str]) -> None:
    assert swept.quorum(*confirming).status == 0
    answer = swept.quorum(*(word.replace("confirm=3", "confirm=1") for word in confirming), "--json")
    for alias, entry in json.loads(answer.out).items():
        version = VersionRecord.of(MlflowClient().get_model_version_by_alias(FOLDER, alias))
        assert (version.confirmed, version.confirmed_std, version.confirmed_n) == (entry["confirmed"], None, 1)
        assert f"confirmed {entry['confirmed']:.3f};" in version.description


def test_more_candidates_than_are_promoted(swept: Swept, confirming: list[str]) -> None:
    one = [word.replace("top=2", "top=1") for word in confirming]
    answer = swept.quorum(*one, "-P", "candidates=2", "--json")
    assert answer.status == 0, answer.err
    means = [run.data.metrics["val_accuracy/mean"] for run in runs(schema.FRESH_KIND)]
    assert len(means) == 2
    assert [entry["confirmed"] for entry in json.loads(answer.out).values()] == pytest.approx([max(means)], abs=5e-5)


def test_other_images_cannot_confirm(swept: Swept, small_digits: Path, tmp_path: Path) -> None:
    """The folder has moved, and has lost an image."""
    moved = tmp_path / "moved"
    shutil.copytree(small_digits, moved)
    next(moved.rglob("*.png")).unlink()
    sets = [run.info.run_id for kind in (schema.SWEEP_KIND, schema.SEED_KIND) for run in runs(kind)]
    for run_id in sets:
        MlflowClient().set_tag(run_id, schema.DATA_SOURCE, str(tmp_path / "gone"))
    answer = swept.quorum(*words("promote", name="small-digits", path=moved, top=2, confirm=1))
    assert answer.status == 2
    assert "not those that the candidates were trained on" in answer.err


def test_trials_that_answer_alike_are_one_whether_their_weights_were_kept_or_not(
    swept: Swept, small_digits: Path
) -> None:
    client = MlflowClient()
    for run in runs(schema.TRIAL_KIND):
        for tag in {schema.MODEL_ID, schema.BEST_RUN} & run.data.tags.keys():
            client.delete_tag(run.info.run_id, tag)
    answer = swept.quorum(*words("promote", dataset="folder", path=small_digits, top=3))
    assert answer.status == 2
    assert "2 finished trials with different settings" in answer.err
    assert "left out: 1 with the same answer to every image as a better one" in answer.err


def without_weights(quorum: Quorum) -> tuple[str, str]:
    """Take the weights of the best trial away, as a sweep does that keeps fewer. Returns its run and its old model."""
    client = MlflowClient()
    best = promote(quorum, top=1)["best-1"]
    model = client.get_model_version(DIGITS, best["version"]).source.removeprefix("models:/")
    client.delete_registered_model(DIGITS)
    for run in client.search_runs(["1"], f"tags.`{schema.MODEL_ID}` = '{model}'"):
        client.delete_tag(run.info.run_id, schema.MODEL_ID)
    return best["run"], model


@pytest.mark.slow
def test_weights_that_were_not_kept_are_trained_again_exactly(trained: Quorum) -> None:
    _, model = without_weights(trained)
    answer = trained(*words("promote", top=1), "--json")
    assert answer.status == 0, answer.err
    assert "kept no weights: its best seed is trained again" in answer.err
    promoted = json.loads(answer.out)["best-1"]
    old, new = (mlflow.pyfunc.load_model(f"models:/{one}") for one in (model, _model_of(promoted["version"])))
    assert old.predict(old.input_example).equals(new.predict(new.input_example))
    assert promote(trained, top=1)["best-1"] == promoted


@pytest.mark.slow
def test_weights_that_another_sweep_has_kept_are_not_trained_again(quorum: Quorum, small_digits: Path) -> None:
    sweep(quorum, small_digits)
    sweep(quorum, small_digits, STUDY.replace("two stages", "the same, of which less is kept"), keep=1)
    answer = quorum(*words("promote", name="small-digits", top=2), "--json")
    assert answer.status == 0, answer.err
    assert "trained again" not in answer.err
    assert len(runs(schema.SEED_KIND)) == 6, "four trials of two seeds, one of them reused: nothing was trained again"


def _model_of(version: str) -> str:
    return str(MlflowClient().get_model_version(DIGITS, version).source.removeprefix("models:/"))


@pytest.mark.parametrize(
    ("tag", "says"), [(schema.CODE_VERSION, "by other code (another, here"), (schema.NUMERICS, "by other machines")]
)
def test_weights_that_cannot_be_had_again_are_an_error(trained: Quorum, tag: str, says: str) -> None:
    run, _ = without_weights(trained)
    MlflowClient().set_tag(run, tag, "another")
    answer = trained(*words("promote", top=1))
    assert answer.status == 2
    assert says in answer.err
    assert "kept no weights" in answer.err


def test_a_worse_trial_does_not_replace_the_champion(trained: Quorum) -> None:
    """The champion is the best of single trainings; the only trial of three seeds is far worse."""
    champion = promote(trained, top=1)["best-1"]["version"]
    client = MlflowClient()
    worst = client.search_runs(["1"], "tags.`quorum.kind` = 'train'", order_by=["metrics.`val_accuracy/mean` ASC"])[0]
    client.log_metric(worst.info.run_id, "val_accuracy/n", 3)
    answer = trained(*words("promote", top=1), "--json")
    assert answer.status == 0, answer.err
    assert "it is worse, so the champion stays (gate=off lets it go)" in answer.err
    assert json.loads(answer.out)["best-1"]["version"] == champion
    [run, *_] = runs(schema.PROMOTE_KIND)[::-1]
    decision = json.loads(run.data.tags[schema.PROMOTION])["gate"]
    assert decision["passed"] is False
    assert decision["by"] == "image"
    assert decision["n"] > 100
    assert decision["high"] < 0
    assert "champion stays" in run.data.tags["mlflow.note.content"]
    replaced = promote(trained, top=1, gate="off")["best-1"]
    assert replaced["run"] == worst.info.run_id


def made(values: dict[int, float], metric: str = "best/val_accuracy") -> str:
    """A trial with a metric for each seed."""
    client, seeds = MlflowClient(), {}
    for seed, value in values.items():
        run = client.create_run("1", tags={schema.KIND: schema.SEED_KIND, schema.SEED: str(seed)})
        client.log_metric(run.info.run_id, metric, value)
        seeds[str(seed)] = run.info.run_id
    tags = {schema.KIND: schema.TRIAL_KIND, schema.SEED_RUNS: json.dumps(seeds)}
    return str(client.create_run("1", tags=tags).info.run_id)


def version(number: int, trial: str, confirmed: str = "", data: str = "d") -> VersionRecord:
    return VersionRecord(
        name="m",
        version=str(number),
        model_id="",
        trial_run_id=trial,
        confirmed_run=confirmed,
        run_id=trial,
        data_digest=data,
    )


def test_the_gate_pairs_by_seed(quorum: Quorum) -> None:
    store = connect()
    good, bad = made({0: 0.9, 1: 0.91, 2: 0.92}), made({0: 0.7, 1: 0.72, 2: 0.71, 3: 0.1})
    up = gates.gate(store, version(1, bad), version(2, good), "best/val_accuracy")
    assert (up.passed, up.by, up.n) == (True, "seed", 3)
    assert up.difference == pytest.approx(0.2)
    down = gates.gate(store, version(1, good), version(2, bad), "best/val_accuracy")
    assert not down.passed
    assert down.high is not None
    assert down.high < 0


def test_the_gate_prefers_fresh_seeds_and_knows_losses(quorum: Quorum) -> None:
    store = connect()
    one, other = made({0: 0.9, 1: 0.9, 2: 0.9}), made({0: 0.5, 1: 0.5, 2: 0.5})
    fresh_one, fresh_other = made({3: 0.6, 4: 0.61, 5: 0.62}), made({3: 0.8, 4: 0.81, 5: 0.82})
    found = gates.gate(store, version(1, one, fresh_one), version(2, other, fresh_other), "best/val_accuracy")
    assert found.difference == pytest.approx(0.2)
    assert found.passed
    high, low = (made(dict.fromkeys(range(3), value), "best/val_loss") for value in (2.0, 1.0))
    assert gates.gate(store, version(1, high), version(2, low), "best/val_loss").passed
    assert not gates.gate(store, version(1, low), version(2, high), "best/val_loss").passed


def test_what_cannot_be_compared_passes(quorum: Quorum) -> None:
    store = connect()
    one, other = made({0: 0.9}), made({1: 0.1})
    for data in ("d", "another"):
        found = gates.gate(store, version(1, one), version(2, other, data=data), "best/val_accuracy")
        assert (found.passed, found.by, found.n, found.low) == (True, "nothing", 0, None)
        assert "nothing to compare them by" in found.reason
