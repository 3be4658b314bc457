"""Training: exact resume, phases, the schedule, and losses that are no longer finite."""

from __future__ import annotations

import contextlib
import errno
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from quorum.config import TrialConfig
from quorum.engine.epoch import Batch, Evaluation, evaluate
from quorum.engine.history import EpochRecord, History
from quorum.engine.metrics import METRICS, register_metric
from quorum.engine.state import Weights, copy_weights, load_state, save_atomically, save_state
from quorum.engine.states import WORTH_ASKING, States
from quorum.engine.training import Progress, Training
from quorum.errors import DivergedError, ModelError
from quorum.models import build, parameter_groups
from quorum.randomness import generator
from quorum.recipe import recipe_of
from quorum.shared_folder import SharedFolder

CONFIG = TrialConfig(
    model="scratch-simple",
    input_size=32,
    resize=0,
    normalize="half",
    precision="float32",
    batch_size=8,
    epochs=5,
    lr=0.02,
)


def soft(labels: torch.Tensor) -> torch.Tensor:
    """Shares of four classes: 0.7 of each image's own, and the rest of the one before it."""
    own = torch.nn.functional.one_hot(labels, 4)
    return 0.7 * own + 0.3 * own.roll(1, 0)


class MadeUpBatches:
    """Sixty random images of four classes that can be told apart by their mean."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.labels = torch.arange(60) % 4
        self.images = torch.randn(60, 3, 32, 32, generator=draw) + self.labels[:, None, None, None] * 0.8

    def training(self, *, seed: int, epoch: int, batch_size: int, mix: str = "none", **_: Any) -> Iterator[Batch]:
        for chosen in self.order(seed=seed, epoch=epoch, batch_size=batch_size).split(batch_size):
            labels = self.labels[chosen]
            yield self.images[chosen], labels if mix == "none" else soft(labels)

    def class_weights(self) -> torch.Tensor:
        return torch.tensor([4.0, 1.0, 1.0, 0.5])

    def order(self, *, seed: int, epoch: int, batch_size: int, **_: Any) -> torch.Tensor:
        return torch.randperm(40, generator=generator(seed, epoch, "order"))

    def images_per_epoch(self, batch_size: int, **_: Any) -> int:
        return 40

    def evaluation(self, split: str) -> Iterator[Batch]:
        yield self.images[40:], self.labels[40:]

    def plain_training(self) -> Iterator[Batch]:
        yield self.images[:40], self.labels[:40]

    def labels_of(self, split: str) -> list[torch.Tensor]:
        return [self.labels[:40] if split == "train" else self.labels[40:]]

    def content(self, split: str) -> str:
        return "made up"


class WithDropout(nn.Sequential):
    """A network whose epochs draw from torch's global stream."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(256, 4))


def training(config: TrialConfig, *, dropout: bool = False) -> Training:
    if dropout:
        torch.manual_seed(0)
        model: nn.Module = WithDropout()
    else:
        model = build("scratch-simple", 4, seed=config.seed)
    return Training(config, model, parameter_groups(model), MadeUpBatches())


def figures(history: History) -> list[tuple[Any, ...]]:
    times = {"epoch_seconds", "images_per_second"}
    return [(r.epoch, {k: v for k, v in r.values.items() if k not in times}) for r in history.records]


def run(trained: Training, states: States | None = None, stop_after: int = 0) -> list[Progress]:
    """Train, and stop after an epoch as a kill would if one is named."""
    told = []
    for progress in trained.run(states or States()):
        told.append(progress)
        if not progress.restored and progress.records[-1].epoch == stop_after:
            break
    return told


def same_weights(one: Training, other: Training) -> bool:
    """Whether the networks, their averages and the best epochs' weights are equal bit for bit."""
    states = [(t.model.state_dict(), t.network.state_dict(), t.best_weights) for t in (one, other)]
    pairs = zip(*states, strict=True)
    return all(a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) for a, b in pairs)


