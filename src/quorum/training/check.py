"""Everything about a study that can be known to be wrong before it is run."""

from __future__ import annotations

from collections.abc import Callable, Collection

from quorum.config import TrialConfig
from quorum.engine.training import check_groups
from quorum.errors import QuorumError, StudyError
from quorum.models import on_meta, parameter_groups
from quorum.study.file import StudyFile
from quorum.study.plan import PlannedTrial, plan
from quorum.training.resolve import resolve_static


def check_settings(config: TrialConfig) -> None:
    """Raise a QuorumError for an unknown data set, model, policy or group, or an input size that does not fit.

    Needs neither images nor weights.
    """
    resolve_static(config)
    check_groups(config, parameter_groups(on_meta(config.model)))


def check_trials(
    source: StudyFile,
    planned: list[PlannedTrial],
    check: Callable[[TrialConfig], object],
    overrides: Collection[str] = (),
) -> None:
    """Check trials of a study.

    Args:
        source: the study.
        planned: the trials.
        check: raises a QuorumError for settings that cannot be run.
        overrides: settings that the command line gave in the place of the file's.

    Raises:
        StudyError: for the first trial that cannot be run, with the file and the line of the setting at fault.
    """
    for trial in planned:
        try:
            check(trial.config)
        except QuorumError as error:
            if not error.setting or error.setting in overrides:
                raise
            raise StudyError(f"{source.at_setting(trial.stage, trial.settings, error.setting)}: {error}") from error


def check_study(source: StudyFile) -> None:
    """Check every trial that a study lists, as far as that needs neither images nor weights.

    Raises:
        QuorumError: for the first that cannot be run, with file and line.
    """
    check_trials(source, plan(source.study, source.study.first_config({})), check_settings)
