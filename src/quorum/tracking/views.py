"""Views of the MLflow UI that are saved with an experiment: the trials of a sweep as a table, their curves as charts.

MLflow has no interface for them besides its pages, which keep a view as a tag of the experiment and open it by a link.
The names below are those that the pages of MLflow 3.17 read; an earlier one opens the same page without the view.
"""

from __future__ import annotations

import base64
import json
import re
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mlflow.exceptions import MlflowException

from quorum import metric_names
from quorum.errors import masked
from quorum.tracking import schema
from quorum.tracking.run_log import RunLog
from quorum.tracking.store import SQLITE, TrackingStore

LOCAL = "http://127.0.0.1:5000"  # where `mlflow ui` serves
WIDTH = 140  # of a metric's column, in pixels: as wide as its name
SIDE = "?workflowType=machine_learning"  # without it, MLflow's pages open on language models
OURS = "quorum-"  # how the names of the views begin
TRIALS, CURVES = "trials", "curves"  # and how they end
CHARTS = (metric_names.VAL_ACCURACY, metric_names.VAL_LOSS, metric_names.TRAIN_ACCURACY, metric_names.TRAIN_LOSS)
COLUMNS = tuple(
    metric_names.trial_metric(metric) + part
    for metric in (metric_names.BEST_VAL_ACCURACY, metric_names.TEST_ACCURACY)
    for part in (metric_names.MEAN, metric_names.STD)
)


def save_views(log: RunLog, study: str, varied: Sequence[Sequence[str]]) -> dict[str, str]:
    """Save the views of a sweep with its experiment, in place of those of the study's sweep before.

    Args:
        log: of the sweep's run.
        study: its name.
        varied: names of the settings that the trials of each of its stages vary.

    Returns:
        Links to them by what they show.
    """
    dataset, experiment_id = log.record.dataset, log.record.experiment_id
    settings = [name for stage in varied for name in stage]
    columns = [f"tags.`{schema.STAGE}`"]
    columns += [f"params.`{name}`" for name in dict.fromkeys(name.partition(".")[0] for name in settings)]
    columns += [f"metrics.`{name}`" for name in COLUMNS]
    trials = _state(log.run_id, schema.TRIAL_KIND, f"metrics.`{COLUMNS[0]}`", selectedColumns=columns)
    # Stages that vary the same settings have trials of the same name. Otherwise the trial's name alone reads better.
    groups = [schema.VARIED] if len({*map(tuple, varied)}) == len(varied) else [schema.STAGE, schema.VARIED]
    charts = _charts(CHARTS, groups)
    curves = _state(log.run_id, schema.SEED_KIND, "attributes.start_time", selectedColumns=columns, **charts)
    family, now = re.sub(r"[^\w.-]", "-", f"{OURS}{dataset}-{study}"), int(time.time() * 1000)
    for kind, state, title in ((TRIALS, trials, "trials"), (CURVES, curves, "curves, mean over the seeds")):
        text = _packed(f"{dataset}/{study}: {title}", state, now)
        _save(log.store, experiment_id, f"{schema.VIEW}{family}-{kind}", text)
    return _links(log.store, experiment_id, family)


def last_views(store: TrackingStore, experiment_id: str) -> dict[str, str]:
    """Links to the views of the experiment's last sweep by what they show; none where there was no sweep."""
    tags = store.client.get_experiment(experiment_id).tags
    ours = f"{schema.VIEW}{OURS}"
    saved = {tag: json.loads(text).get("updatedAt", 0) for tag, text in tags.items() if tag.startswith(ours)}
    trials = [tag for tag in saved if tag.endswith(f"-{TRIALS}")]
    if not trials:
        return {}
    newest = max(trials, key=lambda tag: saved[tag])
    return _links(store, experiment_id, newest.removeprefix(schema.VIEW).removesuffix(f"-{TRIALS}"))


def _save(store: TrackingStore, experiment_id: str, tag: str, text: str) -> None:
    try:
        store.client.set_experiment_tag(experiment_id, tag, text)
    except MlflowException:  # another process has made the tag at the same time; now it can be replaced
        store.client.set_experiment_tag(experiment_id, tag, text)


def _links(store: TrackingStore, experiment_id: str, family: str) -> dict[str, str]:
    """Links to the views whose names begin alike."""
    page = f"{_address(store)}/experiments/{experiment_id}/runs{SIDE}&viewStateShareKey="
    name = quote(family)
    return {TRIALS: f"{page}{name}-{TRIALS}", CURVES: f"{page}{name}-{CURVES}&compareRunsMode=CHART"}


def artifact_page(log: RunLog, path: str) -> str:
    """The address of one of a run's artifacts in the MLflow UI."""
    run = f"{_address(log.store)}/experiments/{log.record.experiment_id}/runs/{log.run_id}"
    return f"{run}/artifacts/{quote(path)}{SIDE}"


def ui_command(store: TrackingStore) -> str:
    """The command that serves the store to a browser; "" where a server does already."""
    if store.uri.startswith("http"):
        return ""
    file = Path(store.uri.removeprefix(SQLITE)) if store.uri.startswith(SQLITE) else None
    if file is not None and file.resolve() == Path("mlflow.db").resolve():
        return "mlflow ui"
    return f"mlflow ui --backend-store-uri {masked(store.uri)}"


def _address(store: TrackingStore) -> str:
    """Where the store's pages begin."""
    return f"{masked(store.uri.rstrip('/')) if store.uri.startswith('http') else LOCAL}/#"


def _state(sweep: str, kind: str, order: str, **rest: Any) -> dict[str, Any]:
    """What the page of runs shows: one kind of a sweep's runs, the highest first."""
    return {
        "searchFilter": f"tags.`{schema.SWEEP}` = '{sweep}' and tags.`{schema.KIND}` = '{kind}'",
        "orderByKey": order,
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "columnOrder": rest["selectedColumns"],
        "columnWidths": {column: WIDTH for column in rest["selectedColumns"] if column.startswith("metrics")},
        "runsHiddenMode": "SHOWALL",
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "viewMaximized": False,
        "runListHidden": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        **rest,
    }


def _charts(metrics: Sequence[str], groups: Sequence[str]) -> dict[str, Any]:
    """A line chart of each metric by epoch, one line for the runs that have the same tags."""
    section = {"uuid": "curves", "name": "Curves", "display": True, "isReordered": True}
    charts = [
        {
            "uuid": metric,
            "type": "LINE",
            "metricSectionId": "curves",
            "metricKey": metric,
            "selectedMetricKeys": [metric],
            "runsCountToCompare": 100,
            "xAxisKey": "step",
            "yAxisKey": "metric",
            "xAxisScaleType": "linear",
            "scaleType": "linear",
            "lineSmoothness": 0,
            "range": {},
            "yAxisExpressions": [],
            "useGlobalLineSmoothing": True,
            "deleted": False,
            "isGenerated": False,
        }
        for metric in metrics
    ]
    return {
        "compareRunCharts": charts,
        "compareRunSections": [{**section, "deleted": False, "isGenerated": False}],
        "isAccordionReordered": True,
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": tag} for tag in groups],
        },
    }


def _packed(name: str, state: Mapping[str, Any], now: int) -> str:
    """A view as the tag's text. `now` is in milliseconds since 1970."""
    text = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    return json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": f"deflate;{text}"})