@pytest.mark.family
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adamw(amsgrad=True)", "schedule": "cosine"},
        {"optimizer": "asgd(t0=3)", "schedule": "warmup(epochs=2, per_batch=True) | one_cycle", "clip_norm": 0.5},
        {"phases": "1:classifier,3:all"},
        {"average": "ema(decay=0.9)"},
        {"average": "swa(start=0.4)"},
        {"balance": "weights", "mix": "mixup"},
    ],
)
@pytest.mark.parametrize("stop_after", [1, 2, 4])
@pytest.mark.parametrize("share", [0.05, 1e9])  # of the time that goes into writing states
def test_an_interrupted_training_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], stop_after: int, share: float
) -> None:
    config = CONFIG.replace(step_size=2, **changes)
    monkeypatch.setattr("quorum.engine.states.SAVING_SHARE", share)
    whole = training(config, dropout=True)
    run(whole)
    torch.manual_seed(99)  # whatever else was drawn before plays no part
    run(training(config, dropout=True), States(own=SharedFolder(tmp_path, "own")), stop_after)
    second = training(config, dropout=True)
    told = run(second, States(own=SharedFolder(tmp_path, "own")))
    if share > 1:  # every epoch was written
        assert told[0].restored
        assert [record.epoch for record in told[0].records] == list(range(1, stop_after + 1))
    trained = [progress.records[0].epoch for progress in told if not progress.restored]
    assert trained == list(range(len(whole.history.records) - len(trained) + 1, 6))
    assert figures(second.history) == figures(whole.history)
    assert same_weights(second, whole)


PATIENT = CONFIG.replace(lr=1e-6, epochs=9, patience=2)  # too slow to get better than in its first epochs


def test_training_ends_where_validation_has_not_become_better_for_so_long() -> None:
    whole, patient = training(PATIENT.replace(patience=0)), training(PATIENT)
    run(whole)
    run(patient)
    accuracies = [record.values["val/accuracy"] for record in whole.history.records]
    best = [max(accuracies[: epoch + 1]) for epoch in range(9)]
    expected = next(epoch for epoch in range(3, 10) if best[epoch - 1] == best[epoch - 3])
    assert len(patient.history.records) == expected < 9
    assert patient.stopped_early
    assert figures(patient.history) == figures(whole.history)[:expected]


@pytest.mark.parametrize("stop_after", [1, 2])
def test_an_interrupted_training_loses_patience_in_the_same_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    monkeypatch.setattr("quorum.engine.states.SAVING_SHARE", 1e9)
    whole, second = training(PATIENT), training(PATIENT)
    run(whole)
    run(training(PATIENT), States(own=SharedFolder(tmp_path, "own")), stop_after)
    assert run(second, States(own=SharedFolder(tmp_path, "own")))[0].restored
    assert figures(second.history) == figures(whole.history)
    again = training(PATIENT)
    assert not [one for one in run(again, States(own=SharedFolder(tmp_path, "own"))) if not one.restored]
    assert same_weights(again, whole)


def test_a_training_that_stops_early_keeps_its_state_for_those_that_stop_with_it(tmp_path: Path) -> None:
    first, longer = training(PATIENT), training(PATIENT.replace(epochs=20))
    told = run(first, States(keep={7: SharedFolder(tmp_path, "seventh"), 9: SharedFolder(tmp_path, "ninth")}))
    assert [progress.kept for progress in told] == [0] * (len(told) - 1) + [7]
    assert not SharedFolder(tmp_path, "ninth").exists()
    [restored] = run(longer, States(start=SharedFolder(tmp_path, "seventh")))
    assert len(restored.records) == len(told) < 7
    assert longer.stopped_early
    assert same_weights(longer, first)


