"""Which experiment runs go to, and what they say of where they come from."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path

from quorum.errors import RegistryError
from quorum.tracking import context, schema
from quorum.tracking.leases import Leases, presences
from quorum.tracking.queries import search
from quorum.tracking.records import Record
from quorum.tracking.runs import begin_run
from quorum.tracking.store import connect
from tests.conftest import Quorum

RECORD = Record(kind="sweep", dataset="digits")


@pytest.fixture
def client(quorum: Quorum, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """Of a store for which the user names no experiment."""
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    return MlflowClient()


def experiment_of(client: MlflowClient, run_id: str) -> str:
    return str(client.get_experiment(client.get_run(run_id).info.experiment_id).name)


def test_a_data_set_has_an_experiment_for_model_training(quorum: Quorum, client: MlflowClient) -> None:
    for _ in range(2):
        with begin_run(connect(), "a run", RECORD) as log, begin_run(log.store, "below", RECORD, parent=log.run_id):
            pass
    found = client.get_experiment_by_name("quorum/digits")
    assert found.tags["mlflow.experimentKind"] == "custom_model_development"
    assert len(client.search_runs([found.experiment_id])) == 4
    default = Path(client.get_experiment("0").artifact_location.removeprefix("file://"))
    assert found.artifact_location == str(default.with_name("quorum-digits"))


def test_the_user_names_another_one(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    made = client.create_experiment("mine")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", made)
    assert experiment_of(client, begin_run(connect(), "by id", RECORD).run_id) == "mine"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Default")  # the name comes first
    assert experiment_of(client, begin_run(connect(), "by name", RECORD).run_id) == "Default"
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME")
    adopted = client.create_run(client.create_experiment("of mlflow run")).info.run_id
    assert begin_run(connect(adopted), "adopted", RECORD).run_id == adopted


def test_a_run_of_mlflow_run_in_the_default_experiment_says_where_the_work_is(client: MlflowClient) -> None:
    tags = {schema.USER: "ann", schema.SOURCE: "https://host/project", schema.SOURCE_TYPE: "PROJECT"}
    adopted = client.create_run("0", tags=tags).info.run_id
    store = connect(adopted)
    with (
        begin_run(store, "a sweep", RECORD) as log,
        begin_run(log.store, "a trial", RECORD, parent=log.run_id) as below,
    ):
        (presence,) = presences(client)
        assert {adopted, log.run_id} == set(presence.runs)  # so that it is ended if this process is killed
    assert experiment_of(client, log.run_id) == "quorum/digits"
    said = client.get_run(adopted).data.tags
    assert (said[schema.KIND], said[schema.CONTINUES]) == ("continued", log.run_id)
    for run_id in (log.run_id, below.run_id):
        assert context.of_run(client.get_run(run_id).data.tags).items() >= tags.items()


def test_every_run_says_who_began_it_from_which_program_and_commit(client: MlflowClient) -> None:
    with (
        begin_run(connect(), "a run", RECORD) as log,
        begin_run(log.store, "below", RECORD, parent=log.run_id) as below,
    ):
        pass
    for run_id in (log.run_id, below.run_id):
        tags = client.get_run(run_id).data.tags
        assert tags[schema.USER]
        assert tags[schema.SOURCE_TYPE] == "LOCAL"
        assert {schema.SOURCE, *context.of_process()} <= set(tags)


def test_python_dash_m_is_called_by_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/quorum/__main__.py", "sweep"])
    assert context.of_process.__wrapped__()[schema.SOURCE] == "quorum"
    monkeypatch.setattr("sys.argv", ["/somewhere/study.py"])
    assert context.of_process.__wrapped__()[schema.SOURCE] == "/somewhere/study.py"


def test_an_experiment_that_is_made_while_the_store_is_open_is_searched(client: MlflowClient) -> None:
    store = connect()
    assert list(search(store, Record)) == []
    with begin_run(store, "a run", RECORD):
        assert [run.name for run in search(store, Record)] == ["a run"]


def test_runs_of_the_default_experiment_are_found(client: MlflowClient) -> None:
    client.create_run("0", tags=RECORD.tags())
    assert len(list(search(connect(), Record, kind="sweep"))) == 1


def test_experiments_and_processes_beyond_the_first_page_are_found(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = [client.create_experiment(name) for name in ("first", "second")]
    for experiment_id in named:
        client.create_run(experiment_id, tags=RECORD.tags())
        leases = Leases(client, experiment_id)
        leases.cover(f"a run of {experiment_id}")
        leases._stopped.set()
    search_experiments = MlflowClient.search_experiments
    monkeypatch.setattr(MlflowClient, "search_experiments", functools.partialmethod(search_experiments, max_results=1))
    assert {run.experiment_id for run in search(connect(), Record, kind="sweep")} == set(named)
    assert {one.experiment_id for one in presences(client)} == set(named)


def test_a_deleted_experiment_is_told(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    store = connect()
    client.delete_experiment(store.experiment_of("digits"))
    with pytest.raises(RegistryError, match="'quorum/digits' was deleted; `mlflow experiments restore -x"):
        begin_run(connect(), "a run", RECORD)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    with pytest.raises(RegistryError, match="no experiment '77'"):
        connect()


@pytest.mark.parametrize("name", ["..", "../../away", "a/b"])
def test_the_files_of_a_named_experiment_stay_beside_the_default_ones(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    connect()
    places = [client.get_experiment_by_name(one).artifact_location for one in ("Default", name)]
    default, named = (Path(local_file_uri_to_path(place)).resolve() for place in places)
    assert named.parent == default.parent
    assert named != default


def test_the_image_of_a_container_is_on_its_runs(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_CONTEXT", '{"mlflow.docker.image.uri": "sha256:0123"}')
    context.of_process.cache_clear()
    try:
        run = client.get_run(begin_run(connect(), "in a container", RECORD).run_id)
    finally:
        context.of_process.cache_clear()
    assert run.data.tags["mlflow.docker.image.uri"] == "sha256:0123"
