"""Tables of stored runs, as a terminal has room for them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from quorum import metric_names
from quorum.config import TrialConfig
from quorum.metric_names import MEAN, STD, TRAIN_LOSS, TRIAL_N, VAL_ACCURACY, VAL_LOSS, trial_metric

SHOWN_EPOCHS = 10
SHOWN_DIGITS = 8  # of a run's id, by which `quorum show` finds it
OF_RUNS = (metric_names.BEST_VAL_ACCURACY, metric_names.LAST_VAL_ACCURACY, metric_names.TEST_ACCURACY)
OF_EPOCHS = (TRAIN_LOSS, VAL_LOSS, VAL_ACCURACY)
COLUMNS = (
    *(trial_metric(OF_RUNS[0]) + end for end in (MEAN, STD)),
    TRIAL_N,
    *(trial_metric(name) + MEAN for name in OF_RUNS[1:]),
    *OF_RUNS,
)


def results_table(results: pd.DataFrame) -> pd.DataFrame:
    """Trials, trainings or epochs with what tells them apart.

    Args:
        results: as `quorum.results` has them.

    Returns:
        The beginning of the run's id, its stage, seed and status where they say something, `model`, the settings in
        which the rows differ, and the metrics that matter most.
    """
    shown = pd.DataFrame({"run": results["run_id"].str[:SHOWN_DIGITS]})
    if results["status"].ne("FINISHED").any():
        shown["status"] = results["status"]
    if results["stage"].ne("").any():
        shown["stage"] = results["stage"]
    for name in ("seed", "epoch"):
        if name in results:
            shown[name] = results[name]
    settings = [name for name in TrialConfig.model_fields if name in results and name not in shown]
    for name in settings:
        if name == "model" or results[name].nunique(dropna=False) > 1:
            shown[name] = [f"{value:g}" if isinstance(value, float) else value for value in results[name]]
    for name in OF_EPOCHS if "epoch" in results else COLUMNS:
        if name in results and results[name].notna().any():
            shown[name] = results[name]
    if TRIAL_N in shown:
        shown[TRIAL_N] = [None if pd.isna(count) else int(count) for count in shown[TRIAL_N]]
    return shown


def epochs_table(history: pd.DataFrame) -> pd.DataFrame:
    """At most SHOWN_EPOCHS epochs of a training, the first and the last among them: loss and accuracy."""
    places = np.unique(np.linspace(0, len(history) - 1, min(len(history), SHOWN_EPOCHS)).round().astype(int))
    return history.iloc[places][["epoch", *(name for name in OF_EPOCHS if name in history)]].reset_index(drop=True)


def curves_table(curves: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The epochs of two trainings side by side, at most SHOWN_EPOCHS of them; a missing value where one has ended.

    Args:
        curves: two histories by name. Their columns are called `METRIC a` and `METRIC b`.
    """
    first, second = (history[["epoch", *OF_EPOCHS]] for history in curves.values())
    both = first.merge(second, on="epoch", how="outer", suffixes=(" a", " b"))
    columns = [f"{metric} {side}" for metric in OF_EPOCHS for side in "ab"]
    places = np.unique(np.linspace(0, len(both) - 1, min(len(both), SHOWN_EPOCHS)).round().astype(int))
    return both.iloc[places][["epoch", *columns]].reset_index(drop=True)


def changed_settings(settings: Mapping[str, str]) -> str:
    """The settings of a run that are not the defaults, as the command line takes them."""
    defaults = {name: str(field.default) for name, field in TrialConfig.model_fields.items()}
    hidden = ("weights_digest",)
    return " ".join(
        f"-P {name}={value}" for name, value in settings.items() if value != defaults.get(name) and name not in hidden
    )


def metrics_table(metrics: Mapping[str, float]) -> pd.DataFrame:
    """The metrics of a run that are not of its epochs: `metric`, `value`; those of a trial as `mean` and `std`."""
    whole = {name: value for name, value in metrics.items() if not metric_names.is_of_epochs(name)}
    means = {name.removesuffix(MEAN): value for name, value in whole.items() if name.endswith(MEAN)}
    if TRIAL_N in whole and len(means) > 0 and not any(name in whole for name in OF_RUNS):
        return pd.DataFrame(
            [{"metric": name, "mean": mean, "std": whole.get(f"{name}{STD}")} for name, mean in sorted(means.items())]
        )
    listed = {name: value for name, value in whole.items() if not name.endswith((MEAN, STD)) or TRIAL_N not in whole}
    rows = [{"metric": name, "value": _whole(value) if "epoch" in name else value} for name, value in listed.items()]
    return pd.DataFrame(rows, dtype=object).sort_values("metric")


def _whole(count: float) -> float | int:
    return int(count) if count.is_integer() else count