@pytest.mark.parametrize("keep", [0, 2])
def test_a_training_whose_time_is_up_stops_with_its_state_written(tmp_path: Path, keep: int) -> None:
    whole, folder = training(CONFIG), SharedFolder(tmp_path, "own")
    run(whole)
    for epoch in range(1, 5):
        kept = {keep: SharedFolder(tmp_path, "kept")} if keep == epoch else {}
        start = SharedFolder(tmp_path, "kept") if 0 < keep < epoch else None
        told = list(training(CONFIG).run(States(own=folder, start=start, keep=kept), until=0))
        assert (told[-1].paused, told[-1].records[-1].epoch) == (True, epoch)
    last = training(CONFIG)
    told = list(last.run(States(own=folder), until=0))
    assert (told[-1].paused, last.finished) == (False, True)
    assert figures(last.history) == figures(whole.history)
    assert same_weights(last, whole)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam", "lr": 0.001},
        {"phases": "1:classifier,3:all"},
        {"average": "ema(decay=0.9)"},
        {"average": "swa(start=0.6)"},
    ],
)
def test_a_training_begins_bit_for_bit_from_the_state_of_another_one(tmp_path: Path, changes: dict[str, Any]) -> None:
    short = CONFIG.replace(**changes)
    long = short.replace(epochs=7, step_size=3, gamma=0.5)
    alone = training(long, dropout=True)
    run(alone)
    first = training(short, dropout=True)
    told = run(first, States(keep={3: SharedFolder(tmp_path, "third")}))
    assert [progress.kept for progress in told] == [0, 0, 3, 0, 0]
    second = training(long, dropout=True)
    told = run(second, States(start=SharedFolder(tmp_path, "third")))
    assert [record.epoch for record in told[0].records] == [1, 2, 3]
    assert figures(second.history) == figures(alone.history)
    assert same_weights(second, alone)


class SlowFolder(SharedFolder):
    """One on a disk that needs longer for a state than a small network for an epoch."""

    @contextlib.contextmanager
    def writing(self) -> Iterator[Path]:
        with super().writing() as folder:
            yield folder
        time.sleep(WORTH_ASKING + 0.1)


@pytest.mark.slow
def test_a_state_is_kept_where_that_saves_more_time_than_writing_costs(tmp_path: Path) -> None:
    kept = {epoch: SlowFolder(tmp_path, str(epoch)) for epoch in (1, 3)}
    told = run(training(CONFIG), States(keep=kept))
    assert [progress.kept for progress in told] == [1, 0, 0, 0, 0]  # what it costs is known from the first
    assert not kept[3].exists()
    quick = {epoch: SharedFolder(tmp_path, f"quick-{epoch}") for epoch in (1, 3)}
    assert [progress.kept for progress in run(training(CONFIG), States(keep=quick))] == [1, 0, 3, 0, 0]


def test_the_furthest_state_is_gone_on_from(tmp_path: Path) -> None:
    run(training(CONFIG), States(keep={2: SharedFolder(tmp_path, "a"), 4: SharedFolder(tmp_path, "b")}))
    for own, start in (("a", "b"), ("b", "a")):
        restored = next(
            training(CONFIG).run(States(own=SharedFolder(tmp_path, own), start=SharedFolder(tmp_path, start)))
        )
        assert len(restored.records) == 4


def test_training_learns_and_has_the_last_and_the_best_epochs_weights() -> None:
    trained = training(CONFIG)
    run(trained)
    history = trained.history
    best = history.best
    assert best.values["val/accuracy"] == max(r.values["val/accuracy"] for r in history.records) > 0.6
    again = evaluate(trained.model, trained.batches.evaluation("val"), "float32")
    assert again.metrics() == history.last.of("val")
    trained.load_best()
    again = evaluate(trained.model, trained.batches.evaluation("val"), "float32")
    assert again.metrics() == best.of("val") != history.last.of("val")


def test_the_best_epoch_is_the_first_of_equals() -> None:
    history = History([EpochRecord(e, {"val/accuracy": value}) for e, value in ((1, 0.5), (2, 0.7), (3, 0.7))])
    assert (history.best.epoch, history.last.epoch) == (2, 3)


def test_a_history_carries_whatever_metrics_there_are(tmp_path: Path) -> None:
    register_metric("top_class")(lambda logits, _labels: float(logits.argmax(dim=1).double().mean()))
    trained = training(CONFIG.replace(epochs=2))
    try:
        run(trained)
    finally:
        METRICS.remove("top_class")
    rows = trained.history.rows()
    assert list(rows[0]) == [
        *("epoch", "train/loss", "train/accuracy"),
        *("val/loss", "val/accuracy", "val/balanced_accuracy", "val/macro_f1", "val/top_class"),
        *("lr", "epoch_seconds", "images_per_second"),
    ]
    save_state(trained.state(), tmp_path)
    state = load_state(tmp_path)
    assert state is not None
    assert state.history == trained.history


def test_only_the_phases_groups_change_and_frozen_ones_are_not_decayed() -> None:
    first = training(CONFIG.replace(phases="1:classifier,3:features", epochs=2, weight_decay=0.1))
    before = {name: p.detach().clone() for name, p in first.model.named_parameters()}
    run(first)
    changed = {name for name, p in first.model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name in before if name.startswith("classifier")}


