"""Trainings of a promotion: fresh seeds of its candidates, and those again whose weights were not kept."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from quorum.api.computing import folders_of, preparer_of
from quorum.api.engines import Engine, engine_of, placed
from quorum.api.registry_options import PromoteOptions
from quorum.console import say
from quorum.engine.training import Progress
from quorum.errors import RegistryError
from quorum.promotion.candidates import Candidate
from quorum.promotion.fresh_seeds import confirm
from quorum.promotion.recorded import config_of
from quorum.promotion.weights import train_again
from quorum.study.results import TrialRequest
from quorum.sweeps.executors import Executor
from quorum.sweeps.run import SweepSettings
from quorum.sweeps.trial_list import run_trials
from quorum.tracking.run_log import RunLog
from quorum.tracking.store import TrackingStore
from quorum.training.job import Job, Trained

MakeExecutor = Callable[[], Executor[Job, Progress | Trained]]


def with_weights(
    options: PromoteOptions,
    store: TrackingStore,
    log: RunLog,
    chosen: list[Candidate],
    make_executor: MakeExecutor | None = None,
) -> list[Candidate]:
    """The candidates to promote, best first: confirmed by fresh seeds if that is asked for, and those without weights
    trained again.

    Args:
        options: of the promotion.
        store: the tracking store.
        log: the run of the promotion.
        chosen: the candidates.
        make_executor: makes what does the trainings; by default as for a sweep.

    Raises:
        RegistryError: where the images are not those of the candidates' trainings, or a candidate fails.
    """
    options = placed(options)
    with engine_of(options) as engine:
        return _train(options, store, log, chosen, engine, make_executor or engine.make_executor)


def _train(
    options: PromoteOptions,
    store: TrackingStore,
    log: RunLog,
    chosen: list[Candidate],
    engine: Engine,
    make_executor: MakeExecutor,
) -> list[Candidate]:
    folders = folders_of(options)
    preparer = preparer_of(
        options, config_of(store, chosen[0].trial), store, folders, engine.machine, elsewhere=engine.elsewhere
    )
    digest = preparer.prepare(config_of(store, chosen[0].trial)).data_digest
    if digest != chosen[0].trial.data_digest:
        raise RegistryError(
            f"{options.dataset}: the images here are not those that the candidates were trained on ({digest}, "
            f"{chosen[0].trial.data_digest}), so nothing can be trained to be compared with them"
        )

    def run(name: str, keep: int, reuse: bool, requests: Sequence[TrialRequest], seeds: tuple[int, ...]) -> Any:
        settings = SweepSettings(seeds, keep, reuse, options.state_gb)
        return run_trials(name, requests, settings, preparer, folders, make_executor, log.run_id)

    if options.confirm:
        say(f"{options.confirm} fresh seeds for {len(chosen)} candidates")
        fresh = functools.partial(run, "confirmation", 0, True)
        confirmed = confirm(store, chosen, options.ranked_by, options.confirm, fresh)
        if len(confirmed) < options.top:
            raise RegistryError(
                f"{len(chosen) - len(confirmed)} candidates failed with fresh seeds, so none is promoted"
            )
        chosen = confirmed[: options.top]
    for place, candidate in enumerate(chosen):
        if not candidate.trial.model_id:
            say(f"trial {candidate.trial.name!r} kept no weights: its best seed is trained again")
            again = functools.partial(run, "weights", 1, False)
            chosen[place] = train_again(store, candidate, preparer.numerics, again)
    return chosen
