"""Small copies of data sets in the layouts that torchvision reads, with PER_CLASS images of each class in each part.

Every pixel of an image is `level(label)`, so that an image says what its label has to be.
"""

from __future__ import annotations

import bz2
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.io
from numpy.typing import NDArray
from PIL import Image

PER_CLASS = 10
FEW = 3  # classes, where torchvision takes as many as there are


def level(label: int) -> int:
    """The value of the pixels of a class."""
    return 10 + 2 * label


def labels_of(classes: int) -> NDArray[np.int64]:
    return np.tile(np.arange(classes), PER_CLASS)


def gray(classes: int, *shape: int) -> NDArray[np.uint8]:
    """Images [n, *shape] of `labels_of(classes)`."""
    levels = (10 + 2 * labels_of(classes)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(levels.reshape(-1, *[1] * len(shape)), (len(levels), *shape)))


def write_image(file: Path, label: int, side: int = 12) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (level(label),) * 3).save(file)


def write_tree(folder: Path, classes: list[str], suffix: str = ".jpg", side: int = 12) -> Iterator[tuple[str, int]]:
    """Write `class/0.jpg` and so on. Yields each file's name, without the suffix, and its label."""
    for label, name in enumerate(classes):
        for i in range(PER_CLASS):
            write_image(folder / name / f"{i}{suffix}", label, side)
            yield f"{name}/{i}", label


