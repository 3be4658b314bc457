"""`quorum init-study`: a commented study file to begin with."""

from __future__ import annotations

from collections.abc import Mapping

from quorum.api.study_options import InitStudyOptions
from quorum.commands.result import Result
from quorum.data import FOLDER, dataset, name_folder
from quorum.errors import ConfigError
from quorum.study.folder import SWEEPS_DIR
from quorum.study.template import write_template


def init_study(options: InitStudyOptions, _given: Mapping[str, str], _store: None) -> Result:
    """Write a study file, unless there is one of that name. `dataset` and `name` say which folder it belongs in."""
    dataset(options.dataset)
    if options.name is not None:
        if options.dataset != FOLDER:
            raise ConfigError(f"name: is that of a folder of your own; {options.dataset} has its name")
        name_folder(options.name)
    which = f"dataset={options.dataset}" if options.dataset != FOLDER else f"name={options.name or 'NAME'}"
    place = f" -P sweeps_dir={options.sweeps_dir}" if options.sweeps_dir != SWEEPS_DIR else ""
    command = f"quorum sweep -P {which} -P study={options.study}{place}"
    file = options.sweeps_dir / (options.name or options.dataset) / f"{options.study}.yaml"
    write_template(file, options.dataset, command)
    return Result({"file": str(file), "command": command}, f"{file} is there to be edited; then: {command}")
