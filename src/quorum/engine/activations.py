"""Activations of a frozen beginning: computed once, kept in a memory-mapped file, and trained on from there.

They are always computed in the same batches: the images of a split in its own order, in evaluation mode, as many at
once as evaluation takes. So an image's activations do not depend on the training that asks for them, and one file
serves every epoch, seed and trial with the same beginning, input and machine class. A file is written beside its place
and renamed. The least recently used ones go when there is no more room, and are computed anew, with the same bits, when
they are asked for.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from quorum.checksums import crc32_of
from quorum.console import say

FORMAT = 1  # part of every name: raise it when what is stored changes
VALUES, META, _LOCK = "values.bin", "meta.json", ".lock"


@dataclass(frozen=True)
class Layout:
    """How a network gives its activations: the last bits of what is computed from them depend on it.

    Attributes:
        shape: of those of one image.
        strides: of a batch of them.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, block: torch.Tensor) -> Layout:
        """That of a batch."""
        return cls(tuple(block.shape[1:]), block.stride())

    def packed(self, block: torch.Tensor) -> torch.Tensor:
        """A batch [n, ...] without gaps, its dimensions in the order in which they lie in memory."""
        return block.permute(self._order).contiguous()

    def unpacked(self, packed: torch.Tensor) -> torch.Tensor:
        """The batch that `packed` was made of, laid out as it was."""
        back = [self._order.index(dimension) for dimension in range(len(self._order))]
        batch = packed.permute(back)
        if len(batch) < 2 or batch.stride() == self.strides:
            return batch
        return torch.empty_strided(batch.shape, self.strides, dtype=batch.dtype, device=batch.device).copy_(batch)

    @property
    def _order(self) -> list[int]:
        return [0, *sorted(range(1, len(self.strides)), key=lambda dimension: -self.strides[dimension])]


@dataclass(frozen=True)
class Activations:
    """Activations of a split, in its order.

    Attributes:
        packed: [n, ...] of the type that the network gives, see `Layout.packed`.
        layout: how the network gives them.
    """

    packed: torch.Tensor
    layout: Layout

    @classmethod
    def of(cls, blocks: Iterable[torch.Tensor]) -> Activations:
        """Those of a number of batches, in memory."""
        made = list(blocks)
        layout = Layout.of(made[0])
        return cls(torch.cat([layout.packed(block) for block in made]), layout)

    def pick(self, places: torch.Tensor, device: torch.device) -> torch.Tensor:
        """A batch of those at int64 [m] places of the split, on a device."""
        return self.layout.unpacked(self.packed.index_select(0, places.to(self.packed.device)).to(device))

    def part(self, start: int, stop: int, device: torch.device) -> torch.Tensor:
        """A batch of those from `start` to `stop`, on a device."""
        return self.layout.unpacked(self.packed[start:stop].to(device, copy=True))


