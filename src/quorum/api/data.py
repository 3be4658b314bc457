"""`quorum.prepare`: unpack, download or verify a data set, and picture it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from quorum.api.computing import open_data
from quorum.api.options import PrepareOptions
from quorum.api.own_folders import with_dataset
from quorum.api.session import divide, documented, named, tracking
from quorum.console import say
from quorum.data import Catalogue, is_folder, load_catalogue
from quorum.data import dataset as dataset_named
from quorum.data.pixel_store import PixelStore
from quorum.data.sources.archives import fetch, unpack
from quorum.data.summary import class_counts, mean_images
from quorum.errors import ConfigError, DataError
from quorum.reporting import figures, tables
from quorum.temporary import temporary_folder
from quorum.tracking import schema
from quorum.tracking.records import Record
from quorum.tracking.run_log import RunLog
from quorum.tracking.runs import begin_run
from quorum.tracking.store import TrackingStore


@dataclass(frozen=True)
class PreparedData:
    """A data set that is ready.

    Attributes:
        run_id: of the MLflow run that pictures it.
        dataset, digest: its name, and the digest of its images, labels and splits.
        classes: class names by label.
        splits: images in `train`, `val` and `test`.
        skipped: a line for each unreadable image that was left out.
    """

    run_id: str
    dataset: str
    digest: str
    classes: tuple[str, ...]
    splits: dict[str, int]
    skipped: tuple[str, ...]

    @property
    def summary(self) -> str:
        """Classes, digest and splits, Markdown."""
        table = pd.DataFrame([{"split": split, "images": count} for split, count in self.splits.items()])
        return f"{self.dataset}: {len(self.classes)} classes, digest {self.digest}\n\n{tables.markdown(table)}"


@documented(PrepareOptions, "dataset")
def prepare(dataset: str | None = None, **settings: Any) -> PreparedData:
    """Make a data set ready, verify it, and log what it consists of.

    Args:
        dataset: its name; by default the one of `path` or `name`, or `digits`.

    Raises:
        QuorumError: for a setting that is wrong, an archive that is refused, or images that are missing.
    """
    options, _ = divide(PrepareOptions, named(dataset, settings), trial=False)
    with tracking(options) as store:
        return run_preparation(options, store)


def run_preparation(options: PrepareOptions, store: TrackingStore) -> PreparedData:
    """`prepare` with its options checked and its store open."""
    options = with_dataset(options, store)
    kind = dataset_named(options.dataset)
    if options.archive and options.download:
        raise ConfigError("download: cannot be combined with archive=")
    if (options.archive or options.download) and not kind.needs_folder:
        raise ConfigError(f"archive: {options.dataset} comes with scikit-learn and needs none")
    with begin_run(store, f"data {options.dataset}", Record(kind=schema.DATA_KIND, dataset=options.dataset)) as log:
        log.params({"dataset": options.dataset, "split_seed": options.split_seed})
        if options.archive:
            _install(options, lambda target: unpack(options.archive, target, options.max_gb))
        elif options.download:
            if (download := kind.download) is None:
                raise DataError(f"download: there is nothing to download for {options.dataset}")
            _install(options, lambda target: fetch(options.dataset, download, target, options.max_gb))
        data = open_data(options, options.dataset, options.split_seed)
        pixels = data.pixels()
        log.dataset(pixels.name, pixels.digest, data.source, pixels.counts(), "preparation")
        log.set(data_digest=pixels.digest)
        for line in pixels.skipped:
            say(f"left out: {line}")
        prepared = PreparedData(log.run_id, pixels.name, pixels.digest, pixels.classes, pixels.counts(), pixels.skipped)
        _log_pictures(pixels, log)
        log.note(prepared.summary)
        return prepared


def _install(options: PrepareOptions, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside the data set's place, verify it there, and put it in place only then."""
    place = options.path or options.data_dir / options.dataset
    parents = [folder for folder in place.parents if not folder.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _beside(place) as part:
            root, new = _filled(options, fill, part)
            if place.exists():
                _refuse_other(options, place, {image.name for image in new.images})
                say(f"{place} holds this data set already; it stays as it is")
            else:
                root.chmod(0o755)
                root.rename(place)
    finally:
        with contextlib.suppress(OSError):  # they are not empty, if the data set is in its place
            for folder in parents:
                folder.rmdir()


@contextlib.contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """An empty folder beside a place, gone at the end. One that a killed command left there is removed first.

    Raises:
        DataError: where another command has one.
    """
    part, lock = (place.parent / f".{place.name}.{end}" for end in ("part", "lock"))
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout as error:
        raise DataError(f"{place}: another command is filling it") from error
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
        lock.unlink(missing_ok=True)
        held.release()


def _root(name: str, part: Path) -> Path:
    """The folder of the data set in what was unpacked: of a folder of the user's own, the one at its top if there is
    just one."""
    entries = list(part.iterdir())
    return entries[0] if is_folder(name) and len(entries) == 1 and entries[0].is_dir() else part


def _filled(options: PrepareOptions, fill: Callable[[Path], None], part: Path) -> tuple[Path, Catalogue]:
    """Fill a folder. Returns the folder of the data set in it, and what it consists of."""
    try:
        fill(part)
        root = _root(options.dataset, part)
        return root, load_catalogue(options.dataset, options.data_dir, root, options.split_seed)
    except DataError as error:
        raise DataError(str(error).replace(str(part), "what was unpacked")) from error


def _refuse_other(options: PrepareOptions, place: Path, names: set[str]) -> None:
    """Raise DataError where the folder holds something else than the images of those names."""
    try:
        old = load_catalogue(options.dataset, options.data_dir, place, options.split_seed)
        same = {image.name for image in old.images} == names
    except DataError:
        same = False
    if not same:
        raise DataError(f"{place} holds something else; move it away first, nothing was overwritten")


def _log_pictures(pixels: PixelStore, log: RunLog) -> None:
    counts = class_counts(pixels)
    with temporary_folder() as folder:
        counts.rename_axis("class").to_csv(folder / "classes.csv")
        title = f"{pixels.name}: images per class"
        figures.save(figures.class_distribution(counts, title), folder / "class_distribution.png")
        figure = figures.mean_images(mean_images(pixels), f"{pixels.name}: average image of each class")
        figures.save(figure, folder / "mean_images.png")
        log.artifacts(folder)
    log.metrics({f"images/{split}": count for split, count in pixels.counts().items()})
