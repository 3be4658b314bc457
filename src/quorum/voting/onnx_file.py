"""ONNX files of networks and votes. The packages of the extra `onnx` are imported when a file is to be written."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from quorum.errors import DataError, ModelError
from quorum.voting.graph import VoteGraph

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
PRODUCER = "quorum"
PRODUCED = b"\x12\x06" + PRODUCER.encode()  # near the beginning of a file: the second field of protobuf's ModelProto
LARGEST = 2_000_000_000  # bytes of weights: a file of protobuf ends at 2 GiB
TOLERANCE = 1e-3  # of probabilities


def check_onnx_output(file: Path) -> None:
    """Refuse a place that a model must not be written to.

    Raises:
        ModelError: where packages are missing.
        DataError: for a file that is not named as an ONNX file, or holds something else than a model of quorum's.
    """
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ModelError(f"onnx: {package} cannot be imported ({error}); pip install 'quorum[onnx]'") from error
    if file.suffix.lower() != ".onnx" or (file.exists() and not file.is_file()):
        raise DataError(f"output: {file} is not the name of an ONNX file")
    if file.exists():
        with file.open("rb") as opened:
            first = opened.read(2 * len(PRODUCED))
        if first and PRODUCED not in first:
            raise DataError(f"output: {file} holds something else than a model of quorum's, and is not overwritten")


def input_names(graph: VoteGraph) -> dict[str, int]:
    """The shorter side that images are resized to, in pixels, by the name of the input; 0: images as they come."""
    if len(graph.resizes) == 1:
        return {"images": graph.resizes[0]}
    return {f"images_{resize}": resize for resize in graph.resizes}


def write_onnx(graph: VoteGraph, file: Path, facts: Mapping[str, str]) -> float:
    """Write a graph as an ONNX file, with its weights in it, and compare onnxruntime's answers with torch's.

    Args:
        graph: the networks and their vote, on the CPU.
        file: to write.
        facts: metadata of the file, by name.

    Returns:
        The largest difference of a probability, on random images.

    Raises:
        ModelError: for a network that torch cannot export, weights that are too large for one file, or answers that
            differ by more than TOLERANCE.
    """
    if (size := sum(tensor.nbytes for tensor in graph.state_dict().values())) > LARGEST:
        raise ModelError(f"onnx: {size / 1e9:.1f} GB of weights are more than one file holds ({LARGEST / 1e9:.0f} GB)")
    images = _random_images(graph)
    names = list(input_names(graph))
    sizes = tuple({0: "n", 1: f"{name}_height", 2: f"{name}_width"} for name in names)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own workings
            program = torch.onnx.export(
                graph.eval(),
                images,
                input_names=names,
                output_names=list(graph.outputs),
                dynamic_shapes=(sizes,),
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        raise ModelError(f"onnx: torch cannot export this network ({' '.join(str(error).split())[:200]})") from error
    assert program is not None
    program.model.producer_name = PRODUCER
    program.model.metadata_props.update(facts)
    program.save(file, external_data=False)
    return _compare(graph, file, dict(zip(names, images, strict=True)))


def _random_images(graph: VoteGraph) -> tuple[torch.Tensor, ...]:
    """Two images for each input, a little larger than the networks take."""
    generator = torch.Generator().manual_seed(0)
    sides = [resize or graph.input_size for resize in graph.resizes]
    return tuple(
        torch.randint(256, (2, side + 3, side + 5, 3), dtype=torch.uint8, generator=generator) for side in sides
    )


def _compare(graph: VoteGraph, file: Path, images: Mapping[str, torch.Tensor]) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    [found] = session.run(["probabilities"], {name: one.numpy() for name, one in images.items()})
    with torch.inference_mode():
        expected = graph(*images.values())[graph.outputs.index("probabilities")].numpy()
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise ModelError(f"onnx: onnxruntime's probabilities differ from torch's by {difference:.3g}")
    return difference
