"""What options of a command name: a data set, a device."""

from __future__ import annotations

from quorum.commands.options import DataOptions
from quorum.data.opened import OpenDataset, open_dataset


def open_data(options: DataOptions, name: str, split_seed: int) -> OpenDataset:
    """The data set that the options name. Raises DataError where it is missing."""
    return open_dataset(
        name,
        data_dir=options.data_dir,
        path=options.path,
        split_seed=split_seed,
        work_dir=options.work_dir,
        skip_bad=options.skip_bad,
    )
