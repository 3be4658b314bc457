"""quorum's engine on a GPU: images a second against the usual loop on the same card, and a whole published study.

Needs neither MLflow nor Optuna. The cases named after networks train and evaluate epochs as benchmarks/throughput.py
does, with the reference's DataLoader at as many workers as there are cores. `study` trains all trainings of
sweeps/caltech101/alexnet.yaml over three seeds as a tree; its details hold the table, and its ratio is the time of the
epochs that are trained by that of the epochs that are written, at the same pace.

`--device cpu --share 0.02` tries the program where there is no GPU; such figures say nothing of one.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from common import Case, Measured, Target, UnavailableError, alternate, at_least, main, share
from images import WORK, folder_of, image_tree
from ours import SETTINGS, Ours
from quorum.config import TrialConfig
from quorum.data import load_catalogue
from quorum.data.batches import Batches
from quorum.data.pixel_store import PixelStore, open_store
from quorum.data.preprocess import Preprocess
from quorum.data.sources.folder import catalogue
from quorum.engine.device import resolve_precision, set_up
from quorum.engine.epoch import evaluate, ignore
from quorum.engine.states import States
from quorum.engine.training import Training
from quorum.errors import DivergedError
from quorum.metric_names import VAL_ACCURACY
from quorum.models import build, parameter_groups
from quorum.shared_folder import SharedFolder
from quorum.study.file import load_study
from quorum.study.plan import plan
from quorum.study.prefix import TrainingPath
from quorum.summary import summarize
from quorum.sweeps.checkpoints import Checkpoints
from quorum.sweeps.schedule import Running, Schedule
from reference import ReferenceProcess

STUDY = Path(__file__).parents[1] / "sweeps" / "caltech101" / "alexnet.yaml"
SEEDS = (0, 1, 2)
IMAGES = 20  # times the images that the CPU's cases take: a GPU is through with those in a moment
TARGET = 10.0
CLASSES, IMAGES_OF_STUDY = 101, 2892  # of Caltech-101, and its training images


def throughput(name: str, options: argparse.Namespace) -> Measured:
    """One network against the reference loop."""
    device = _device(options)
    dataset, counts, config = SETTINGS[name]
    counts = {
        split: max(int(config.batch_size), int(IMAGES * count * options.share)) for split, count in counts.items()
    }
    tree = image_tree(dataset, options.data, counts, name)
    set_up(0)
    with tempfile.TemporaryDirectory(dir=WORK) as folder, ReferenceProcess(config, tree, str(device)) as reference:
        ours = Ours(config, tree, Path(folder), lambda _record: None, device)
        found = alternate(reference.epoch, ours.epoch, options.rounds)
        return Measured.of(found, card=_card(device), waits_of_an_epoch=_waits(ours, device), **ours.details(found))


def study(options: argparse.Namespace) -> Measured:
    """All of the study's trainings as a tree."""
    device = _device(options)
    source = load_study(STUDY).study
    planned = plan(source, source.first_config({}))
    store = _store(source.dataset, options)
    precision = resolve_precision("auto", device)
    configs = [
        trial.config.replace(
            input_size=options.input_size,
            resize=0,
            eval_resize=0,
            normalize="half",
            precision=precision,
            batch_size=min(trial.config.batch_size, len(store.splits["train"])),
            epochs=max(1, round(trial.config.epochs * options.share)),
            step_size=max(1, round(trial.config.step_size * options.share)),
        )
        for trial in planned
    ]
    batches = Batches.alike(store, Preprocess(options.input_size, 0, "half"), device)
    wanted = list(dict.fromkeys(config.replace(seed=seed) for config in configs for seed in SEEDS))
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=WORK) as kept:
        results, epochs = _train_tree(wanted, batches, Path(kept))
    seconds = time.perf_counter() - started
    written = len(SEEDS) * sum(config.epochs for config in configs)
    table = [
        {
            "settings": trial.settings,
            "published": [row.val_accuracy for row in trial.published],
            **_row([results[config.replace(seed=seed)] for seed in SEEDS]),
        }
        for trial, config in zip(planned, configs, strict=True)
    ]
    images = epochs * batches.images_per_epoch(int(configs[0].batch_size))
    return Measured(
        epochs / written,
        epochs / written,
        epochs / written,
        {
            "card": _card(device),
            "precision": precision,
            "epochs_written": written,
            "epochs_trained": epochs,
            "seconds": seconds,
            "images_per_second": images / seconds,
            "table": table,
        },
    )


