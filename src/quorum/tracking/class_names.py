"""The classes that trained and registered models answer with."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from quorum.errors import RegistryError, cut
from quorum.tracking import schema
from quorum.tracking.queries import artifact
from quorum.tracking.registry import version_of, versions
from quorum.tracking.store import TrackingStore
from quorum.tracking.version_record import VersionRecord

Classes = tuple[str, ...]  # in the order of their labels


def classes_of_training(store: TrackingStore, run_id: str) -> Classes | None:
    """The classes of a training, as its confusion matrix names them; None where it kept none."""
    file = artifact(store, run_id, schema.CONFUSION)
    if file is None:
        return None
    return tuple(pd.read_csv(file, index_col=0, nrows=0, keep_default_na=False).columns)


def check_registered_classes(store: TrackingStore, name: str, classes: Sequence[str]) -> None:
    """Check that models with these classes may become versions of a registered model.

    Raises:
        RegistryError: where its versions have other classes.
    """
    for version in sorted(versions(store, name), key=lambda one: -int(one.version)):
        before = _classes_of_version(store, version)
        if before is not None:
            if tuple(classes) != before:
                raise RegistryError(
                    f"{name}: the classes are not those of version {version.version} ({difference(before, classes)}); "
                    "give the images another name="
                )
            return


def difference(before: Sequence[str], after: Sequence[str]) -> str:
    """In which classes two models differ, in words."""
    parts = {
        "without": [one for one in before if one not in after],
        "new": [one for one in after if one not in before],
    }
    named = [f"{word}: {cut(', '.join(found))}" for word, found in parts.items() if found]
    return "; ".join(named) or "in another order"


def _classes_of_version(store: TrackingStore, version: VersionRecord) -> Classes | None:
    """The classes of a version, or of the first member of a vote; None where nothing tells them."""
    if version.members:
        try:
            member = version_of(store, version.members[0])
        except RegistryError:  # it was deleted after the vote was registered
            return None
        return None if member is None else _classes_of_version(store, member)
    return classes_of_training(store, version.run_id) if version.run_id else None