@dataclass(frozen=True)
class ActivationStore:
    """Kept activations of this machine. Sent to another process, it is opened there anew.

    Attributes:
        folder: where they lie.
        max_bytes: that they may take together; with more, those that were not used for the longest time go.
    """

    folder: Path
    max_bytes: float

    def get(self, *names: object, images: int, blocks: Iterable[torch.Tensor], what: str) -> Activations | None:
        """The activations of some name, computed unless they are there.

        Args:
            names: of all that they depend on.
            images: how many there are in all blocks.
            blocks: computes them, [m, ...] at a time.
            what: shown while they are computed.

        Returns:
            None where they alone take more than `max_bytes`.
        """
        name = hashlib.sha256(repr((FORMAT, *names)).encode()).hexdigest()[:32]
        home = self.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock(name):
            if (found := _open(home)) is None:
                found = self._compute(home, images, blocks, what)
        return found

    def _compute(self, home: Path, images: int, blocks: Iterable[torch.Tensor], what: str) -> Activations | None:
        made = iter(blocks)
        block = next(made)
        layout = Layout.of(block)
        first = layout.packed(block)
        size = first[0].numel() * first.element_size() * images
        if size > self.max_bytes:
            return None
        say(f"{what}: the frozen part of {images:,} images is computed once ({size / 1e6:,.0f} MB)")
        self._make_room(size, home.name)
        with tempfile.TemporaryDirectory(prefix=f".{home.name}-", dir=self.folder) as part:
            crc = _write(Path(part) / VALUES, itertools.chain([first], map(layout.packed, made)))
            meta = {
                "packed": [images, *first.shape[1:]],
                "dtype": str(first.dtype).removeprefix("torch."),
                "shape": layout.shape,
                "strides": layout.strides,
                "crc": crc,
            }
            (Path(part) / META).write_text(json.dumps(meta))
            home.mkdir(exist_ok=True)
            for name in (VALUES, META):  # complete with the second
                (Path(part) / name).replace(home / name)
        return _open(home)

    def _make_room(self, size: int, name: str) -> None:
        """Remove the least recently used ones until `size` bytes fit, and what killed processes have left. A process
        that has some open keeps them. `name` is that of the one to come, whose lock this process holds."""
        with FileLock(self.folder / _LOCK):  # removals, so that what is listed here stays until this one removes it
            folders = [folder for folder in self.folder.iterdir() if folder.is_dir()]
            for folder in folders:
                if _name(folder) == name:
                    shutil.rmtree(folder, ignore_errors=True)
                elif folder.name.startswith("."):  # not complete
                    self._remove(folder)
            kept = sorted((folder for folder in folders if not folder.name.startswith(".")), key=_last_used)
            sizes = {folder: sum(file.stat().st_size for file in folder.glob("*")) for folder in kept}
            for home in kept:
                if sum(sizes.values()) + size <= self.max_bytes:
                    break
                if self._remove(home):
                    del sizes[home]

    def _remove(self, folder: Path) -> bool:
        """Remove one, or a part of one, unless a process is opening or computing it. Returns whether it did."""
        try:
            with self._lock(_name(folder)).acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except Timeout:
            return False
        return True

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.folder / f".{name}{_LOCK}")


def _name(folder: Path) -> str:
    """Of the activations that a folder is for, be they complete or not."""
    return folder.name.removeprefix(".").partition("-")[0]


def _last_used(home: Path) -> float:
    """When, in seconds since 1970; 0 where a process was killed while it moved or removed them."""
    meta = home / META
    return meta.stat().st_mtime if meta.exists() else 0.0


def _open(home: Path) -> Activations | None:
    """What is kept in a folder; None where there is nothing, or where it is damaged, which a line reports."""
    try:
        meta: dict[str, Any] = json.loads((home / META).read_text())
        dtype: torch.dtype = getattr(torch, meta["dtype"])
        file, packed = home / VALUES, torch.Size(meta["packed"])
        layout = Layout(tuple(meta["shape"]), tuple(meta["strides"]))
        stat = file.stat()
        if (
            stat.st_size != packed.numel() * dtype.itemsize
            or _crc_once(file, stat.st_mtime_ns, stat.st_ino) != meta["crc"]
        ):
            raise ValueError(f"{VALUES} does not have its checksum")
        os.utime(home / META, ns=(time.time_ns(),) * 2)  # used now; the clock of files is a coarse one
        values = torch.from_file(str(file), shared=False, size=packed.numel(), dtype=dtype)
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        say(f"{home}: these activations are damaged ({' '.join(str(error).split())[:80]}), so they are computed anew")
        return None
    return Activations(values.view(packed), layout)


def _write(file: Path, blocks: Iterable[torch.Tensor]) -> int:
    """Write tensors one after the other. Returns the checksum of all bytes."""
    crc = 0
    with file.open("wb") as opened:
        for block in blocks:
            content = block.flatten().view(torch.uint8).numpy().data
            crc = zlib.crc32(content, crc)
            opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    return crc


@functools.lru_cache(maxsize=256)
def _crc_once(file: Path, _mtime: int, _inode: int) -> int:
    return crc32_of(file)