def test_a_phase_that_comes_later_trains_its_groups() -> None:
    trained = training(CONFIG.replace(phases="1:classifier,2:features", epochs=2))
    before = {name: p.detach().clone() for name, p in trained.model.named_parameters()}
    run(trained)
    trained.run_epoch(2, lambda _images: None)
    assert all(not torch.equal(p, before[name]) for name, p in trained.model.named_parameters())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_group_that_is_trained_later_starts_as_with_an_optimizer_of_its_own(optimizer: str) -> None:
    """Two phases are plain torch loops: the second's new group has fresh momenta, the first's goes on with its own."""
    config = CONFIG.replace(phases="1:classifier,3:all", epochs=4, optimizer=optimizer, weight_decay=0.01, lr=0.003)
    ours = training(config)
    plain = training(config)  # the same first weights
    kind = {
        "sgd": lambda group: torch.optim.SGD(group, config.lr, momentum=config.momentum, weight_decay=0.01, fused=True),
        "adam": lambda group: torch.optim.Adam(group, config.lr, weight_decay=0.01, fused=True),
    }[optimizer]
    own = {name: kind(plain.groups[name]) for name in ("classifier", "features")}
    for epoch in range(1, 5):
        ours.run_epoch(epoch, lambda _images: None)
        trained = ("classifier",) if epoch < 3 else ("classifier", "features")
        for parameter in plain.groups["features"]:
            parameter.requires_grad_("features" in trained)
        plain.model.train()
        for images, labels in plain.batches.training(seed=0, epoch=epoch, batch_size=8, augment="none"):
            plain.model.zero_grad()
            nn.functional.cross_entropy(plain.model(images), labels).backward()
            for name in trained:
                own[name].step()
    for name, parameter in ours.model.named_parameters():
        torch.testing.assert_close(parameter, plain.model.get_parameter(name), msg=name)


def test_an_unknown_group_is_refused_before_training() -> None:
    with pytest.raises(ModelError, match="no parameter group 'layer9'"):
        training(CONFIG.replace(phases="1:all,3:layer9"))


def test_the_loss_that_was_asked_for_is_trained_on_and_validated() -> None:
    plain, smoothed = (training(CONFIG.replace(loss=f"cross_entropy(label_smoothing={s})")) for s in (0.0, 0.5))
    start = evaluate(plain.model, plain.batches.evaluation("val"), "float32")
    expected = nn.functional.cross_entropy(start.logits, start.labels, label_smoothing=0.5)
    assert start.metrics(smoothed.loss)["loss"] == pytest.approx(float(expected))
    for one in (plain, smoothed):
        run(one)
    assert plain.history.last.values["train/loss"] < smoothed.history.last.values["train/loss"]
    assert not same_weights(plain, smoothed)


def test_the_learning_rate_follows_the_schedule() -> None:
    trained = training(CONFIG.replace(schedule="cosine", epochs=3))
    run(trained)
    assert [r.values["lr"] for r in trained.history.records] == [recipe_of(trained.config, e).lr for e in (1, 2, 3)]
    assert trained.optimizer.param_groups[0]["lr"] == trained.history.last.values["lr"] < 0.02


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_rates_by_batch_and_clipping_are_those_of_a_plain_loop(optimizer: str) -> None:
    """A warm-up stepped once a batch, then a cosine stepped once an epoch, with gradients scaled to a norm."""
    schedule = "warmup(epochs=2, start=0.01, per_batch=True) | cosine"
    config = CONFIG.replace(schedule=schedule, clip_norm=0.3, optimizer=optimizer, drop_last=False, batch_size=9)
    ours, plain = training(config), training(config)
    run(ours)
    kind = {
        "sgd": lambda group: torch.optim.SGD(group, config.lr, momentum=0.9, weight_decay=5e-5, fused=True),
        "adam": lambda group: torch.optim.Adam(group, config.lr, weight_decay=5e-5, fused=True),
    }[optimizer]
    own = kind(plain.model.parameters())
    warm_up = torch.optim.lr_scheduler.LinearLR(own, 0.01, total_iters=2 * 5)
    clipped, first = 0, []
    for epoch in range(1, 6):
        plain.model.train()
        for number, (images, labels) in enumerate(
            plain.batches.training(seed=0, epoch=epoch, batch_size=9, augment="none", drop_last=False)
        ):
            if epoch > 2:
                own.param_groups[0]["lr"] = 0.02 * (1 + math.cos(math.pi * (epoch - 3) / 3)) / 2
            first += [own.param_groups[0]["lr"]] * (number == 0)
            own.zero_grad()
            nn.functional.cross_entropy(plain.model(images), labels).backward()
            norm = nn.utils.clip_grad_norm_(plain.model.parameters(), 0.3)
            clipped += int(norm > 0.3)
            own.step()
            if epoch <= 2:
                warm_up.step()
    assert clipped
    for name, parameter in ours.model.named_parameters():
        torch.testing.assert_close(parameter, plain.model.get_parameter(name), msg=name)
    assert [record.values["lr"] for record in ours.history.records] == pytest.approx(first)


