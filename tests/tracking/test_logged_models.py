"""Models of ours are fetched, and a store that is away is not one without them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from quorum.errors import RegistryError
from quorum.tracking.logged_models import FetchedModel, fetch_bundles
from quorum.tracking.model_files import BUNDLE
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore, connect
from tests.conftest import Quorum
from tests.tracking.test_queries import AWAY, fail_downloads


@pytest.fixture
def store(quorum: Quorum) -> TrackingStore:
    return connect()


@pytest.fixture
def model(store: TrackingStore, tmp_path: Path) -> FetchedModel:
    """The files of a model of one network, without the network."""
    with begin_run(store, "a run", Record(kind="train")) as log:
        made = store.client.create_logged_model(log.record.experiment_id, name="model", source_run_id=log.run_id)
    bundle = tmp_path / "model" / "artifacts" / BUNDLE
    bundle.mkdir(parents=True)
    (bundle / "weights").write_text("weights")
    described = Model(run_id=log.run_id, model_id=made.model_id)
    described.add_flavor("python_function", artifacts={BUNDLE: {"path": f"artifacts/{BUNDLE}"}})
    described.save(tmp_path / "model" / "MLmodel")
    store.client.log_model_artifacts(made.model_id, str(tmp_path / "model"))
    store.client.finalize_logged_model(made.model_id, "READY")
    return FetchedModel(f"models:/{made.model_id}", log.run_id, made.model_id, (bundle,))


def uris(model: FetchedModel) -> list[str]:
    return [model.uri, f"runs:/{model.run_id}/model"]


def test_a_model_of_a_local_store_is_read_where_it_lies(
    store: TrackingStore, model: FetchedModel, quorum: Quorum
) -> None:
    for uri in uris(model):
        found = fetch_bundles(store, uri)
        assert (found.uri, found.run_id, found.model_id) == (uri, model.run_id, model.model_id)
        [bundle] = found.bundles
        assert (bundle / "weights").read_text() == "weights"
        assert bundle.is_relative_to(quorum.folder / "mlruns")


def test_a_model_is_waited_for_where_its_server_is_away(
    store: TrackingStore, model: FetchedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for uri in uris(model):
        with monkeypatch.context() as patched:
            tried = fail_downloads(patched, 2, AWAY)
            assert fetch_bundles(store, uri).model_id == model.model_id
            assert len(tried) > 2


def test_a_server_that_stays_away_is_no_missing_model(
    store: TrackingStore, model: FetchedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_downloads(monkeypatch, 10_000, AWAY)
    store.client.limit = 0.0
    for uri in uris(model):
        with pytest.raises(MlflowException, match="too many 503"):
            fetch_bundles(store, uri)


def test_a_model_that_may_not_be_read_or_is_not_there_is_told(
    store: TrackingStore, model: FetchedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RegistryError, match=f"run {model.run_id} has no model another"):
        fetch_bundles(store, f"runs:/{model.run_id}/another")
    fail_downloads(monkeypatch, 10_000, "403 Client Error")
    for uri in uris(model):
        with pytest.raises(RegistryError, match=r"no such model of quorum's \(403 Client Error\)"):
            fetch_bundles(store, uri)
