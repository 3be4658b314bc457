"""Who began a run, from which program and commit: tags that MLflow's own fluent interface would set."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import SourceType
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.git_utils import get_git_branch, get_git_commit, get_git_repo_url

from quorum.processes import Process
from quorum.tracking import schema

PACKAGE = Path(__file__).parents[1]
MAIN = "__main__.py"  # what `python -m quorum` runs
TAGS = (schema.USER, schema.SOURCE, schema.SOURCE_TYPE, schema.COMMIT, schema.BRANCH, schema.REPOSITORY, schema.IMAGE)


def of_run(tags: Mapping[str, str]) -> dict[str, str]:
    """Those of a run's tags."""
    return {name: tags[name] for name in TAGS if name in tags}


@functools.cache
def of_process() -> dict[str, str]:
    """Those of this process. The commit is that of this package where it is under version control, else that of the
    program that uses it, if there is one."""
    tags = of_run(resolve_tags())
    if Path(tags.get(schema.SOURCE, MAIN)).name == MAIN:
        tags[schema.SOURCE] = PACKAGE.name
    tags.setdefault(schema.SOURCE_TYPE, SourceType.to_string(SourceType.LOCAL))
    tags.setdefault(schema.USER, Process.current().user)  # of a container, who has no name
    where = str(PACKAGE)
    if commit := get_git_commit(where):
        places = {schema.BRANCH: get_git_branch(where), schema.REPOSITORY: get_git_repo_url(where)}
        tags |= {schema.COMMIT: commit, **{name: place for name, place in places.items() if place}}
    return tags