def test_the_norm_is_of_what_is_trained() -> None:
    """What a frozen parameter has left of a gradient does not count."""
    config = CONFIG.replace(
        phases="classifier", clip_norm=1e-3, momentum=0.0, weight_decay=0.0, epochs=1, batch_size=40
    )
    trained = training(config)
    for parameter in trained.model.parameters():
        parameter.grad = torch.full_like(parameter, 1e6)
    before = {name: p.detach().clone() for name, p in trained.model.named_parameters()}
    run(trained)
    moved = [p.detach() - before[name] for name, p in trained.model.named_parameters()]
    assert torch.cat([step.flatten() for step in moved]).norm() == pytest.approx(config.lr * 1e-3, rel=1e-3)


def test_a_loss_that_is_not_finite_ends_the_training_with_the_epoch(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"loss is (nan|inf) in epoch 1 \(lr 1e\+30\)"):
        run(training(CONFIG.replace(lr=1e30)), States(own=SharedFolder(tmp_path, "own")))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_bf16_trains_as_well_as_float32() -> None:
    trained = [training(CONFIG.replace(precision=precision)) for precision in ("float32", "bf16")]
    for one in trained:
        run(one)
    accuracies = [one.history.best.values["val/accuracy"] for one in trained]
    assert min(accuracies) > 0.6
    assert abs(accuracies[0] - accuracies[1]) <= 0.2


def test_a_state_is_usable_whenever_the_write_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = training(CONFIG)
    trained.run_epoch(1, lambda _images: None)
    save_state(trained.state(), tmp_path)
    for epoch in range(2, 6):
        trained.run_epoch(epoch, lambda _images: None)

    def cut(self: Path, target: Path) -> Path:
        if target.name == "last.pt":
            raise KeyboardInterrupt
        return original(self, target)

    original = Path.replace
    monkeypatch.setattr(Path, "replace", cut)
    with pytest.raises(KeyboardInterrupt):
        save_state(trained.state(), tmp_path)
    monkeypatch.undo()
    state = load_state(tmp_path)
    assert state is not None
    assert len(state.history.records) == 1
    assert not list(tmp_path.glob(".*"))
    save_state(trained.state(), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"best-{trained.history.best.epoch}.pt", "last.pt"]


def test_a_copy_of_weights_keeps_the_versions_of_layers() -> None:
    model = build("mnasnet0_5", 4, seed=0)
    copied = copy_weights(model.state_dict())
    other = build("mnasnet0_5", 4, seed=1)
    other.load_state_dict(copied)  # refuses a state dict without versions
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert copied["classifier.1.weight"].data_ptr() != model.state_dict()["classifier.1.weight"].data_ptr()


def test_no_state_is_no_state(tmp_path: Path) -> None:
    assert load_state(tmp_path / "absent") is None


def test_an_evaluation_scores_its_logits() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    scored = Evaluation(logits, torch.tensor([0, 1, 1])).metrics()
    assert scored["accuracy"] == pytest.approx(2 / 3)
    assert scored["loss"] == pytest.approx(float(nn.functional.cross_entropy(logits, torch.tensor([0, 1, 1]))))


