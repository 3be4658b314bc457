"""A training as a job: what it reports and the files that it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from quorum.config import TrialConfig
from quorum.data.batches import Batches
from quorum.data.pixel_store import open_store
from quorum.data.preprocess import Preprocess
from quorum.data.sources.folder import catalogue
from quorum.engine.metrics import METRICS
from quorum.engine.states import States
from quorum.shared_folder import SharedFolder
from quorum.tracking.schema import PREDICTIONS
from quorum.training.job import Job, Trained, train
from quorum.training.prepared import PreparedTraining
from quorum.voting.classifier import Classifier
from quorum.voting.predict import predict_split


@pytest.mark.family
@pytest.mark.parametrize("average", ["none", "ema(decay=0.5)", "swa(start=0.5)"])
def test_a_training_reports_every_metric_of_its_best_and_last_epoch_and_of_the_test_split(
    image_tree: Path, tmp_path: Path, average: str
) -> None:
    store = open_store(catalogue(image_tree, 0), tmp_path / "pixels", resize=32)
    config = TrialConfig(
        dataset="folder",
        model="scratch-simple",
        input_size=32,
        resize=32,
        eval_resize=32,
        normalize="half",
        precision="float32",
        batch_size=4,
        epochs=3,
        optimizer="adamw(betas=(0.9, 0.99))",
        schedule="cosine(final=0.1)",
        loss="cross_entropy(label_smoothing=0.1)",
        average=average,
        lr=0.0003,
    )
    batches = Batches.alike(store, Preprocess(32, 32, "half"), torch.device("cpu"))
    prepared = PreparedTraining(config, None, batches, "made up", "cpu x")
    job = Job("a job", "run", prepared, States(), SharedFolder(tmp_path, "artifacts"), SharedFolder(tmp_path, "bundle"))
    *_, trained = train(job, lambda _images: None)
    assert isinstance(trained, Trained)
    names = ["loss", *METRICS]
    assert set(trained.metrics) == {
        "best/epoch",
        "last/epoch",
        *(f"{place}_{name}" for place in ("best/val", "last/val") for name in names),
        *(f"{place}{name}" for place in ("test/", "last/test_") for name in names),
        *(f"last/val_network_{name}" for name in names if average != "none"),
    }
    curves = pd.read_csv(job.artifacts.path / "curves.csv").set_index("epoch")
    best = int(trained.metrics["best/epoch"])
    assert best == curves["val/accuracy"].idxmax()
    for name in names:
        assert trained.metrics[f"best/val_{name}"] == pytest.approx(curves[f"val/{name}"][best])
        assert trained.metrics[f"last/val_{name}"] == pytest.approx(curves[f"val/{name}"][3])
        if average != "none":
            network = curves[f"val_network/{name}"][3]
            assert trained.metrics[f"last/val_network_{name}"] == pytest.approx(network)
    predictions = pd.read_csv(job.artifacts.path / PREDICTIONS)
    test = predictions[predictions["split"] == "test"]
    assert trained.metrics["test/accuracy"] == pytest.approx((test["true"] == test["predicted"]).mean())
    kept = predict_split(Classifier.load(job.bundle.path), store, "test", batches.device)
    assert np.array_equal(kept.argmax(axis=1), test["predicted"].map(store.classes.index))
