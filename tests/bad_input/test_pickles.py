"""CIFAR's official files and state files, which are pickles: of other things, broken, hostile."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from quorum.data.sources import cifar100
from quorum.data.sources.cifar10 import OFFICIAL, OFFICIAL_FILES
from quorum.models import build
from tests.bad_input.contract import LONG, Case, Place, one_line

RAN = "ran"  # the file that hostile pickles would make


class Hostile:
    """Pickled, a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {RAN}",)


PIXELS = np.zeros((10, 3072), np.uint8)


def batch(data: object = PIXELS, labels: object = (0,) * 10) -> bytes:
    """An official file."""
    return pickle.dumps({"data": data, "labels": labels}, protocol=2)


BATCHES: dict[str, tuple[bytes, str]] = {  # contents of each official file; what is said of them
    "few": (batch(), "50 train images where CIFAR-10 has 50,000"),
    "hostile": (batch(Hostile()), "it names posix.system, which no CIFAR-10 file does"),
    "eval": (b"cbuiltins\neval\n(S'1'\ntR.", "it names builtins.eval, which no CIFAR-10 file does"),
    "table": (b"\x80\x02]r\xff\xff\xff\x7f.", "it asks for a table of 2147483647 places"),
    "text-table": (b"(lp99999999999\n.", "it asks for a table of 99999999999 places"),
    "negative-table": (b"(lp-1\n.", "not an official CIFAR-10 file ("),
    "terabytes": (b"\x80\x04\x8e" + (2**62).to_bytes(8, "little"), "not an official CIFAR-10 file ("),
    "frame": (b"\x80\x04\x95" + (2**62).to_bytes(8, "little"), "not an official CIFAR-10 file ("),
    "number": (b"\x80\x02\x8b\xff\xff\xff\x7f" + b"x" * 10, "not an official CIFAR-10 file ("),
    "protocol": (b"\x80\x09.", "unsupported pickle protocol: 9"),
    "persistent": (b"Pabc\n.", "not an official CIFAR-10 file ("),
    "extension": (b"\x82\x01.", "not an official CIFAR-10 file ("),
    "underflow": (b"0.", "not an official CIFAR-10 file (unpickling stack underflow)"),
    "text": (b"hello", "not an official CIFAR-10 file ("),
    "empty": (b"", "not an official CIFAR-10 file ("),
    "cut": (batch()[:200], "not an official CIFAR-10 file ("),
    "integer": (pickle.dumps(3), "not an official CIFAR-10 file ("),
    "list": (pickle.dumps([1]), "not an official CIFAR-10 file ("),
    "no-data": (pickle.dumps({"labels": []}), "not an official CIFAR-10 file ('data')"),
    "no-labels": (pickle.dumps({"data": PIXELS}), "not an official CIFAR-10 file ('labels')"),
    "shape": (batch(PIXELS[:, :5]), "its data is uint8 (10, 5)"),
    "floats": (batch(PIXELS.astype(float)), "its data is float64 (10, 3072)"),
    "objects": (batch(PIXELS.astype(object)), "its data is object (10, 3072)"),
    "fewer-labels": (batch(labels=(0,) * 9), "its data is uint8 (10, 3072)"),
    "label-11": (batch(labels=(11,) * 10), "its labels are not all numbers from 0 to 9"),
    "label-minus-1": (batch(labels=(-1,) * 10), "its labels are not all numbers from 0 to 9"),
    "label-text": (batch(labels=("cat",) * 10), "its labels are not all numbers from 0 to 9"),
    "label-none": (batch(labels=(None,) * 10), "its labels are not all numbers from 0 to 9"),
    "labels-number": (batch(labels=10), "not an official CIFAR-10 file ("),
}

NO_STATE = "is not a state file that loads with weights_only ("
NO_DICT = "does not hold a state dict (tensors by name)"
NO_FIT = "is not for this model: "
STATES = {  # by name of a file; what is said of it
    "sparse": "'features.0.weight' is stored as sparse_coo, not as a plain tensor",
    "rows": "'features.0.weight' is stored as sparse_csr, not as a plain tensor",
    "quantized": "'features.0.weight' is stored as quantized, not as a plain tensor",
    "nested-tensor": "'features.0.weight' is stored as nested, not as a plain tensor",
    "meta": "'features.0.weight' is stored as meta, not as a plain tensor",
    "expanded": "'features.0.weight' has more numbers than the file holds of it",
    "complex": "'features.0.weight' holds complex numbers",
    "nan": "'features.0.weight' holds numbers that are not finite",
    "infinite": "'features.0.weight' holds numbers that are not finite",
    "large-doubles": "'features.0.weight' holds numbers that are not finite",
    "small-floats": "'features.0.weight' holds numbers that are not finite",
    "integer-name": "1 is no text, as the name of a tensor is",
    "tuple-name": "(1, 2) is no text, as the name of a tensor is",
    "no-name": "None is no text, as the name of a tensor is",
    "long-name": NO_FIT,
    "line-break": NO_FIT,
    "missing": f"{NO_FIT}features.0.weight do not fit",
    "extra": f"{NO_FIT}other do not fit",
    "shape": f"{NO_FIT}features.0.weight do not fit",
    "no-numbers": f"{NO_FIT}features.0.weight do not fit",
    "scalar": f"{NO_FIT}features.0.weight do not fit",
    "list": NO_DICT,
    "tensor": NO_DICT,
    "nothing": NO_DICT,
    "state-in-state": NO_DICT,
    "texts": NO_DICT,
    "module": NO_STATE,
    "hostile": NO_STATE,
    "hostile-pickle": NO_STATE,
    "pickle": NO_STATE,
    "table": NO_STATE,
    "text": NO_STATE,
    "empty": NO_STATE,
    "cut": NO_STATE,
    "safetensors": NO_STATE,
    "numpy": NO_STATE,
    "folder": "weights: no file weights/folder.pt",
    "pipe": "weights: no file weights/pipe.pt",
    "dangling": "weights: no file weights/dangling.pt",
    "absent": "weights: no file weights/absent.pt",
}


