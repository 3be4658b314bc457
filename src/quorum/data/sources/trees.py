"""Finding a data set's own folder in the one that a user names."""

from __future__ import annotations

from pathlib import Path

from quorum.errors import DataError


def find_tree(folder: Path, name: str) -> Path:
    """The folder of a name: `folder` itself, in it, or one level below it.

    Raises:
        DataError: where it is in none of these places.
    """
    for tree in (folder, folder / name, *sorted(folder.glob(f"*/{name}"))):
        if tree.name == name and tree.is_dir():
            return tree
    raise DataError(f"{folder}: no {name}/ in it")