@pytest.mark.family
@pytest.mark.parametrize("name", ["last.pt", "best-*.pt"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone"])
def test_a_damaged_state_is_told_and_trained_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, damage: str
) -> None:
    """A flipped byte is loaded by torch as it stands."""
    monkeypatch.setattr("quorum.engine.states.SAVING_SHARE", 1e9)
    whole = training(CONFIG)
    run(whole)
    run(training(CONFIG), States(own=SharedFolder(tmp_path, "own")), stop_after=3)
    [file] = (tmp_path / "own").glob(name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged = {"flip": bytes(content), "cut": bytes(content[:-100]), "empty": b"", "gone": None}[damage]
    if damaged is None:
        file.unlink()
    else:
        file.write_bytes(damaged)
    again = training(CONFIG)
    told = run(again, States(own=SharedFolder(tmp_path, "own")))
    assert not told[0].restored
    assert same_weights(again, whole)
    if damage != "gone" or name != "last.pt":
        [line] = capfd.readouterr().err.splitlines()
        assert "this state is damaged" in line


def equal(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_weights_that_were_found_damaged_are_written_anew(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Where the epoch of the damaged ones is the best again, and no state was written before it."""
    trained = training(CONFIG)
    trained.run_epoch(1, lambda _images: None)
    save_state(trained.state(), tmp_path)
    (tmp_path / "best-1.pt").write_bytes(b"damaged")
    assert load_state(tmp_path) is None
    assert "this state is damaged" in capfd.readouterr().err
    assert load_state(tmp_path) is None
    assert not capfd.readouterr().err  # told once
    save_state(trained.state(), tmp_path)
    state = load_state(tmp_path)
    assert state is not None
    assert equal(state.best_weights, trained.best_weights)


def test_weights_that_a_killed_process_wrote_before_its_state_are_not_taken_over(tmp_path: Path) -> None:
    trained = training(CONFIG)
    trained.run_epoch(1, lambda _images: None)
    save_state(trained.state(), tmp_path)
    (tmp_path / "best-2.pt").write_bytes(b"cut by a loss of power")
    state = load_state(tmp_path)
    assert state is not None
    record = EpochRecord(2, {**state.history.last.values, "val/accuracy": 2.0})
    state.history.records.append(record)  # the best
    save_state(state, tmp_path)
    again = load_state(tmp_path)
    assert again is not None
    assert equal(again.best_weights, trained.best_weights)


def test_a_full_disk_is_an_error_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda value, _file: save(value, "/dev/full"))
    with pytest.raises(OSError, match="No space left on device") as raised:
        save_atomically({"w": torch.zeros(10**6)}, tmp_path / "last.pt")
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(tmp_path / "last.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mix", ["none", "mixup"])
def test_weighted_classes_are_trained_on_and_not_measured(mix: str) -> None:
    weighted, plain = (training(CONFIG.replace(epochs=1, balance=name, mix=mix)) for name in ("weights", "none"))
    run(weighted)
    run(plain)
    model = build("scratch-simple", 4, seed=0)
    reference = torch.optim.SGD(model.parameters(), CONFIG.lr, momentum=0.9, weight_decay=CONFIG.weight_decay)
    batches, losses = MadeUpBatches(), []
    torch.manual_seed(0)
    for images, labels in batches.training(seed=0, epoch=1, batch_size=8, mix=mix):
        loss = nn.functional.cross_entropy(model(images), labels, batches.class_weights())
        reference.zero_grad()
        loss.backward()
        reference.step()
        losses.append(loss.item())
    for name, tensor in weighted.model.state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[name])
    assert weighted.history.last.values["train/loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert not same_weights(weighted, plain)
    expected = evaluate(weighted.model, batches.evaluation("val"), "float32")
    measured = nn.functional.cross_entropy(expected.logits, expected.labels)
    assert weighted.history.last.values["val/loss"] == float(measured)


def test_accuracy_of_mixed_images_is_that_of_the_larger_share() -> None:
    mixed = training(CONFIG.replace(epochs=4, mix="mixup"))
    run(mixed)
    assert mixed.history.last.values["train/accuracy"] > 0.5
    with torch.inference_mode():
        labels = torch.cat([labels for _, labels in MadeUpBatches().training(seed=0, epoch=1, batch_size=8)])
    assert torch.equal(soft(labels).argmax(dim=1), labels)