def states() -> dict[str, object]:
    """What `torch.save` is given, by name of the file."""
    state = build("scratch-simple", 10, seed=0).state_dict()
    first, *others = state
    weight = state[first]
    kinds = {
        "sparse": weight.to_sparse(),
        "rows": torch.zeros(3, 3).to_sparse_csr(),
        "quantized": torch.quantize_per_tensor(torch.rand(3), 0.1, 0, torch.quint8),
        "nested-tensor": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
        "meta": weight.to("meta"),
        "expanded": torch.zeros(1).expand(10**13),
        "complex": weight.to(torch.complex64),
        "nan": torch.full_like(weight, torch.nan),
        "infinite": torch.full_like(weight, torch.inf),
        "large-doubles": torch.full(weight.shape, 1e300, dtype=torch.float64),
        "small-floats": torch.full_like(weight, torch.nan).to(torch.float8_e4m3fn),
        "shape": weight[:1],
        "no-numbers": torch.zeros(0),
        "scalar": torch.tensor(1.0),
    }
    names = {"integer-name": 1, "tuple-name": (1, 2), "no-name": None, "long-name": LONG, "line-break": "a\nb"}
    return {
        **{name: {**state, first: tensor} for name, tensor in kinds.items()},
        **{name: {key: weight} for name, key in names.items()},
        "missing": {name: state[name] for name in others},
        "extra": {**state, "other": weight},
        "list": [1, 2],
        "tensor": weight,
        "nothing": {},
        "state-in-state": {"state_dict": {"state_dict": dict(state)}},
        "texts": {"a": "b"},
        "module": build("scratch-simple", 10, seed=0),
        "hostile": Hostile(),
    }


@pytest.fixture(scope="module", autouse=True)
def _files(place: Place) -> None:
    """The files that the cases name."""
    for name, (content, _) in BATCHES.items():
        folder = place.folder / "cifar" / name / OFFICIAL
        folder.mkdir(parents=True)
        for file in (*OFFICIAL_FILES["train"], *OFFICIAL_FILES["test"]):
            (folder / file).write_bytes(content)
    folder = place.folder / "cifar" / "hostile-100" / cifar100.OFFICIAL
    folder.mkdir(parents=True)
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": Hostile()}))
    for name in ("no-files", "pipes"):
        (place.folder / "cifar" / name / OFFICIAL).mkdir(parents=True)
    os.mkfifo(place.folder / "cifar" / "pipes" / OFFICIAL / "data_batch_1")
    (place.folder / "cifar" / "folders" / "train" / "cat").mkdir(parents=True)
    (place.folder / "cifar" / "folders" / "test").mkdir()
    _write_weights(place.folder / "weights")


def _write_weights(folder: Path) -> None:
    folder.mkdir()
    for name, state in states().items():
        torch.save(state, folder / f"{name}.pt")
    whole = (folder / "missing.pt").read_bytes()
    others = {
        "hostile-pickle": pickle.dumps(Hostile()),
        "pickle": pickle.dumps({"a": 1}),
        "table": b"\x80\x02]r\xff\xff\xff\x7f.",
        "text": b"no state",
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "safetensors": struct.pack("<Q", 2**60) + b"{}",
        "numpy": b"\x93NUMPY\1\0v\0{}",
    }
    for name, content in others.items():
        (folder / f"{name}.pt").write_bytes(content)
    (folder / "resnet18-f37072fd.pth").write_bytes(whole)
    (folder / "folder.pt").mkdir()
    os.mkfifo(folder / "pipe.pt")
    (folder / "dangling.pt").symlink_to("nowhere")


TRAIN = "train -P model=scratch-simple -P epochs=1 -P weights=weights"
CASES: list[Case] = [
    *((f"data -P dataset=cifar10 -P path=cifar/{name}", line) for name, (_, line) in BATCHES.items()),
    ("data -P dataset=cifar100 -P path=cifar/hostile-100", "it names posix.system, which no CIFAR-100 file does"),
    ("data -P dataset=cifar10 -P path=cifar/no-files", "not an official CIFAR-10 file (no such file)"),
    ("data -P dataset=cifar10 -P path=cifar/pipes", "not an official CIFAR-10 file (no such file)"),
    (
        "data -P dataset=cifar10 -P path=cifar/folders",
        "its folders are not the ten classes of CIFAR-10 (missing or extra",
    ),
    *((f"{TRAIN}/{name}.pt", line) for name, line in STATES.items()),
    ("train -P model=resnet18 -P weights=weights/resnet18-f37072fd.pth", "is damaged or another file: its SHA-256"),
    ("train -P model=scratch-simple -P weights=imagenet", "there are no ImageNet weights of scratch-simple"),
    ("train -P model=scratch-simple -P weights=imagenet1k_v2", "there are no ImageNet weights of scratch-simple"),
    ("train -P weights=imagenet1k_v9 -P model=resnet18", "imagenet1k_v9"),
    ("train -P weights=models:/absent/1", "models:/absent/1: no such model"),
    ("train -P weights=runs:/absent/model", "runs:/absent/model: no such model"),
    ("train -P weights=models:/", "models:/: no such model"),
    (f"train -P weights={LONG}", "File name too long"),
]


@one_line(CASES)
def test_one_line_and_exit_status_2(place: Place, words: str | tuple[str, ...], line: str) -> None:
    place.check(words, line)
    assert not (place.folder / RAN).exists()