def write_idx(file: Path, array: NDArray[np.uint8] | NDArray[np.int32]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    kind = 8 if array.dtype == np.uint8 else 12
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    file.write_bytes(bytes([0, 0, kind, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes())


def write_mnist(root: Path, name: str = "MNIST") -> None:
    for part in ("train", "t10k"):
        write_idx(root / name / "raw" / f"{part}-images-idx3-ubyte", gray(10, 28, 28))
        write_idx(root / name / "raw" / f"{part}-labels-idx1-ubyte", labels_of(10).astype(np.uint8))


def write_qmnist(root: Path) -> None:
    facts = np.zeros((10 * PER_CLASS, 8), np.int32)
    facts[:, 0], facts[:, 1:] = labels_of(10), 99
    for part in ("train", "test"):
        write_idx(root / "QMNIST" / "raw" / f"qmnist-{part}-images-idx3-ubyte", gray(10, 28, 28))
        write_idx(root / "QMNIST" / "raw" / f"qmnist-{part}-labels-idx2-int", facts)


def write_emnist(root: Path) -> None:
    for part in ("train", "test"):
        file = root / "EMNIST" / "raw" / f"emnist-balanced-{part}-images-idx3-ubyte"
        write_idx(file, gray(47, 28, 28))
        write_idx(file.with_name(f"emnist-balanced-{part}-labels-idx1-ubyte"), labels_of(47).astype(np.uint8))


def write_usps(root: Path) -> None:
    lines = [
        " ".join([str(label + 1), *(f"{i}:{(level(label) + 0.5) / 255 * 2 - 1}" for i in range(1, 257))])
        for label in labels_of(10)
    ]
    for file in ("usps.bz2", "usps.t.bz2"):
        (root / file).write_bytes(bz2.compress("\n".join(lines).encode()))


def write_semeion(root: Path) -> None:
    labels = labels_of(10)
    pixels = np.repeat((10.5 + 2 * labels)[:, None] / 255, 256, axis=1)
    np.savetxt(root / "semeion.data", np.hstack([pixels, np.eye(10)[labels]]), fmt="%.6f")


def write_svhn(root: Path) -> None:
    labels = labels_of(10)
    for part in ("train", "test"):
        content = {"X": gray(10, 32, 32, 3).transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels)[:, None]}
        scipy.io.savemat(root / f"{part}_32x32.mat", content)


def write_stl10(root: Path) -> None:
    folder = root / "stl10_binary"
    folder.mkdir()
    for part in ("train", "test"):
        (folder / f"{part}_X.bin").write_bytes(gray(10, 3, 96, 96).tobytes())
        (folder / f"{part}_y.bin").write_bytes((labels_of(10) + 1).astype(np.uint8).tobytes())
    (folder / "unlabeled_X.bin").write_bytes(b"")
    (folder / "class_names.txt").write_text("\n".join(f"class {i}" for i in range(10)))


def write_eurosat(root: Path) -> None:
    list(write_tree(root / "eurosat" / "2750", ["Forest", "River", "SeaLake"], side=64))


def write_gtsrb(root: Path) -> None:
    folder = root / "gtsrb" / "GTSRB"
    for label in range(FEW):
        for i in range(PER_CLASS):  # tracks of two frames
            write_image(folder / "Training" / f"{label:05d}" / f"{i // 2:05d}_{i % 2:05d}.ppm", label)
    lines = ["Filename;Width;ClassId"]
    for place, label in enumerate(labels_of(FEW)):
        write_image(folder / "Final_Test" / "Images" / f"{place:05d}.ppm", label)
        lines.append(f"{place:05d}.ppm;12;{label}")
    (root / "gtsrb" / "GT-final_test.csv").write_text("\n".join(lines))


def write_flowers102(root: Path) -> None:
    folder = root / "flowers-102"
    labels = np.tile(np.arange(102), 3)  # a class needs no more than one image where nothing is drawn
    for place, label in enumerate(labels):
        write_image(folder / "jpg" / f"image_{place + 1:05d}.jpg", label)
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": labels + 1})
    thirds = np.arange(1, len(labels) + 1).reshape(3, -1)
    scipy.io.savemat(folder / "setid.mat", dict(zip(("trnid", "valid", "tstid"), thirds, strict=True)))


def write_oxford_iiit_pet(root: Path) -> None:
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for first, part in ((0, "trainval"), (PER_CLASS, "test")):
        lines = []
        for label, name in enumerate(("Abyssinian", "american_bulldog", "Bengal")):
            for i in range(first, first + PER_CLASS):
                write_image(folder / "images" / f"{name}_{i}.jpg", label)
                lines.append(f"{name}_{i} {label + 1} 1 1")
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(lines))


def write_food101(root: Path) -> None:
    folder = root / "food-101"
    (folder / "meta").mkdir(parents=True)
    for part in ("train", "test"):
        files: dict[str, list[str]] = {}
        for name, _ in write_tree(folder / "images", [f"{dish}/{part}" for dish in ("donuts", "pho", "waffles")]):
            files.setdefault(name.partition("/")[0], []).append(name)
        (folder / "meta" / f"{part}.json").write_text(json.dumps(files))


def write_dtd(root: Path) -> None:
    folder = root / "dtd" / "dtd"
    (folder / "labels").mkdir(parents=True)
    for part in ("train", "val", "test"):
        lines = []
        for label, name in enumerate(("banded", "dotted", "woven")):
            for i in range(PER_CLASS):
                write_image(folder / "images" / name / f"{name}_{part}_{i}.jpg", label)
                lines.append(f"{name}/{name}_{part}_{i}.jpg")
        (folder / "labels" / f"{part}1.txt").write_text("\n".join(lines))


def write_fgvc_aircraft(root: Path) -> None:
    folder = root / "fgvc-aircraft-2013b" / "data"
    variants = ("707-320", "A300B4", "Cessna 172")
    for start, part in enumerate(("train", "val", "test")):
        lines = []
        for place, label in enumerate(labels_of(FEW), start * 1000):
            write_image(folder / "images" / f"{place:07d}.jpg", label)
            lines.append(f"{place:07d} {variants[label]}")
        (folder / f"images_variant_{part}.txt").write_text("\n".join(lines))
    (folder / "variants.txt").write_text("\n".join(variants))


def write_stanford_cars(root: Path) -> None:
    folder = root / "stanford_cars"
    (folder / "devkit").mkdir(parents=True)
    annotations = {
        "train": folder / "devkit" / "cars_train_annos.mat",
        "test": folder / "cars_test_annos_withlabels.mat",
    }
    for part, file in annotations.items():
        rows = [(f"{place:05d}.jpg", label + 1) for place, label in enumerate(labels_of(FEW))]
        for name, number in rows:
            write_image(folder / f"cars_{part}" / name, number - 1)
        scipy.io.savemat(folder / file, {"annotations": np.array(rows, dtype=[("fname", object), ("class", object)])})
    names = np.array(["AM General Hummer", "Acura RL", "Acura TL"], dtype=object)
    scipy.io.savemat(folder / "devkit" / "cars_meta.mat", {"class_names": names})


def write_imagenette(root: Path) -> None:
    from torchvision.datasets import Imagenette

    for part in ("train", "val"):
        list(write_tree(root / "imagenette2" / part, sorted(Imagenette._WNID_TO_CLASS), ".JPEG"))


def write_country211(root: Path) -> None:
    for part in ("train", "valid", "test"):
        list(write_tree(root / "country211" / part, ["AD", "BE", "ZW"]))


def write_sun397(root: Path) -> None:
    names = ["abbey", "apartment_building/outdoor", "zoo"]
    for label, name in enumerate(names):
        for i in range(PER_CLASS):
            write_image(root / "SUN397" / name[0] / name / f"sun_{i}.jpg", label)
    (root / "SUN397" / "ClassName.txt").write_text("\n".join(f"/{name[0]}/{name}" for name in names))


def write_rendered_sst2(root: Path) -> None:
    for part in ("train", "valid", "test"):
        list(write_tree(root / "rendered-sst2" / part, ["negative", "positive"], ".png"))


def write_caltech256(root: Path) -> None:
    for label, name in enumerate(("001.ak47", "002.american-flag", "257.clutter")):
        for i in range(PER_CLASS):
            write_image(root / "256_ObjectCategories" / name / f"{name[:3]}_{i:04d}.jpg", label)


def write_cifar100(root: Path) -> None:
    folder = root / "cifar-100-python"
    folder.mkdir()
    for part in ("train", "test"):
        batch = {"data": gray(100, 3072), "fine_labels": labels_of(100).tolist(), "coarse_labels": [0] * 1000}
        (folder / part).write_bytes(pickle.dumps(batch, protocol=2))
    names = {"fine_label_names": [f"thing {i}" for i in range(100)], "coarse_label_names": ["things"]}
    (folder / "meta").write_bytes(pickle.dumps(names, protocol=2))


WRITERS: dict[str, Callable[[Path], None]] = {
    "caltech256": write_caltech256,
    "cifar100": write_cifar100,
    "country211": write_country211,
    "dtd": write_dtd,
    "emnist": write_emnist,
    "eurosat": write_eurosat,
    "fashion_mnist": lambda root: write_mnist(root, "FashionMNIST"),
    "fgvc_aircraft": write_fgvc_aircraft,
    "flowers102": write_flowers102,
    "food101": write_food101,
    "gtsrb": write_gtsrb,
    "imagenette": write_imagenette,
    "kmnist": lambda root: write_mnist(root, "KMNIST"),
    "mnist": write_mnist,
    "oxford_iiit_pet": write_oxford_iiit_pet,
    "qmnist": write_qmnist,
    "rendered_sst2": write_rendered_sst2,
    "semeion": write_semeion,
    "stanford_cars": write_stanford_cars,
    "stl10": write_stl10,
    "sun397": write_sun397,
    "svhn": write_svhn,
    "usps": write_usps,
}