def _store(dataset: str, options: argparse.Namespace) -> PixelStore:
    """All images of a data set, or a share of them."""
    if options.share < 1:
        count = max(CLASSES, int(IMAGES_OF_STUDY * options.share))
        found = catalogue(image_tree(dataset, options.data, {"train": count, "val": count}, "study"), 0)
    else:
        found = load_catalogue(dataset, options.data, folder_of(dataset, options.data))
    return open_store(found, WORK / "pixels")


Result = tuple[float, float] | str  # validation and test accuracy, or why there is none


def _train_tree(configs: list[TrialConfig], batches: Batches, kept: Path) -> tuple[dict[TrialConfig, Result], int]:
    """Train configurations as a tree: their results, and the epochs that were trained."""
    checkpoints = Checkpoints(SharedFolder(kept.parent, kept.name), limit=float("inf"))
    schedule: Schedule[None] = Schedule(checkpoints)
    schedule.plan(dict.fromkeys(map(TrainingPath, configs)))
    results: dict[TrialConfig, Result] = {}
    trained = 0
    while (running := schedule.start()) is not None:
        config = running.path.config
        model = build(config.model, len(batches.store.classes), seed=config.seed).to(batches.device)
        training = Training(config, model, parameter_groups(model), batches)
        try:
            for event in training.run(_states(running, checkpoints)):
                trained += not event.restored
                running.epoch = event.records[-1].epoch
                if event.kept:
                    checkpoints.written(running.path.nodes[event.kept - 1], str(config.seed))
            training.load_best()
            tested = evaluate(model, batches.evaluation("test"), config.precision).metrics()["accuracy"]
            results[config] = (training.history.best.values[VAL_ACCURACY], tested)
        except DivergedError as error:
            results[config] = str(error)
        schedule.end(running)
        print(f"seed {config.seed}, lr {config.lr:g}, {config.epochs} epochs: {results[config]}", file=sys.stderr)
    return results, trained


def _states(running: Running[None], checkpoints: Checkpoints) -> States:
    nodes = running.path.nodes
    return States(
        start=checkpoints.place(nodes[running.start - 1]) if running.start else None,
        keep={epoch: checkpoints.place(nodes[epoch - 1]) for epoch in running.keep},
    )


def _row(results: list[Result]) -> dict[str, Any]:
    val = summarize([result[0] for result in results if not isinstance(result, str)])
    test = summarize([result[1] for result in results if not isinstance(result, str)])
    failed = [result for result in results if isinstance(result, str)]
    return {
        "mean": val.mean,
        "std": val.std,
        "n": val.n,
        "test_mean": test.mean,
        "test_std": test.std,
        "failed": failed,
    }


def _waits(ours: Ours, device: torch.device) -> int | None:
    """How often the host waits for the card in an epoch: for its figures at the end, and never in between."""
    if device.type != "cuda":
        return None
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ours.training.run_epoch(ours.epochs + 1, ignore)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)


def _device(options: argparse.Namespace) -> torch.device:
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UnavailableError("no CUDA device here")
    return torch.device(options.device)


def _card(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "none: computed on the CPU"


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds caltech101/ and cifar10/")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="where to compute (default: cuda)")
    parser.add_argument("--share", type=share, default=1.0, help="of the images, and of the study's epochs")
    parser.add_argument("--input-size", type=at_least(1), default=224, help="of the study, in pixels (default: 224)")
    parser.set_defaults(rounds=3)


CASES = [
    *(
        Case(
            name,
            f"reference / quorum on a GPU, an epoch of {config.model} at {config.input_size} pixels",
            functools.partial(throughput, name),
            Target(at_least=TARGET),
        )
        for name, (_, _, config) in SETTINGS.items()
    ),
    Case("study", "epochs trained / epochs written of caltech101/alexnet.yaml", study, Target(at_most=960 / 1950)),
]

if __name__ == "__main__":
    sys.exit(main("gpu", __doc__, CASES, _options))
